package SessT::Echo;

# The echo upstream: answers each request with JSON of what it received. Query arguments steer the answer, see
# t/README.md. Loaded by the harness it starts itself as a process of its own; run as a program it serves.

use strict;
use warnings;

use Fcntl qw(F_GETFD F_SETFD FD_CLOEXEC);
use IO::Socket::INET;
use POSIX ();

use constant { LARGEST_HEAD => 1 << 20, IDLE_SECONDS => 60 };

my %reason = (
    200 => 'OK', 201 => 'Created', 204 => 'No Content', 301 => 'Moved Permanently', 302 => 'Found', 303 => 'See Other',
    304 => 'Not Modified', 307 => 'Temporary Redirect', 401 => 'Unauthorized', 403 => 'Forbidden', 404 => 'Not Found',
    500 => 'Internal Server Error', 503 => 'Service Unavailable',
);

# Listens on $port and serves in a new process group, whose id is returned.
sub start {
    my ($port) = @_;
    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 128, ReuseAddr => 1,
    ) or die "the echo upstream cannot listen on $port: $!\n";
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    setpgrp;
    fcntl $listener, F_SETFD, fcntl($listener, F_GETFD, 0) & ~FD_CLOEXEC;
    open STDIN,  '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    exec { $^X } $^X, __FILE__, fileno $listener or POSIX::_exit(1);
}

sub serve {
    my ($number) = @_;
    $SIG{CHLD} = 'IGNORE';
    open my $listener, '+<&=', $number or die "no listening socket: $!\n";
    while (1) {
        accept my $client, $listener or next;
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            close $listener;
            alarm IDLE_SECONDS;
            answer_all($client);
            POSIX::_exit(0);
        }
        close $client;
    }
}

sub answer_all {
    my ($client) = @_;
    binmode $client;
    my $buffer = '';
    while (my $request = receive($client, \$buffer)) {
        answer($client, $request, \$buffer) or last;
    }
}

sub more {
    my ($client, $buffer) = @_;
    return sysread $client, $$buffer, 65_536, length $$buffer;
}

sub receive {
    my ($client, $buffer) = @_;
    until ($$buffer =~ /\r?\n\r?\n/) {
        return if length $$buffer > LARGEST_HEAD || !more($client, $buffer);
    }
    $$buffer =~ s/\A(.*?)\r?\n\r?\n//s;
    my ($line, @lines) = split /\r?\n/, $1;
    my ($method, $uri, $version) = split ' ', $line;
    my @headers = map { /^([^:]*):[ \t]*(.*?)[ \t]*$/ ? [ $1, $2 ] : [ $_, '' ] } @lines;
    my %last = map { lc $_->[0] => $_->[1] } @headers;
    my $body = ($last{'transfer-encoding'} // '') =~ /chunked/i
        ? chunked($client, $buffer) : sized($client, $buffer, $last{'content-length'} // 0);
    return unless defined $body;
    return {
        method => $method, uri => $uri, version => $version // 'HTTP/1.0', headers => \@headers, last => \%last,
        body => $body,
    };
}

sub sized {
    my ($client, $buffer, $length) = @_;
    while (length $$buffer < $length) { more($client, $buffer) or return }
    return substr $$buffer, 0, $length, '';
}

sub chunked {
    my ($client, $buffer) = @_;
    my $body = '';
    while (1) {
        my $size;
        until (defined $size) {
            if   ($$buffer =~ s/\A([0-9A-Fa-f]+)[^\n]*\n//) { $size = hex $1 }
            else                                           { more($client, $buffer) or return }
        }
        if ($size == 0) {
            until ($$buffer =~ s/\A(?:[^\r\n]+\r?\n)*\r?\n//) { more($client, $buffer) or return }
            return $body;
        }
        my $chunk = sized($client, $buffer, $size + 2) // return;
        $body .= substr $chunk, 0, $size;
    }
}

sub arguments {
    my ($uri) = @_;
    my %of;
    for my $pair (split /&/, $uri =~ /\?(.*)/s ? $1 : '') {
        my ($name, $value) = split /=/, $pair, 2;
        $value //= '';
        $value =~ s/\+/ /g;
        $value =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
        push @{ $of{$name} }, $value if defined $name;
    }
    return \%of;
}

# Answers one request; returns whether the connection goes on.
sub answer {
    my ($client, $request, $buffer) = @_;
    my $arg = arguments($request->{uri});
    return upgrade($client, $request, $buffer, $arg) if $arg->{up} && defined $request->{last}{upgrade};
    select undef, undef, undef, (number($arg, 'delay') // 0) / 1000;
    put($client, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n") if $arg->{early};

    my $status = ($arg->{st}[0] // '') =~ /\A([2-5]\d\d)\z/ ? $1 : 200;
    my $bodiless = $status == 204 || $status == 304;
    my $framing = $bodiless ? 'none' : framing($request, $arg);
    my $keep = $framing ne 'close' && keepalive($request);
    my $body = body($request, $arg);
    my %length = (length => 'Content-Length: ' . length $body, chunked => 'Transfer-Encoding: chunked');
    my @lines = (
        "HTTP/1.1 $status " . ($reason{$status} // 'Status'),
        'Content-Type: ' . ($arg->{text} || $arg->{size} ? 'text/plain' : 'application/json'),
        extra_lines($request, $arg),
        $length{$framing} // (),
        'Connection: ' . ($keep ? 'keep-alive' : 'close'),
    );
    put($client, join("\r\n", @lines) . "\r\n\r\n");
    put_body($client, $arg, $framing, $body) unless $bodiless || $request->{method} eq 'HEAD';
    return $keep;
}

sub body {
    my ($request, $arg) = @_;
    return $arg->{text}[0] if $arg->{text};
    my $size = number($arg, 'size') // return json($request);
    return substr join('', map { sprintf "%07d\n", $_ } 0 .. $size / 8), 0, $size;
}

# How the end of the body is told.
sub framing {
    my ($request, $arg) = @_;
    my ($wanted) = @{ $arg->{framing} // [''] };
    return $wanted if $wanted =~ /\A(?:length|chunked|close)\z/;
    return 'length' unless $arg->{parts} || $arg->{rt};
    return $request->{version} eq 'HTTP/1.0' && !$arg->{rt} ? 'close' : 'chunked';
}

# The body in as many parts as wanted, with pauses between them.
sub put_body {
    my ($client, $arg, $framing, $body) = @_;
    my $parts = number($arg, 'parts') || 1;
    my $size = POSIX::ceil(length($body) / $parts) || 1;
    for (my $at = 0; $at < length $body; $at += $size) {
        select undef, undef, undef, (number($arg, 'pause') // 0) / 1000 if $at;
        my $part = substr $body, $at, $size;
        put($client, $framing eq 'chunked' ? sprintf("%x\r\n%s\r\n", length $part, $part) : $part);
    }
    put($client, join "\r\n", 0, one_line(@{ $arg->{rt} // [] }), '', '') if $framing eq 'chunked';
    return;
}

sub number {
    my ($arg, $name) = @_;
    my ($value) = @{ $arg->{$name} // [''] };
    return $value =~ /\A(\d+)\z/ ? $1 : undef;
}

sub extra_lines {
    my ($request, $arg) = @_;
    return one_line(
        @{ $arg->{rh} // [] },
        (map { "Set-Cookie: $_" } @{ $arg->{sc} // [] }),
        (map { sprintf 'X-Session-Data: {"%s":%d}', $_, seen($request, "X-$_") + 1 } @{ $arg->{count} // [] }),
    );
}

sub seen {
    my ($request, $name) = @_;
    return ($request->{last}{ lc $name } // '') =~ /\A(\d+)\z/ ? $1 : 0;
}

# No argument can break out of its line.
sub one_line { return map { s/[\r\n]+/ /gr } @_ }

sub keepalive {
    my ($request) = @_;
    my $connection = lc($request->{last}{connection} // '');
    return $request->{version} eq 'HTTP/1.0' ? $connection eq 'keep-alive' : $connection ne 'close';
}

sub upgrade {
    my ($client, $request, $buffer, $arg) = @_;
    put($client, join("\r\n", 'HTTP/1.1 101 Switching Protocols', 'Upgrade: echo', 'Connection: Upgrade', extra_lines($request, $arg))
        . "\r\n\r\n");
    while (length $$buffer || more($client, $buffer)) {
        put($client, $$buffer);
        last if $$buffer =~ /^quit\r?$/m;
        $$buffer = '';
    }
    return 0;
}

sub put {
    my ($client, $bytes) = @_;
    my $at = 0;
    while ($at < length $bytes) {
        $at += syswrite($client, $bytes, length($bytes) - $at, $at) || POSIX::_exit(0);
    }
}

sub json {
    my ($request) = @_;
    my $headers = join ',', map { '[' . text($_->[0]) . ',' . text($_->[1]) . ']' } @{ $request->{headers} };
    return sprintf '{"method":%s,"uri":%s,"headers":[%s],"body":%s}' . "\n",
        text($request->{method}), text($request->{uri}), $headers, text($request->{body});
}

# Bytes as characters of the same number, so that nothing a client sends can spoil the JSON.
sub text {
    my ($bytes) = @_;
    $bytes =~ s/([\x00-\x1f"\\\x7f-\xff])/sprintf '\\u%04x', ord $1/ge;
    return qq{"$bytes"};
}

serve($ARGV[0]) unless caller;

1;
