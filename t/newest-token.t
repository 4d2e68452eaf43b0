# Which token a client ends with when its requests meet, with the sessions on a server and one worker: the newest, whatever order
# the answers leave in, and whichever of them is lost. And who never gets it: who has only a token from before a login.
use lib 't/lib';
use SessT 'no_plan';

use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

use SessT::Response;
use SessT::Servers;

require './t/speaking.pl';

rig 'none';
workers(1);
own_sections('stale');

our $redis = SessT::Servers->redis;
our @servers = qw(shm redis);

sub locations {
    my ($name) = @_;
    my $echo = 'proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;';
    my @location = map { my ($path, $lines) = @$_; "location = /$name/$path { session_storage $name; $lines }\n" } (
        [ set     => 'session_set a 1; return 204;' ],
        [ show    => 'session open; return 200 "$session_status|$session_subject|$session_json";' ],
        [ control => "session_control on; $echo" ],
        [ subject => 'session_subject $arg_u; return 204;' ],
        [ late    => "session_set late \$upstream_status phase=response; $echo" ],
        [ early   => "session_set early 1; $echo" ],
        [ touch   => "session_touch_threshold 0; $echo" ],
        [ renew   => 'session_renew_after 1s; return 204;' ],
        [ logout  => 'session logout; return 204;' ],
        [ destroy => 'session destroy; return 204;' ],
        [ 'header/set'   => 'session_lookup header:X-Token; session_set a 1; return 204;' ],
        [ 'header/early' => "session_lookup header:X-Token; session_set early 1; $echo" ],
        [ 'header/late'  => "session_lookup header:X-Token; session_set late \$upstream_status phase=response; $echo" ],
        [ 'header/show'  => 'session open; session_lookup header:X-Token; return 200 "$session_status|$session_subject|$session_json";' ],
    );
    return join '', @location;
}

add_block_preprocessor(sub {
    my ($block) = @_;
    my $stale = $block->stale // '10s';
    $block->set_value(http_config => "session_backend shm shm { size 1m; }\nsession_backend redis redis { server 127.0.0.1:@{[$redis->port]}; timeout 5s; connect_timeout 5s; }\nsession start;\nsession_secret x;\nsession_stale_ttl $stale;\n");
    $block->set_value(config => join '', "location = /plain { session off; return 200 plain; }\n", map { locations($_) } @servers);
    $block->set_value(request => 'GET /plain');
});

# --- a client ---

# `with` says what is not as usual: the token by a header, another address or User-Agent.
sub begin {
    my ($path, $token, %with) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ENV{TEST_NGINX_SERVER_PORT}, LocalAddr => $with{address} // '127.0.0.1', Timeout => 10) // die "connect: $!";
    my $agent = $with{agent} // 'browser';
    my $carrier = $with{header} ? 'X-Token: ' : 'Cookie: session=';
    print {$socket} "GET $path HTTP/1.1\r\nHost: app.test\r\nUser-Agent: $agent\r\nConnection: close\r\n", (defined $token ? "$carrier$token\r\n" : ()), "\r\n";
    $socket->flush;
    return $socket;
}

sub end {
    my ($socket) = @_;
    my ($text, $end) = ('', time + 20);
    while (time < $end && IO::Select->new($socket)->can_read($end - time)) { sysread $socket, $text, 65536, length $text or last }
    return SessT::Response->parse($text, closed => 1);
}

sub get { return end(begin(@_)) }

# The token that a response brings: `none` where it brings none, '' where it takes it away.
sub token {
    my ($response) = @_;
    my $cookie = $response->set_cookie('session');
    return $cookie ? $cookie->{value} : $response->header('X-Token') // 'none';
}

sub got_token { return token(get(@_)) }

sub told { my ($name, @lines) = @_; return "/$name/control?" . wanted_lines(@lines) }

sub shows_session {
    my ($what, $name, $token, $wanted, %with) = @_;
    my $path = $with{header} ? "/$name/header/show" : "/$name/show";
    my $got = get($path, $token, %with)->{body};
    is _sorted($got), _sorted($wanted), $what;
    return;
}

sub is_token { my ($what, $token) = @_; return like $token, qr/\AAQ[\w-]{108,}\z/, $what }

# --- answers that overtake each other ---

# The second begins later to change the session, and answers before the first. Returns both answers.
sub overtake {
    my ($token, $first, $second, %with) = @_;
    my @sockets = map { begin($_, $token, %with) } "$first?delay=700", "$second?delay=250";
    return reverse map { end($_) } reverse @sockets;
}

sub two_saves {
    my ($name) = @_;
    my $old = got_token("/$name/set");
    my ($first, $second) = map { token($_) } overtake($old, "/$name/early", "/$name/late");
    is_token("$name: the one that overtakes has a token", $second);
    is($first, $second, "$name: the answer that leaves last has the newest one, too");
    sleep 1.6;
    shows_session("$name: the browser has the session after session_stale_ttl", $name, $first, 'open||{"a":"1","early":"1","late":"200"}');
    return;
}

sub two_saves_by_header {
    my ($name) = @_;
    my $old = got_token("/$name/header/set");
    my @answers = overtake($old, "/$name/header/early", "/$name/header/late", header => 1);
    my ($first, $second) = map { token($_) } @answers;
    is_token("$name: the one that overtakes has a token", $second);
    is($first, $second, "$name: the answer that leaves last has the newest one in the header, too");
    is_deeply([map { scalar $_->set_cookies } @answers], [0, 0], "$name: and no cookie");
    sleep 1.6;
    shows_session("$name: the client has the session after session_stale_ttl", $name, $first, 'open||{"a":"1","early":"1","late":"200"}', header => 1);
    return;
}

sub touch_and_save {
    my ($name) = @_;
    my $old = got_token("/$name/set");
    sleep 1.1;
    my ($first, $second) = map { token($_) } overtake($old, "/$name/touch", "/$name/late");
    is_token("$name: the one that saves has a token", $second);
    is($first, $second, "$name: the answer that only touches has the newest one, too");
    sleep 1.6;
    shows_session("$name: the browser has the session after session_stale_ttl", $name, $first, 'open||{"a":"1","late":"200"}');
    return;
}

# The answer of a request that has saved, when the session has gone a way that the request must not follow meanwhile.
sub overtaken_by {
    my ($name, $what, $second, $wanted) = @_;
    my $old = got_token("/$name/set");
    my $slow = begin("/$name/early?delay=700", $old);
    sleep 0.25;
    my $last = got_token($second, $old);
    is(token(end($slow)), 'none', "$name, $what: the answer that leaves last has no token");
    shows_session("$name, $what: what the browser has", $name, $last, $wanted);
    return;
}

sub overtaken {
    my ($name) = @_;
    overtaken_by($name, 'logout', "/$name/logout", 'missing||');
    overtaken_by($name, 'destroy', "/$name/destroy", 'missing||');
    overtaken_by($name, 'a subject', "/$name/subject?u=ann", 'open|ann|{"a":"1","early":"1"}');
    overtaken_by($name, 'regenerate', told($name, 'X-Session-Action: regenerate'), 'open||{"a":"1","early":"1"}');
    return;
}

# --- a renewal whose answer is lost ---

sub lost_renewal {
    my ($name) = @_;
    my $old = got_token("/$name/set");
    sleep 2.1;
    my $lost = got_token("/$name/renew", $old);
    is_token("$name: the first request renews", $lost);
    isnt($lost, $old, "$name: to a new token");
    is(got_token("/$name/renew", $old, agent => 'other'), 'none', "$name: another browser does not get it");
    is(got_token("/$name/renew", $old, address => '127.0.0.2'), 'none', "$name: nor does another address");
    my $again = got_token("/$name/renew", $old);
    is($again, $lost, "$name: the browser gets it once more");
    is(got_token("/$name/renew", $again), 'none', "$name: and no other when it has it");
    sleep 3.2;
    shows_session("$name: the old token is over", $name, $old, 'no-record||');
    shows_session("$name: the new one is good", $name, $again, 'open||{"a":"1"}');
    return;
}

# --- what a login does not hand on ---

my %login = (
    'a subject by header'    => sub { told($_[0], 'X-Session-Subject: ann', 'X-Session-Data: {"user":"ann"}') },
    'a regenerate'           => sub { told($_[0], 'X-Session-Action: regenerate', 'X-Session-Data: {"user":"ann"}') },
    'a subject by directive' => sub { "/$_[0]/subject?u=ann" },
);

# What the session is after each, as its owner sees it.
my %is = (
    'a subject by header'    => 'open|ann|{"a":"1","user":"ann"}',
    'a regenerate'           => 'open||{"a":"1","user":"ann"}',
    'a subject by directive' => 'open|ann|{"a":"1"}',
);

# Somebody knows the token from before the login, from the same address and with the same User-Agent.
sub login {
    my ($name, $what) = @_;
    my $old = got_token("/$name/set");
    my $new = got_token($login{$what}->($name), $old);
    is_token("$name, $what: a new token", $new);
    return $old, $new;
}

sub not_beyond {
    my ($name, $what) = @_;
    my ($old, $new) = login($name, $what);
    for my $path (told($name, 'X-Session-Data: {"b":1}'), told($name, 'X-Session-Info: {"b":1}', 'X-Session-Action: save'), "/$name/early", "/$name/late", "/$name/touch") {
        my $got = got_token($path, $old);
        unlike(get("/$name/show", $got)->{body}, qr/ann/, "$name, $what: no way into the session by $path");
        isnt($got, $new, "$name, $what: nor its token");
    }
    shows_session("$name, $what: the login is as it was", $name, $new, $is{$what});
    return;
}

# The id that is logged in with may have a past of its own, and a future.
sub not_beyond_in_between {
    my ($name, $what) = @_;
    my $old = got_token("/$name/set");
    my $next = got_token("/$name/early", $old);
    my $in = got_token($login{$what}->($name), $next);
    my $new = got_token("/$name/late", $in);
    my $wanted = $is{$what} =~ s/\{/{"early":"1","late":"200",/r;
    for my $token ($old, $next) {
        my $got = got_token(told($name, 'X-Session-Data: {"b":1}'), $token);
        unlike(get("/$name/show", $got)->{body}, qr/ann/, "$name, $what: no way into the session");
    }
    shows_session("$name, $what: the newest is as it was", $name, $new, $wanted);
    my $merged = got_token(told($name, 'X-Session-Data: {"c":1}'), $in);
    shows_session("$name, $what: who is logged in goes on from the newest", $name, $merged, $wanted =~ s/\{/{"c":1,/r);
    return;
}

sub ends_nothing {
    my ($name, $what) = @_;
    for my $path ("/$name/destroy", "/$name/logout", map { told($name, "X-Session-Action: $_") } qw(destroy logout)) {
        my ($old, $new) = login($name, $what);
        get($path, $old);
        shows_session("$name, $what: $path ends nothing of it", $name, $new, $is{$what});
        get($path, $new);
        like(get("/$name/show", $new)->{body}, qr/\Ano-record|\Amissing/, "$name, $what: its own token does");
    }
    return;
}

# Two who log in with one token do not get each other's session.
sub two_logins {
    my ($name) = @_;
    my $old = got_token("/$name/set");
    my @in = map { got_token("/$name/subject?u=$_", $old) } qw(ann bob);
    shows_session("$name: the first", $name, $in[0], 'open|ann|{"a":"1"}');
    shows_session("$name: the second", $name, $in[1], 'open|bob|{"a":"1"}');
    return;
}

sub for_each_login { my ($do) = @_; for my $name (@servers) { $do->($name, $_) for sort keys %login } return }

run_tests();
__DATA__

=== two saves whose answers arrive the other way round
--- stale: 1s
--- init
main::two_saves($_) for @main::servers;

=== the same with the token in a header
--- stale: 1s
--- init
main::two_saves_by_header($_) for @main::servers;

=== a touch whose answer arrives after that of a save
--- stale: 1s
--- init
main::touch_and_save($_) for @main::servers;

=== a save whose session is ended, or logged in with, before its answer leaves
--- init
main::overtaken($_) for @main::servers;

=== a renewal whose answer is lost
--- stale: 2s
--- init
main::lost_renewal($_) for @main::servers;

=== a token from before a login leads nowhere
--- init
main::for_each_login(\&main::not_beyond);

=== nor does an older one
--- init
main::for_each_login(\&main::not_beyond_in_between);

=== and it ends nothing
--- init
main::for_each_login(\&main::ends_nothing);

=== two logins with one token
--- init
main::two_logins($_) for @main::servers;
