# Reload, restart, and the loss of workers: who has a session keeps it, as long as the key is the same.
use lib 't/lib';
use SessT 'no_plan';

use IO::Socket::INET;
use Time::HiRes qw(sleep time);

rig 'none';
workers(4);

# The locations of every configuration here.
our $LOCATIONS_HERE = <<'END';
location = /put  { session_set user $arg_u; return 204; }
location = /show { return 200 "$session_status [$session_data_user]"; }
location = /slow { session_set slow $arg_u; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?delay=600; }
END

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(config => ($block->config // '') . $LOCATIONS_HERE);
});

sub path { server_root() . "/conf/$_[0]" }

# A file of secrets, as an operator would write it.
sub secrets {
    my ($name, $mode, @lines) = @_;
    SessT::Room::spew(path($name), join '', map { "$_\n" } @lines);
    chmod $mode, path($name) or die "chmod: $!";
    return;
}

sub master { SessT::Room::slurp(server_root() . '/logs/nginx.pid') =~ /(\d+)/ ? $1 : die 'no pid' }

sub worker_pids { split ' ', `ps -o pid= --ppid @{[master()]}` }

sub ask {
    my ($path, $cookie) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ENV{TEST_NGINX_SERVER_PORT}) or die "connect: $!";
    print {$socket} "GET $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", ($cookie ? "Cookie: $cookie\r\n" : ()), "\r\n";
    $socket->flush;
    return $socket;
}

sub answer { my ($socket) = @_; local $/; return scalar(<$socket>) // '' }

run_tests();
__DATA__

=== the random key is kept by reloads, and lost with a restart
--- http_config
session start;
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show", "GET /show", "GET /show", "GET /show"]
--- reload eval
[undef, undef, 1, 1, undef]
--- restart eval
[(undef) x 4, 1]
--- error_code eval
[204, (200) x 4]
--- response_body eval
["", ("open [ann]") x 3, "bad-signature []"]
--- error_log eval
qr/\[warn\].*session: no "session_secret" is configured/

=== the random key is the same for all that have none, and is not that of others
--- http_config
session start;
--- config
location = /own  { session_secret own; return 200 "$session_status"; }
location = /name { session_idling_timeout 5m; return 200 "$session_status"; }
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /name", "GET /own"]
--- error_code eval
[204, 200, 200]
--- response_body eval
["", "open", "bad-signature"]

=== a random key that comes and goes with the configuration stays the same
--- http_config
session start;
--- cookie_jar eval
['random', 'random', 'fixed', 'fixed', 'random', 'fixed']
--- request eval
["GET /put?u=1", "GET /show", "GET /put?u=2", "GET /show", "GET /show", "GET /show"]
--- reload eval
[undef, undef, "session_secret x;\n$main::LOCATIONS_HERE", undef, $main::LOCATIONS_HERE, undef]
--- error_code eval
[204, 200, 204, 200, 200, 200]
--- response_body eval
["", "open [1]", "", "open [2]", "open [1]", "bad-signature []"]

=== with a secret, reloads and restarts keep the sessions; a changed one ends them, an old one as fallback does not
--- http_config
session start;
session_secret one;
--- cookie_jar
--- request eval
["GET /put?u=ann", ("GET /show") x 3, "GET /put?u=bob", "GET /show", "GET /show"]
--- reload eval
my $with = sub { +{ http_config => "session start; $_[0]", config => $main::LOCATIONS_HERE } };
[undef, 1, undef, $with->('session_secret two; session_secret_fallbacks one;'), undef, $with->('session_secret two;'), $with->('session_secret three;')]
--- restart eval
[undef, undef, 1, (undef) x 4]
--- error_code eval
[204, 200, 200, 200, 204, 200, 200]
--- response_body eval
["", ("open [ann]") x 3, "", "open [bob]", "bad-signature []"]

=== session_secret_file is read at each reload
--- post_setup_server_root
main::secrets('keys', 0600, 'one');
--- http_config
session start;
session_secret_file keys;
--- cookie_jar
--- before eval
[undef, sub { secrets('keys', 0600, 'two') }, undef, sub { secrets('keys', 0600, 'two', '', 'one') }, undef, undef, sub { secrets('keys', 0600, "two\r", 'x') }]
--- request eval
["GET /put?u=ann", "GET /show", "GET /show", "GET /show", "GET /put?u=bob", "GET /show", "GET /show"]
--- reload eval
[undef, undef, undef, 1, undef, undef, 1]
--- error_code eval
[204, 200, 200, 200, 204, 200, 200]
--- response_body eval
["", ("open [ann]") x 3, "", "open [bob]", "open [bob]"]

=== a changed file without the old secret
--- post_setup_server_root
main::secrets('keys', 0600, 'one');
--- http_config
session start;
session_secret_file keys;
--- cookie_jar
--- before eval
[undef, sub { secrets('keys', 0640, 'two') }]
--- request eval
["GET /put?u=ann", "GET /show"]
--- reload eval
[undef, 1]
--- error_code eval
[204, 200]
--- response_body eval
["", "bad-signature []"]

=== a reload with a file that others can read is refused, and the running nginx goes on
--- post_setup_server_root
main::secrets('keys', 0600, 'one');
--- http_config
session start;
session_secret_file keys;
--- reload_fails
--- cookie_jar
--- before eval
[undef, sub { secrets('keys', 0604, 'two'); kill HUP => master(); sleep 0.5 }, sub { unlink path('keys'); kill HUP => master(); sleep 0.5 }]
--- request eval
["GET /put?u=ann", "GET /show", "GET /show"]
--- error_code eval
[204, 200, 200]
--- response_body eval
["", ("open [ann]") x 2]
--- error_log eval
[qr/\[emerg\].*"session_secret_file" ".*keys" .*chmod 600.*nginx\.conf:\d+/, qr/\[emerg\].*"session_secret_file" ".*keys" cannot be read.*nginx\.conf:\d+/]

=== other directives change with a reload as well
--- http_config
session start;
session_secret one;
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show", "GET /show", "GET /show"]
--- reload eval
my $with = sub { +{ http_config => "session start; session_secret one; $_[0]", config => $main::LOCATIONS_HERE } };
[undef, $with->('session_cookie_name other;'), $with->('session_audience other;'), $with->('session_bind ip;')]
--- error_code eval
[204, 200, 200, 200]
--- response_body eval
["", "missing []", "no-audience []", "bad-signature []"]

=== a request that is under way when nginx reloads is answered and saved
--- http_config
session start;
--- init
my ($cookie) = answer(ask('/put?u=ann')) =~ /^Set-Cookie: (session=[^;]+)/m;
my @waiting = map { ask("/slow?u=$_", $cookie) } 1 .. 8;
sleep 0.2;
kill HUP => master();
my @saved = map { /^Set-Cookie: (session=[^;]+)/m } map { answer($_) } @waiting;
is scalar @saved, 8, 'all are answered with a session';
like answer(ask('/show', $saved[0])), qr/open \[ann\]\z/, 'which new workers open';
--- request
GET /show

=== many requests while nginx reloads again and again
--- http_config
session start;
--- init
my ($cookie) = answer(ask('/put?u=ann')) =~ /^Set-Cookie: (session=[^;]+)/m;
my ($asked, $good, $end, $reload) = (0, 0, time + 2, 0);
while (time < $end) {
    if (time > $reload) { kill HUP => master(); $reload = time + 0.3 }
    my @sockets = map { ask('/show', $cookie) } 1 .. 5;
    $asked += @sockets;
    $good += grep { answer($_) =~ /open \[ann\]\z/ } @sockets;
    sleep 0.01;
}
cmp_ok $asked, '>', 50, 'many requests';
is $good, $asked, 'each finds the session';
--- request
GET /show

=== a worker that goes is replaced by one that has the key
--- http_config
session start;
--- init
my ($cookie) = answer(ask('/put?u=ann')) =~ /^Set-Cookie: (session=[^;]+)/m;
my @old = worker_pids();
kill TERM => $_ for @old;
my $end = time + 5;
my %is_old = map { $_ => 1 } @old;
sleep 0.05 until time > $end || (grep { !$is_old{$_} } worker_pids()) == 4;
my @answers = map { answer(ask('/show', $cookie)) } 1 .. 10;
is scalar(grep { /open \[ann\]\z/ } @answers), 10, 'all workers open the session';
--- request
GET /show

=== all workers leave quickly when nothing is under way, also after keys were stretched
--- http_config
session start;
session_remember on;
session_remember_safety High;
--- init
answer(ask("/put?u=$_")) for 1 .. 8;
my $start = time;
my @old = worker_pids();
kill HUP => master();
my $end = time + 5;
sleep 0.02 while time < $end && grep { my $pid = $_; grep { $_ == $pid } @old } worker_pids();
cmp_ok time - $start, '<', 2, 'the old workers have left';
--- request
GET /show
--- no_error_log
open socket
