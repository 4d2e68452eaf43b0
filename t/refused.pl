# Configurations that nginx must refuse, a call each, for a test file to require:
#
#   require './t/refused.pl';
#   refused('C17: a blank in a name', 'session_cookie_name "a b";', qr/invalid value "a b"/);
#   add_refused();
#   run_tests();
#
# The message must be an [emerg], name the directive that stands first in the text (or the one given as `names`), say what is
# asked for, and end with file and line. Other arguments: `section` (config is the default), `lacks` (a text no log line has).

use strict;
use warnings;

my @blocks;
our @refusals;

sub refused {
    my ($name, $text, $says, %more) = @_;
    my $section = $more{section} // 'config';
    my ($first) = $text =~ /\A\s*(\w+)/;
    my $directive = $more{names} // $first;
    push @refusals, qr/\[emerg\](?=.*"$directive\b)(?=.*$says).* in \S+nginx\.conf:\d+/;
    my $block = "=== refused, $name: $text\n--- rig: none\n--- $section\n$text\n--- must_die: 1\n";
    $block =~ s/\A([^\n]*)\n(?=[^-])/$1 /;
    $block .= "--- config\n# nothing\n" if $section ne 'config';
    $block .= "--- error_log eval\n[\$::refusals[$#refusals]]\n";
    $block .= "--- no_error_log\n$more{lacks}\n" if defined $more{lacks};
    push @blocks, $block;
}

# Behind the blocks of the file itself.
sub add_refused {
    my $written = do { local $/; readline \*main::DATA };
    my $all = join "\n", $written, @blocks;
    utf8::encode($all) if utf8::is_utf8($all);
    close main::DATA;
    open main::DATA, '<', \$all or die "the blocks cannot be read: $!\n";
}

1;
