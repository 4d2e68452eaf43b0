package SessT::Log;

# What stands in nginx's logs, from the place where a block began.

use strict;
use warnings;

use Time::HiRes qw(sleep time);

use SessT::Room qw(slurp);

# A line may be written just after the response has gone out.
use constant PATIENCE => 1;

sub new {
    my ($class, $path) = @_;
    return bless { path => $path, from => -s $path || 0 }, $class;
}

sub from_start { $_[0]{from} = 0; $_[0] }

sub text { slurp($_[0]{path}, $_[0]{from}) }

# The lines that came since this was last asked.
sub news {
    my ($self) = @_;
    my $text = slurp($self->{path}, $self->{told} // $self->{from});
    $self->{told} = ($self->{told} // $self->{from}) + length $text;
    return split /^/, $text;
}

# A section's patterns: a text a line, a pattern, or a list of both.
sub patterns {
    my ($value) = @_;
    return () unless defined $value;
    return grep { defined && length } ref $value eq 'ARRAY' ? @$value : ref $value ? $value : split /\n+/, $value;
}

sub lines_with {
    my ($self, $pattern) = @_;
    return grep { ref $pattern ? $_ =~ $pattern : index($_, $pattern) >= 0 } split /^/, $self->text;
}

sub comes_to_have {
    my ($self, $pattern) = @_;
    my $end = time + PATIENCE;
    while (1) {
        return 1 if $self->lines_with($pattern);
        return 0 if time > $end;
        sleep 0.01;
    }
}

1;
