package SessT::Ports;

# Free loopback ports for one test file. A UDP socket bound to the same number holds each port for as long as the test
# runs, so files running side by side never choose the same one; the kernel releases it however the test ends.

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::INET;

our @EXPORT_OK = qw(free_port);

# Below the range the kernel gives to outgoing connections.
use constant { LOWEST => 18_000, HIGHEST => 31_999, TRIES => 2_000 };

my @held;

sub free_port {
    for (1 .. TRIES) {
        my $port = LOWEST + int rand(HIGHEST - LOWEST + 1);
        my $hold = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1', LocalPort => $port) or next;
        _unused($port) or next;
        push @held, $hold;
        return $port;
    }
    die "no free loopback port between @{[LOWEST]} and @{[HIGHEST]}; end what listens there\n";
}

sub _unused {
    my ($port) = @_;
    for my $address ('127.0.0.1', '0.0.0.0') {
        IO::Socket::INET->new(
            Proto     => 'tcp',
            LocalAddr => $address,
            LocalPort => $port,
            Listen    => 1,
            ReuseAddr => 1,
        ) or return 0;
    }
    return 1;
}

1;
