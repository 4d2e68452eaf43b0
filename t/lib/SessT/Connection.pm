package SessT::Connection;

# Connections to nginx, in the clear or over TLS, and the loop that moves bytes on many of them at once. Sending and
# receiving go on side by side: nginx may answer and close before it has read a whole request.

use strict;
use warnings;

use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use IO::Socket::INET;
use Time::HiRes qw(time sleep);

use SessT::Response;

# about: port, local (own address), tls, host (for SNI), timeout
sub open {
    my ($class, %about) = @_;
    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $about{port},
        Timeout  => $about{timeout},
        defined $about{local} ? (LocalAddr => $about{local}) : (),
    ) or die "no connection to port $about{port}: $@\n";
    $socket = _tls($socket, %about) if $about{tls};
    $socket->blocking(0);
    return bless { socket => $socket, tls => $about{tls}, in => '', packets => [] }, $class;
}

sub _tls {
    my ($socket, %about) = @_;
    require IO::Socket::SSL;
    my $host = $about{host} // '';
    IO::Socket::SSL->start_SSL(
        $socket,
        SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_NONE(),
        Timeout         => $about{timeout},
        $host =~ /[a-z]/i ? (SSL_hostname => $host) : (),
    ) or die "no TLS on port $about{port}: $IO::Socket::SSL::SSL_ERROR\n";
    return $socket;
}

# Gives the connection one more exchange. What came in beyond the response before stays.
sub ask {
    my ($self, $packets, %about) = @_;
    my $now = time;
    @$self{qw(packets head_request until_closed done response timed_out started out)}
        = ([@$packets], $about{head_request}, $about{until_closed}, 0, undef, 0, $now, '');
    $self->_next_packet($now);
    return $self;
}

sub _next_packet {
    my ($self, $now) = @_;
    my $packet = $self->{packets}[0] or return;
    $self->{send_at} //= $now + ($packet->{delay_before} // 0);
    return if $self->{send_at} > $now;
    shift @{ $self->{packets} };
    $self->{out} .= $packet->{value};
    delete $self->{send_at};
}

# Works on the connections until each has its answer or the time is over.
sub run {
    my ($timeout, @connections) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $end = time + $timeout;
    while (my @open = grep { !$_->{done} } @connections) {
        my $now = time;
        if ($now >= $end) {
            $_->_finish(timed_out => 1) for @open;
            last;
        }
        $_->_wait($end - $now, @open) for $open[0];
        $_->_move for @open;
    }
}

sub _wait {
    my (undef, $left, @open) = @_;
    return if grep { $_->{tls} && $_->{socket}->pending } @open;
    my ($readable, $writable) = ('', '');
    for my $connection (@open) {
        my $number = fileno $connection->{socket};
        vec($readable, $number, 1) = 1;
        vec($writable, $number, 1) = 1 if length $connection->{out};
        my $pause = defined $connection->{send_at} ? $connection->{send_at} - time : $left;
        $left = $pause if $pause < $left;
    }
    select $readable, $writable, undef, $left > 0 ? $left : 0;
}

sub _move {
    my ($self) = @_;
    my $closed = 0;
    $self->_write;
    while (1) {
        my $got = sysread $self->{socket}, $self->{in}, 65_536, length $self->{in};
        next if $got;
        $closed = 1 unless !defined $got && $self->_busy;
        last;
    }
    $self->_look($closed);
}

sub _write {
    my ($self) = @_;
    while (1) {
        $self->_next_packet(time) if !length $self->{out};
        return if !length $self->{out};
        my $sent = syswrite $self->{socket}, $self->{out}, 16_384;
        if    ($sent)        { substr $self->{out}, 0, $sent, '' }
        elsif ($self->_busy) { return }
        else                 { $self->{out} = ''; $self->{packets} = [] }
    }
}

sub _busy {
    my ($self) = @_;
    return 1 if $!{EAGAIN} || $!{EINTR} || $!{EWOULDBLOCK};
    return $self->{tls} && ($IO::Socket::SSL::SSL_ERROR // '') =~ /wants a (?:read|write)/;
}

sub _look {
    my ($self, $closed) = @_;
    return $self->_finish if $closed;
    return if $self->{until_closed};
    my $response = SessT::Response->parse($self->{in}, head_request => $self->{head_request}) or return;
    $self->_finish(length => $response->{length});
}

sub _finish {
    my ($self, %how) = @_;
    $self->{done} = 1;
    $self->{timed_out} = $how{timed_out} // 0;
    $self->{seconds} = time - $self->{started};
    $self->{raw} = substr $self->{in}, 0, $how{length} // length $self->{in}, '';
}

sub close { my ($self) = @_; close $self->{socket} }

1;
