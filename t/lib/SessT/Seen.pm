package SessT::Seen;

# The request an echo upstream received, from the JSON it answered with.

use strict;
use warnings;

use JSON::PP ();

sub decode {
    my ($class, $body) = @_;
    my $seen = eval { JSON::PP->new->decode($body) };
    die "the body is no answer of the echo upstream: $body\n" unless ref $seen eq 'HASH' && ref $seen->{headers} eq 'ARRAY';
    return bless $seen, $class;
}

sub headers {
    my ($self, $name) = @_;
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $self->{headers} };
}

sub header { ($_[0]->headers($_[1]))[0] }

sub cookies {
    my ($self) = @_;
    return map { [ split /=/, $_, 2 ] } map { split /\s*;\s*/ } $self->headers('Cookie');
}

1;
