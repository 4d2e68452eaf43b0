# The cookie jar and control headers, many requests at a time. With the sessions on a server, requests of one client that run at
# the same time in one worker lose nothing to each other; otherwise the last response wins.
use lib 't/lib';
use SessT 'no_plan';

use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

use SessT::Response;
use SessT::Seen;
use SessT::Servers;

require './t/talk.pl';

rig 'B4';
timeout 20;
own_sections('worker_count');

our $redis = SessT::Servers->redis;
our $proxy = SessT::Servers->proxy($redis);
our %port_of = (redis => $redis->port, slow => $proxy->port);

# Those where requests of one worker lose nothing to each other.
our @servers = qw(redis slow shm);

sub backend { my ($name) = @_; return "session_backend $name redis { server 127.0.0.1:$port_of{$name}; timeout 10s; connect_timeout 10s; }\n" }

sub locations {
    my ($name) = @_;
    my $storage = $name eq 'cookie' ? 'cookie' : $name;
    return <<"END_OF_LOCATIONS";
location /$name/         { session_storage $storage; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT/; }
location /$name/control/ { session_storage $storage; session_control on; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT/; }
location = /$name/json   { session_storage $storage; return 200 \$session_json; }
END_OF_LOCATIONS
}

add_block_preprocessor(sub {
    my ($block) = @_;
    workers($block->worker_count // 1);
    $block->set_value(http_config => join '', "session_backend shm shm { size 4m; }\n", map { backend($_) } sort keys %port_of);
    $block->set_value(config => join '', "listen 127.0.0.1:\$TEST_NGINX_H2_PORT ssl http2;\nssl_certificate \$TEST_NGINX_CERT;\nssl_certificate_key \$TEST_NGINX_CERT_KEY;\nlocation = /plain { session off; return 200 plain; }\n",
        map { locations($_) } @servers, 'cookie');
    $block->set_value(request => 'GET /plain') unless defined $block->talk;
});

# --- clients ---

sub send_request {
    my ($path, $token) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ENV{TEST_NGINX_SERVER_PORT}, Timeout => 10) // die "connect: $!";
    print {$socket} "GET $path HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n", (defined $token ? "Cookie: proxy-session=$token\r\n" : ()), "\r\n";
    $socket->flush;
    return $socket;
}

sub answer {
    my ($socket) = @_;
    my ($text, $end) = ('', time + 20);
    while (time < $end && IO::Select->new($socket)->can_read($end - time)) { sysread $socket, $text, 65536, length $text or last }
    return SessT::Response->parse($text, closed => 1);
}

sub ask { return answer(send_request(@_)) }

# All at the same time, a connection each. Returns the responses in the order of the paths.
sub ask_all {
    my ($token, @paths) = @_;
    my @asked = map { send_request($_, $token) } @paths;
    return map { answer($_) } @asked;
}

# All at the same time on one HTTP/2 connection. Returns the token that came last, and the responses in the order of the paths.
sub ask_streams {
    my ($token, @paths) = @_;
    my @files = map { html_dir() . "/stream.$_" } 0 .. $#paths;
    unlink @files;
    my $urls = join ' ', map { "--output '$files[$_]' 'https://127.0.0.1:$ENV{TEST_NGINX_H2_PORT}$paths[$_]'" } 0 .. $#paths;
    my $trace = html_dir() . '/trace';
    my $connects = `curl --silent --verbose --no-progress-meter --include --globoff --insecure --http2 --parallel --max-time 20 --header 'Host: app.test' --header 'Cookie: proxy-session=$token' --write-out '%{num_connects} ' $urls 2>'$trace'`;
    my $count = 0;
    $count += $_ for split ' ', $connects;
    is $count, 1, 'one connection for ' . @paths . ' streams';
    my ($last) = reverse SessT::Room::slurp($trace) =~ /^< set-cookie: proxy-session=([^;]+)/mgi;
    return $last // 'none', map { SessT::Response->parse(SessT::Room::slurp($_), closed => 1) } @files;
}

# No token at all is for the expectations to find.
sub token { my ($response) = @_; my ($set) = own_cookies($response); return $set ? $set->{value} : 'none' }

# A session with a cookie in its jar.
sub login { my ($name) = @_; return token(ask("/$name/?sc=" . encoded('old=0; Path=/'))) }

sub seen { my ($name, $token) = @_; return join '; ', sort split /; /, SessT::Seen->decode(ask("/$name/?", $token)->{body})->header('Cookie') // 'none' }

sub codes { my %count; $count{ $_->{code} }++ for @_; return join ' ', map { "$_: $count{$_}" } sort keys %count }

sub setting_cookie { my ($name, $i, $delay) = @_; return "/$name/?delay=$delay&sc=" . encoded("c$i=$i; Path=/") }

sub setting_data { my ($name, $i, $delay) = @_; return "/$name/control/?delay=$delay&rh=" . encoded(qq(X-Session-Data: {"k$i":$i})) }

my @ten = 0 .. 9;
our $all_ten = join '; ', (map { "c$_=$_" } @ten), 'old=0';
our $all_keys = join ',', map { qq("k$_":$_) } @ten;

# --- what is expected ---

sub expect_none_to_client {
    my ($what, @responses) = @_;
    my @others = grep { $_->{name} ne 'proxy-session' } map { $_->set_cookies } @responses;
    is "@{[map { $_->{line} } @others]}", '', "$what: none of the upstream's cookies reaches the client";
    return;
}

# Ten requests, each with a cookie of its own in its answer.
sub expect_all_cookies {
    my ($what, $name, @delays) = @_;
    my $token = login($name);
    my @paths = map { setting_cookie($name, $_, $delays[ $_ % @delays ]) } @ten;
    my ($last, @responses) = ask_streams($token, @paths);
    is codes(@responses), '200: 10', "$what: all are served";
    expect_none_to_client($what, @responses);
    is_newest($what, $all_ten, sub { seen($name, $_[0]) }, @responses);
    return;
}

# Each save goes on from the one before, so one of the tokens has everything. A client that takes them in the order in which
# they came ends with it; curl shows what came at once in an order of its own.
sub is_newest {
    my ($what, $wanted, $shown, @responses) = @_;
    my @all = map { $shown->($_) } grep { $_ ne 'none' } map { token($_) } @responses;
    is scalar(grep { $_ eq $wanted } @all), 1, "$what: one token has it all" or diag join "\n", $wanted, '--- not among', @all;
    return;
}

sub expect_all_data {
    my ($what, $name, @delays) = @_;
    my $token = login($name);
    my @paths = map { setting_data($name, $_, $delays[ $_ % @delays ]) } @ten;
    my ($last, @responses) = ask_streams($token, @paths);
    is codes(@responses), '200: 10', "$what: all are served";
    is_newest($what, "{$all_keys}", sub { sorted_keys(ask("/$name/json", $_[0])->{body}) }, @responses);
    is seen($name, $last), 'old=0', "$what: and the jar";
    return;
}

sub sorted_keys { my ($json) = @_; return '{' . join(',', sort split /,/, $json =~ s/\A\{|\}\z//gr) . '}' }

# Nobody needs to know more than his own cookie and what was there before; but that much is sure.
sub expect_own_cookie {
    my ($what, $name, $token, @responses) = @_;
    is codes(@responses), '200: 10', "$what: all are served";
    expect_none_to_client($what, @responses);
    my @wrong = grep { my $seen = seen($name, token($responses[$_])); $seen !~ /\bc$_=$_\b/ || $seen !~ /\bold=0\b/ } @ten;
    is "@wrong", '', "$what: each token has what was there and what its own answer added";
    is seen($name, $token), 'old=0', "$what: the old token opens for session_stale_ttl, with what it had";
    return;
}

# --- the cases ---

sub j25 {
    for my $name (@servers, 'cookie') {
        $redis->ask('FLUSHALL');
        my @responses = ask_all(undef, map { setting_cookie($name, $_, 20) } 1 .. 20);
        is(codes(@responses), '200: 20', "$name: all are served");
        expect_none_to_client($name, @responses);
        my @several = grep { own_cookies($_) != 1 } @responses;
        is(scalar(@several), 0, "$name: one Set-Cookie each");
        is($redis->ask('DBSIZE'), 20, "$name: 20 records") if $port_of{$name};
        my @wrong = grep { seen($name, token($responses[$_ - 1])) ne "c$_=$_" } 1 .. 20;
        is("@wrong", '', "$name: each with its own jar");
    }
    return;
}

sub j25_plain {
    for my $name (@servers, 'cookie') {
        $redis->ask('FLUSHALL');
        my @responses = ask_all(undef, ("/$name/") x 20);
        is(codes(@responses), '200: 20', "$name: all are served");
        my %token = map { token($_) => 1 } @responses;
        is(scalar(keys %token), 20, "$name: 20 sessions");
        is($redis->ask('DBSIZE'), 20, "$name: 20 records") if $port_of{$name};
    }
    return;
}

sub ten_connections {
    for my $name (@servers) {
        my $token = login($name);
        my @responses = ask_all($token, map { setting_cookie($name, $_, 100 + 60 * $_) } 0 .. 9);
        expect_own_cookie($name, $name, $token, @responses);
        is_newest($name, $all_ten, sub { seen($name, $_[0]) }, @responses);
    }
    return;
}

sub different {
    for my $name (@servers) {
        my $token = token(ask("/$name/?sc=" . join '&sc=', map { encoded("$_; Path=/") } 'keep=1', 'gone=1', 'same=1'));
        my ($last, @responses) = ask_streams($token,
            map { "/$name/?delay=$_->[0]&sc=" . encoded("$_->[1]; Path=/") } [100, 'new=2'], [150, 'gone=; Max-Age=0'], [200, 'keep=1'], [250, 'same=2'], [300, 'same=3']);
        is(codes(@responses), '200: 5', "$name: all are served");
        is(scalar(own_cookies($responses[2])), 0, "$name: what changes nothing saves nothing");
        is_newest($name, 'keep=1; new=2; same=3', sub { seen($name, $_[0]) }, @responses);
    }
    return;
}

sub on_and_on {
    for my $name (@servers) {
        my $last = login($name);
        for my $round (0 .. 3) {
            my (undef, @responses) = ask_streams($last, map { setting_cookie($name, 10 * $round + $_, 30 * $_) } 0 .. 4);
            ($last) = sort { length(seen($name, $b)) <=> length(seen($name, $a)) } map { token($_) } @responses;
        }
        my $expected = join '; ', sort 'old=0', map { my $round = $_; map { 'c' . (10 * $round + $_) . '=' . (10 * $round + $_) } 0 .. 4 } 0 .. 3;
        is(seen($name, $last), $expected, "$name: four rounds of five");
    }
    return;
}

# The logout has the token that was good when it was sent; what was saved since must not outlive it.
sub logout_meets_save {
    for my $name (@servers) {
        my $token = login($name);
        my @ends = map { "/$name/control/?delay=$_&rh=" . encoded('X-Session-Action: destroy') } 300;
        my ($saved, $ended) = ask_all($token, setting_cookie($name, 1, 50), @ends);
        is(codes($saved, $ended), '200: 2', "$name: both are served");
        is(seen($name, token($saved)), 'none', "$name: the token that was saved meanwhile opens nothing");
        is(seen($name, $token), 'none', "$name: nor does the old one");
        my ($late) = ask_all($token, setting_cookie($name, 2, 0));
        is(seen($name, token($late)), 'c2=2', "$name: and what comes after it is a session of its own");
    }
    return;
}

sub two_clients {
    for my $name (@servers, 'cookie') {
        my ($ann, $bob) = (login($name), login($name));
        my @asked = map { (send_request("/$name/?delay=100&sc=" . encoded("ann$_=1; Path=/"), $ann), send_request("/$name/?delay=100&sc=" . encoded("bob$_=1; Path=/"), $bob)) } 1 .. 5;
        my @seen = map { seen($name, token(answer($_))) } @asked;
        is(scalar(grep { /bob/ } @seen[0, 2, 4, 6, 8]), 0, "$name: none of bob's with ann");
        is(scalar(grep { /ann/ } @seen[1, 3, 5, 7, 9]), 0, "$name: none of ann's with bob");
    }
    return;
}

sub both {
    for my $name (@servers) {
        my $token = login($name);
        my ($last, @responses) = ask_streams($token, map { (setting_cookie($name, $_, 100 + 50 * $_), setting_data($name, $_, 120 + 50 * $_)) } 0 .. 4);
        is(codes(@responses), '200: 10', "$name: all are served");
        is_newest($name, 'c0=0; c1=1; c2=2; c3=3; c4=4; old=0{"k0":0,"k1":1,"k2":2,"k3":3,"k4":4}',
            sub { seen($name, $_[0]) . sorted_keys(ask("/$name/json", $_[0])->{body}) }, @responses);
    }
    return;
}

sub in_the_cookie {
    my $token = login('cookie');
    my ($last, @responses) = ask_streams($token, map { setting_cookie('cookie', $_, 100 + 40 * $_) } 0 .. 9);
    expect_own_cookie('cookie', 'cookie', $token, @responses);
    like(seen('cookie', $last), qr/\bc9=9; old=0\z/, 'the last one has its own, and what was there');
    return;
}

sub four_workers {
    for my $name (@servers, 'cookie') {
        my $token = login($name);
        my @responses = ask_all($token, map { setting_cookie($name, $_, 100) } 0 .. 9);
        expect_own_cookie($name, $name, $token, @responses);
    }
    return;
}

sub failing {
    my $token = login('redis');
    # A server out of memory reads, but does not write.
    $redis->ask('CONFIG', 'SET', 'maxmemory', '1');
    my @responses = ask_all($token, map { setting_cookie('redis', $_, 50) } 0 .. 9);
    $redis->ask('CONFIG', 'SET', 'maxmemory', '0');
    is(codes(@responses), '503: 10', 'no answer without its record');
    is(scalar(map { $_->set_cookies } @responses), 0, 'and no cookie at all');
    is(seen('redis', $token), 'old=0', 'the session is as it was');
    expect_all_cookies('redis: afterwards', 'redis', 100);
    return;
}

sub leaving {
    $proxy->fault('delay 100');
    my $token = login('slow');
    my @asked = map { send_request(setting_cookie('slow', $_, 50), $token) } 0 .. 9;
    sleep 0.12;
    close $asked[$_] for 0, 2, 4, 6;
    my @responses = map { answer($asked[$_]) } 1, 3, 5, 7, 8, 9;
    $proxy->fault('ok');
    is(codes(@responses), '200: 6', 'those who stay are served');
    is(scalar(grep { own_cookies($_) != 1 } @responses), 0, 'each with a token');
    return;
}

run_tests();
__DATA__

=== J25: 20 first requests at a time: each gets one session of its own
--- init
main::j25();

=== J25: and where the upstream sets nothing
--- init
main::j25_plain();

=== J25: four workers
--- worker_count: 4
--- init
main::j25();

=== J38: ten new clients in a row on one path: each ends with exactly one cookie
--- talk eval
join "\n", map { ("$_: /path?n=$_ <- A=client$_", "$_: /path => A=client$_", "$_: /path/deeper <- B=client$_", "$_: /path => B=client$_; A=client$_") } 1 .. 10
--- jar_edit eval
sub { my ($cookies, $i) = @_; main::is("@{[keys %$cookies]}", $i % 4 ? 'proxy-session' : '', 'what the client has') }

=== ten streams of one client, answered one after another: all cookies are in the jar
--- init
main::expect_all_cookies("$_: one after another", $_, map { 100 + 40 * $_ } 0 .. 9) for @main::servers;

=== ten streams of one client, the last first
--- init
main::expect_all_cookies("$_: the last first", $_, map { 500 - 40 * $_ } 0 .. 9) for @main::servers;

=== ten streams of one client, answered all at once
--- init
main::expect_all_cookies("$_: at once", $_, 200) for @main::servers;

=== ten streams of one client, and a server that takes its time
--- init
$main::proxy->fault('delay 60');
main::expect_all_cookies('slow: one after another', 'slow', map { 100 + 40 * $_ } 0 .. 9);
main::expect_all_cookies('slow: at once', 'slow', 200);
main::expect_all_cookies('slow: in two heaps', 'slow', 100, 180);
$main::proxy->fault('ok');

=== ten connections of one client: the one answered last has all
--- init
main::ten_connections();

=== one sets, one deletes, one changes, and one changes nothing
--- init
main::different();

=== the next request goes on from there
--- init
main::on_and_on();

=== a logout ends what another request has saved of the session meanwhile
--- init
main::logout_meets_save();

=== two clients at a time: nothing of one's gets into the other's jar
--- init
main::two_clients();

=== control headers: ten streams, each with a key of its own
--- init
for my $name (@main::servers) {
    main::expect_all_data("$name: one after another", $name, map { 100 + 40 * $_ } 0 .. 9);
    main::expect_all_data("$name: at once", $name, 200);
}

=== control headers: and a server that takes its time
--- init
$main::proxy->fault('delay 60');
main::expect_all_data('slow: at once', 'slow', 200);
main::expect_all_data('slow: in two heaps', 'slow', 100, 180);
$main::proxy->fault('ok');

=== cookies and control headers at the same time
--- init
main::both();

=== the session in the cookie: the last response wins, and nothing else breaks
--- init
main::in_the_cookie();

=== four workers: each token is good for what its own answer added
--- worker_count: 4
--- init
main::four_workers();

=== the storage fails while ten are held: each is 503, and the old token is good
--- init
main::failing();

=== clients that leave while others wait for the same session
--- init
main::leaving();
