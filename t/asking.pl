# A client of the test's own: whole requests as bytes, and whole answers as text, for a test file to require:
#
#   require './t/asking.pl';
#   my $token = token(ask('/login'));
#   is body(ask('/page', $token)), 'welcome';
#
# Every request has a connection of its own, so many can be under way: send_request now, answer later.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;

# Where send_request asks.
our $port //= $ENV{TEST_NGINX_SERVER_PORT};
# Seconds an answer may take.
our $patience //= $ENV{TEST_NGINX_USE_VALGRIND} ? 100 : 30;

# A connection over which the bytes have been sent; `tls` makes it one over TLS.
sub send_bytes {
    my ($port, $bytes, %how) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10) or die "connect: $!";
    if ($how{tls}) {
        require IO::Socket::SSL;
        IO::Socket::SSL->start_SSL($socket, SSL_verify_mode => 0) or die "TLS: $IO::Socket::SSL::SSL_ERROR";
    }
    print {$socket} $bytes;
    $socket->flush;
    return $socket;
}

# All that comes until the other side closes.
sub answer {
    my ($socket) = @_;
    my ($text, $end) = ('', time + $patience);
    while (time < $end) {
        next unless $socket->can('pending') && $socket->pending || IO::Select->new($socket)->can_read(1);
        sysread $socket, $text, 262144, length $text or return $text;
    }
    return "$text<not closed>";
}

# A request; `keep` leaves the connection open, the body comes with its length.
sub request {
    my ($method, $path, %with) = @_;
    my $version = $with{version} // '1.1';
    my @lines = ("$method $path HTTP/$version", 'Host: localhost', @{ $with{headers} // [] });
    push @lines, "Cookie: $with{cookie}" if defined $with{cookie};
    push @lines, 'Content-Length: ' . length $with{body} if defined $with{body};
    push @lines, 'Connection: close' if !$with{keep} && $version eq '1.1';
    return join("\r\n", @lines, '', '') . ($with{body} // '');
}

sub send_request {
    my ($path, $cookie, @lines) = @_;
    return send_bytes($port, request(GET => $path, cookie => $cookie || undef, headers => \@lines));
}

sub ask { return answer(send_request(@_)) }

sub status { return $_[0] =~ /^HTTP\/1.1 (\d+)/ ? $1 : "none: $_[0]" }

sub body { return (split /\r\n\r\n/, $_[0], 2)[1] // '' }

# The session's cookie in each answer that sets it, as a client sends it.
sub tokens { return map { /^Set-Cookie: (session=[^;\r]+)/m } @_ }

sub token { my ($answer) = @_; return (tokens($answer))[0] // die "no token in\n$answer" }

1;
