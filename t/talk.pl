# Conversations about cookies, a step a line, for a test file to require:
#
#   require './t/talk.pl';
#
#   --- talk
#   /login               <- A=a; Path=/    <- B=b
#   /                    => A=a; B=b
#   +1.5 bob: HEAD https://www.app.test/x?st=404 [404]
#   //other.test/        => none
#
# `<-` begins a Set-Cookie line of the upstream's answer, `=>` says what the upstream is to see: one line of cookies, the
# Cookie lines joined by `; `, or `none`. In front of the path may stand the seconds to wait, the client's name (each has
# cookies of its own), the method and the host; behind it the status. The upstream is the echo, so no line may hold CR or LF.
#
# In each step no cookie but the session's own may reach the client, except those that the section `passed` names. Other
# sections do what they always do; `check` may be a list.

use strict;
use warnings;

own_sections('talk', 'passed');

my $step = qr{
    \A (?: \+ (?<pause> [\d.]+ ) \s+ )?
    (?: (?<client> \w+ ): \s+ )?
    (?: (?<method> [A-Z]+ ) \s+ )?
    (?: (?<tls> https: )? // (?<host> [^/\s]+ ) )?
    (?<path> / \S* )
    (?: \s+ \[ (?<status> \d+ ) \] )? \s* \z
}x;

add_block_preprocessor(sub {
    my ($block) = @_;
    my $talk = $block->talk // return;
    my @steps = map { step($_) } grep { /\S/ && !/^#/ } split /\n/, $talk;
    my ($headers, $check) = map { given($block, $_) } qw(more_headers check);
    my %passed = map { $_ => 1 } split ' ', $block->passed // '';

    $block->set_value(request      => [map { "$_->{method} $_->{uri}" } @steps]);
    $block->set_value(error_code   => [map { $_->{status} } @steps]);
    $block->set_value(more_headers => [map { join "\n", "Host: $steps[$_]{host}", $headers->($_) // () } 0 .. $#steps]);
    $block->set_value(cookie_jar   => [map { $_->{client} } @steps]) unless defined $block->cookie_jar;
    $block->set_value(sleep_before => [map { $_->{pause} } @steps]) unless defined $block->sleep_before;
    $block->set_value(tls          => [map { $_->{tls} } @steps]) if grep { $_->{tls} } @steps;
    $block->set_value(check        => [map { all_of(only_own(%passed), $check->($_)) } 0 .. $#steps]);
    $block->set_value(upstream_json => [map { defined $_->{sees} ? sees($_->{sees}) : undef } @steps]) unless defined $block->upstream_json;
});

sub step {
    my ($line) = @_;
    my ($head, @rest) = split /\s+(?=(?:<-|=>)(?:\s|\z))/, $line;
    $head =~ $step or die "no step of a conversation: $line\n";
    my %step = (
        pause => $+{pause} // 0, client => $+{client} // 'the one', method => $+{method} // 'GET', tls => $+{tls} ? 1 : 0,
        host => $+{host} // 'app.test', uri => $+{path}, status => $+{status} // 200,
    );
    for my $said (@rest) {
        my ($sign, $text) = $said =~ /\A(..)\s*(.*)\z/s;
        if ($sign eq '=>') { $step{sees} = $text }
        else               { $step{uri} .= ($step{uri} =~ /\?/ ? '&' : '?') . 'sc=' . encoded($text) }
    }
    return \%step;
}

sub encoded { my ($text) = @_; $text =~ s/([^A-Za-z0-9.-])/sprintf '%%%02X', ord $1/ge; return $text }

# What a section of the block has for step $i.
sub given {
    my ($block, $section) = @_;
    my $value = $block->$section;
    return sub { ref $value eq 'ARRAY' ? $value->[ $_[0] ] : $value };
}

sub sees {
    my ($expected) = @_;
    return sub {
        my ($up) = @_;
        my $line = join('; ', $up->headers('Cookie')) || 'none';
        return $line eq $expected || "the upstream sees [$line], not [$expected]";
    };
}

sub only_own {
    my (%passed) = @_;
    return sub {
        my ($res) = @_;
        my @others = grep { $_->{name} !~ /\A(?:proxy-session|session|sid)[2-9]?\z/ && !$passed{ $_->{name} } } $res->set_cookies;
        return !@others || 'to the client: ' . join ' | ', map { $_->{line} } @others;
    };
}

# The first trouble of several checks.
sub all_of {
    my (@checks) = grep { defined } @_;
    return sub {
        for my $check (@checks) {
            my $said = $check->(@_);
            return $said unless ($said || '') =~ /\A[\d.]+\z/;
        }
        return 1;
    };
}

# --- checks ---

# The response sets the session's cookie (once), or does not.
sub saved  { my @set = own_cookies(@_); return @set == 1 && length $set[0]{value} || @set . ' lines set the session' }
sub silent { my @set = $_[0]->set_cookies; return !@set || 'Set-Cookie: ' . join ' | ', map { $_->{line} } @set }
sub ended  { my @set = own_cookies(@_); return @set == 1 && $set[0]{value} eq '' || 'the session is not ended' }

sub own_cookies { my ($res) = @_; return grep { $_->{name} =~ /\A(?:proxy-session|session|sid)\z/ } $res->set_cookies }

1;
