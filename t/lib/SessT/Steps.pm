package SessT::Steps;

# What happens around each request of a block, in this order: sleep, code of the test, restart or reload, captured values
# and cookies put in, the exchange, cookies and captures taken, the test's own subs asked. Both harnesses send through
# here, so a block means the same in both.

use strict;
use warnings;

use JSON::PP ();
use Test::More ();
use Time::HiRes qw(sleep);

use SessT::Captures qw(fill_in forget_captures take);
use SessT::Connection;
use SessT::Curl;
use SessT::Jar;
use SessT::Response;
use SessT::Room qw(expand);
use SessT::Seen;
use SessT::Settings qw(setting);

# The jars outlive a block: the next may say `keep`.
my %jar;

# about: count (requests of the block), change (sub that reloads or restarts nginx and returns what was wrong)
sub new {
    my ($class, $block, %about) = @_;
    forget_captures();
    my $self = bless { block => $block, %about }, $class;
    $self->{jar_words} = $self->_jar_words;
    %jar = () unless $self->{jar_words}{keep};
    return $self;
}

sub _jar_words {
    my ($self) = @_;
    my $block = $self->{block};
    my $jars = $block->value('cookie_jar');
    my $words = join ' ', grep { defined && !ref } $jars, $block->value('jar_mode');
    my %word = map { $_ => 1 } split ' ', $words;
    my @unknown = grep { !/^(?:keep|strict)$/ } keys %word;
    die $block->name . ": `cookie_jar` knows keep and strict, not @unknown\n" if @unknown;
    return \%word;
}

# Sends the requests of the block that go at the same time; returns a result for each.
sub exchange_all {
    my ($self, @requests) = @_;
    my @ready = map { $self->_prepare($_, $requests[$_]) } 0 .. $#requests;
    my @connections = map { $self->_connect($_)->ask($_->{packets}, %$_) } @ready;
    SessT::Connection::run($self->_timeout, @connections);
    $_->close for @connections;
    return map { $self->_conclude($ready[$_], $connections[$_]) } 0 .. $#ready;
}

# Sends request $i, a list of packets.
sub exchange {
    my ($self, $i, $packets) = @_;
    my $ready = $self->_prepare($i, $packets);
    return $self->_conclude($ready, $self->_http2($ready)) if $ready->{http2};
    my $connection = $self->{connection} // eval { $self->_connect($ready) } // return $self->_nothing($ready, $@);
    $connection->ask($ready->{packets}, %$ready);
    SessT::Connection::run($self->_timeout, $connection);
    if   ($self->{block}->has('keepalive')) { $self->{connection} = $connection }
    else                                    { $connection->close }
    return $self->_conclude($ready, $connection);
}

sub _nothing {
    my ($self, $ready, $why) = @_;
    Test::More::fail($self->{block}->name . " - request $ready->{i}: $why");
    return $self->_conclude($ready, { raw => '', seconds => 0 });
}

sub _timeout {
    my ($self) = @_;
    my $timeout = $self->{block}->value('timeout') // setting('timeout');
    $timeout =~ s/\s*(m?)s\s*\z// and $1 and $timeout /= 1000;
    return $timeout * ($ENV{TEST_NGINX_USE_VALGRIND} ? 10 : 1);
}

sub _prepare {
    my ($self, $i, $packets) = @_;
    my $block = $self->{block};
    $self->_before($i);
    my $ready = {
        i => $i, tls => $block->flag('tls', $i), http2 => $block->flag('http2', $i),
        local => $block->item('client_addr', $i), timeout => $self->_timeout,
    };
    $ready->{port} = $self->_port($ready);
    my @packets = map { {%$_} } @$packets;
    _fill_packets(@packets);
    _keep_alive(\@packets) if $block->has('keepalive') && $i < $self->{count} - 1;
    @$ready{qw(method path host head_request until_closed)} = _facts(@packets);
    $self->_add_cookies($ready, \@packets);
    $ready->{packets} = \@packets;
    return $ready;
}

sub _before {
    my ($self, $i) = @_;
    my $block = $self->{block};
    my $pause = $block->item('sleep_before', $i);
    sleep $pause if $pause;
    my $code = $block->item('before', $i);
    $code->($i) if $code;
    for my $how (qw(restart reload)) {
        my $instead = $self->_instead($how, $i) or next;
        my $trouble = $self->{change}->($how, $instead);
        Test::More::fail($block->name . " - $how before request $i: $trouble") if $trouble;
    }
}

sub _instead {
    my ($self, $how, $i) = @_;
    my $block = $self->{block};
    return unless $block->has($how);
    return $i ? {} : undef unless ref $block->value($how);
    my $item = $block->item($how, $i);
    return $item if ref $item eq 'HASH';
    return unless $item;
    return $item eq '1' ? {} : { config => $item };
}

sub _port {
    my ($self, $ready) = @_;
    my $port = expand($self->{block}->item('port', $ready->{i}));
    return $port if defined $port && length $port;
    return $ENV{TEST_NGINX_TLS_PORT} if $ready->{tls};
    return $ready->{http2} ? $ENV{TEST_NGINX_H2_PORT} : $ENV{TEST_NGINX_CLIENT_PORT};
}

# A captured value in the body makes it longer or shorter than its Content-Length says.
sub _fill_packets {
    my (@packets) = @_;
    for my $packet (@packets) {
        my ($head, $body) = split /(?<=\r\n\r\n)/, $packet->{value}, 2;
        my ($filled_head, $filled_body) = (fill_in($head), fill_in($body) // '');
        my $change = length($filled_body) - length($body // '');
        $filled_head =~ s/^(Content-Length: *)(\d+)/$1 . ($2 + $change)/mie if $change;
        $packet->{value} = ($filled_head // '') . $filled_body;
    }
}

sub _keep_alive {
    my ($packets) = @_;
    for my $packet (@$packets) { last if $packet->{value} =~ s/^Connection: close\r$/Connection: keep-alive\r/mi }
}

sub _facts {
    my (@packets) = @_;
    my $bytes = join '', map { $_->{value} } @packets;
    my ($head) = split /\r\n\r\n/, $bytes, 2;
    my ($method, $uri, $version) = split ' ', ($head // '') =~ /\A(.*)/ ? $1 : '';
    my ($host) = ($head // '') =~ /^Host:[ \t]*([^\s:]*)/mi;
    my $close = ($head // '') =~ /^Connection:.*\bclose\b/mi || ($version // '') ne 'HTTP/1.1';
    my $pipelined = $bytes =~ /\r\n\r\n[A-Z]+ \S+ HTTP\/1\.[01]\r\n/;
    return ($method // '', $uri // '/', $host // '', ($method // '') eq 'HEAD', $close || $pipelined);
}

sub _jar_for {
    my ($self, $i) = @_;
    my $block = $self->{block};
    return unless $block->has('cookie_jar');
    my $names = $block->value('cookie_jar');
    my $name = ref $names ? $names->[$i] // '-' : 'the one';
    return if $name eq '-';
    my $jar = $jar{$name} //= SessT::Jar->new;
    $jar->strict($self->{jar_words}{strict});
    return $jar;
}

sub _add_cookies {
    my ($self, $ready, $packets) = @_;
    my $jar = $ready->{jar} = $self->_jar_for($ready->{i}) or return;
    my $edit = $self->{block}->item('jar_edit', $ready->{i});
    if ($edit) {
        my $plain = $jar->plain;
        $edit->($plain, $ready->{i});
        $jar->edited($plain);
    }
    my $line = $jar->cookie_line($ready) // return;
    for my $packet (@$packets) {
        last if $packet->{value} =~ s/^(Cookie: [^\r\n]*)/$1; $line/mi;
        last if $packet->{value} =~ s/\r\n\r\n/\r\nCookie: $line\r\n\r\n/;
    }
}

sub _connect {
    my ($self, $ready) = @_;
    return SessT::Connection->open(map { $_ => $ready->{$_} } qw(port local tls host timeout));
}

sub _http2 {
    my ($self, $ready) = @_;
    my $bytes = join '', map { $_->{value} } @{ $ready->{packets} };
    return SessT::Curl::exchange($bytes, map { $_ => $ready->{$_} } qw(port local tls timeout));
}

# The result of an exchange: raw bytes and the (first) response in them.
sub _conclude {
    my ($self, $ready, $done) = @_;
    my $block = $self->{block};
    my $response = SessT::Response->parse($done->{raw}, closed => 1, head_request => $ready->{head_request});
    $response->{seconds} = $done->{seconds};
    Test::More::fail($block->name . " - request $ready->{i}: no whole response within " . $self->_timeout . ' s')
        if $done->{timed_out} && !$block->has('abort');
    $ready->{jar}->store($response, $ready) if $ready->{jar};
    $self->_capture($ready->{i}, $response);
    $self->_ask_subs($ready->{i}, $response) unless $block->has('ignore_response');
    return { %$ready, raw => $done->{raw}, response => $response };
}

sub _capture {
    my ($self, $i, $response) = @_;
    my $wanted = $self->{block}->value('capture');
    $wanted = ref $wanted eq 'ARRAY' ? $wanted->[$i] : $i == 0 ? $wanted : undef;
    return unless $wanted;
    for my $name (take($wanted, "$response->{head}\r\n$response->{body}")) {
        Test::More::fail($self->{block}->name . " - request $i: nothing to capture as $name");
        Test::More::diag($response->{head});
    }
}

my %asks = (
    check              => sub { ($_[0]) },
    response_body_json => sub { (JSON::PP->new->utf8->allow_nonref->decode($_[0]{body}), $_[0]) },
    upstream_json      => sub { (SessT::Seen->decode($_[0]{body}), $_[0]) },
);

sub _ask_subs {
    my ($self, $i, $response) = @_;
    my $block = $self->{block};
    for my $section (sort keys %asks) {
        my $sub = $block->item($section, $i) or next;
        die $block->name . ": `--- $section eval` has to give a sub or a list of them\n" unless ref $sub eq 'CODE';
        my $said = eval { scalar $sub->($asks{$section}->($response), $i) };
        my $trouble = $@ ne '' ? $@ : verdict($said);
        Test::More::ok($trouble eq '', $block->name . " - $section (req $i)") or Test::More::diag($trouble);
    }
}

# A number other than 0 is a pass, a text tells what is wrong.
sub verdict {
    my ($said) = @_;
    return 'the sub returned nothing true' if !defined $said || $said eq '' || $said eq '0';
    return $said =~ /\A\d+(?:\.\d+)?\z/ ? '' : "$said";
}

1;
