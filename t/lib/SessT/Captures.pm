package SessT::Captures;

# Values taken from one response for use in later requests and expectations, as $CAPTURED_name.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(captured forget_captures take fill_in);

my %value;

sub captured {
    my ($name) = @_;
    return $value{$name} // die "nothing was captured as $name\n";
}

sub forget_captures { %value = () }

# Keeps the first group of each pattern; returns the names whose pattern is nowhere in $text.
sub take {
    my ($wanted, $text) = @_;
    my @missing;
    for my $name (sort keys %$wanted) {
        if   ($text =~ $wanted->{$name}) { $value{$name} = $1 // $& }
        else                             { push @missing, $name }
    }
    return @missing;
}

# A text, pattern or list with its captured values put in.
sub fill_in {
    my ($text) = @_;
    return [ map { fill_in($_) } @$text ] if ref $text eq 'ARRAY';
    return $text if !defined $text || ref $text || index($text, 'CAPTURED_') < 0;
    $text =~ s/\$(?:\{CAPTURED_(\w+)\}|CAPTURED_(\w+))/captured($1 \/\/ $2)/ge;
    return $text;
}

1;
