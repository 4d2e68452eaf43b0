package SessT::Gateway;

# The echo upstream behind another protocol than HTTP, for tests of fastcgi_pass, uwsgi_pass and scgi_pass:
#
#   my $port = SessT::Gateway::start('fastcgi');    # or uwsgi, scgi
#   config: fastcgi_pass 127.0.0.1:PORT; and SessT::Gateway::params('fastcgi')
#
# Query arguments steer it as they steer the echo upstream (those of the head, `text` and `size`). The `headers` of its
# JSON are the variables of the request as they came: HTTP_X_USER and so on.

use strict;
use warnings;

use Fcntl qw(F_GETFD F_SETFD FD_CLOEXEC);
use File::Basename qw(dirname);
use IO::Socket::INET;
use POSIX ();

use lib dirname(dirname(__FILE__));
use SessT::Echo;

use constant { BEGIN_REQUEST => 1, END_REQUEST => 3, PARAMS => 4, STDIN_STREAM => 5, STDOUT_STREAM => 6, LARGEST_RECORD => 65_528 };

my %protocol = (
    fastcgi => { receive => \&receive_fastcgi, send => \&send_fastcgi },
    uwsgi   => { receive => \&receive_uwsgi,   send => \&send_uwsgi },
    scgi    => { receive => \&receive_scgi,    send => \&send_scgi },
);

# Listens on a free port, which is returned, and serves until the test ends.
sub start {
    my ($name) = @_;
    $protocol{$name} or die "there is no gateway $name; there are @{[sort keys %protocol]}\n";
    require SessT::Guard;
    require SessT::Ports;
    my $port = SessT::Ports::free_port();
    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 128, ReuseAddr => 1,
    ) or die "the gateway cannot listen on $port: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        setpgrp;
        fcntl $listener, F_SETFD, fcntl($listener, F_GETFD, 0) & ~FD_CLOEXEC;
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        exec { $^X } $^X, __FILE__, $name, fileno $listener or POSIX::_exit(1);
    }
    setpgrp $pid, $pid;
    SessT::Guard::guard_group($pid);
    return $port;
}

# The lines of a location that tell such an upstream what it needs to know.
sub params {
    my ($name) = @_;
    my %value = (REQUEST_METHOD => '$request_method', REQUEST_URI => '$request_uri', CONTENT_LENGTH => '$content_length', SCGI => '1');
    return join ' ', map { "${name}_param $_ $value{$_};" } sort keys %value;
}

sub serve {
    my ($name, $number) = @_;
    $SIG{CHLD} = 'IGNORE';
    open my $listener, '+<&=', $number or die "no listening socket: $!\n";
    while (1) {
        accept my $client, $listener or next;
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            close $listener;
            alarm SessT::Echo::IDLE_SECONDS();
            binmode $client;
            my ($vars, $body) = $protocol{$name}{receive}->($client);
            $protocol{$name}{send}->($client, answer($vars, $body)) if $vars;
            POSIX::_exit(0);
        }
        close $client;
    }
}

# Status, header lines and body of the answer.
sub answer {
    my ($vars, $body) = @_;
    my %of = map { @$_ } @$vars;
    my $request = {
        method => $of{REQUEST_METHOD} // '', uri => $of{REQUEST_URI} // '', headers => $vars, body => $body,
        last => { map { my ($name, $value) = @$_; $name =~ s/\AHTTP_//; (lc($name =~ tr/_/-/r) => $value) } @$vars },
    };
    my $arg = SessT::Echo::arguments($request->{uri});
    my $status = SessT::Echo::number($arg, 'st') // 200;
    my @lines = ('Content-Type: ' . ($arg->{text} || $arg->{size} ? 'text/plain' : 'application/json'), SessT::Echo::extra_lines($request, $arg));
    my $bodiless = $status == 204 || $status == 304 || $request->{method} eq 'HEAD';
    return ($status, \@lines, $bodiless ? '' : SessT::Echo::body($request, $arg));
}

sub bytes {
    my ($client, $length) = @_;
    my $buffer = '';
    while (length $buffer < $length) { sysread $client, $buffer, $length - length $buffer, length $buffer or return }
    return $buffer;
}

# --- FastCGI ---

sub receive_fastcgi {
    my ($client) = @_;
    my %stream = (PARAMS, '', STDIN_STREAM, '');
    while (1) {
        my (undef, $type, undef, $length, $padding) = unpack 'CCnnC', bytes($client, 8) // return;
        my $content = bytes($client, $length) // return;
        bytes($client, $padding) // return;
        $stream{$type} .= $content if exists $stream{$type};
        return (fastcgi_pairs($stream{PARAMS()}), $stream{STDIN_STREAM()}) if $type == STDIN_STREAM && $length == 0;
    }
}

sub fastcgi_pairs {
    my ($bytes) = @_;
    my ($at, @pairs) = (0);
    my $length = sub {
        my $first = unpack 'C', substr $bytes, $at, 1;
        return ++$at, $first if $first < 128;
        $at += 4;
        return undef, unpack('N', substr $bytes, $at - 4, 4) & 0x7fff_ffff;
    };
    while ($at < length $bytes) {
        my (undef, $name) = $length->();
        my (undef, $value) = $length->();
        push @pairs, [ substr($bytes, $at, $name), substr($bytes, $at + $name, $value) ];
        $at += $name + $value;
    }
    return \@pairs;
}

sub send_fastcgi {
    my ($client, $status, $lines, $body) = @_;
    my $output = join("\r\n", "Status: $status", @$lines) . "\r\n\r\n$body";
    my $record = sub { my ($type, $content) = @_; pack('CCnnCC', 1, $type, 1, length $content, 0, 0) . $content };
    SessT::Echo::put($client, $record->(STDOUT_STREAM, $_)) for unpack '(a' . LARGEST_RECORD . ')*', $output;
    SessT::Echo::put($client, $record->(STDOUT_STREAM, '') . $record->(END_REQUEST, "\0" x 8));
    return;
}

# --- uwsgi ---

sub receive_uwsgi {
    my ($client) = @_;
    my (undef, $length) = unpack 'CvC', bytes($client, 4) // return;
    my @texts = unpack '(v/a)*', bytes($client, $length) // return;
    return with_body($client, @texts);
}

sub send_uwsgi {
    my ($client, $status, $lines, $body) = @_;
    SessT::Echo::put($client, join("\r\n", "HTTP/1.1 $status Status", @$lines) . "\r\n\r\n$body");
    return;
}

# --- SCGI ---

sub receive_scgi {
    my ($client) = @_;
    my $digits = '';
    until ($digits =~ s/:\z//) { $digits .= bytes($client, 1) // return }
    my $bytes = bytes($client, $digits + 1) // return;
    return with_body($client, split /\0/, substr($bytes, 0, $digits), -1);
}

sub send_scgi {
    my ($client, $status, $lines, $body) = @_;
    SessT::Echo::put($client, join("\r\n", "Status: $status", @$lines) . "\r\n\r\n$body");
    return;
}

sub with_body {
    my ($client, @texts) = @_;
    my @pairs;
    while (@texts > 1) { push @pairs, [ splice @texts, 0, 2 ] }
    my %of = map { @$_ } @pairs;
    my $body = bytes($client, $of{CONTENT_LENGTH} || 0) // return;
    return (\@pairs, $body);
}

serve(@ARGV) unless caller;

1;
