# Sessions in shared memory: what the workers of one nginx keep together (storage "shm").
use lib 't/lib';
use SessT 'no_plan';

use File::Temp ();
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

rig 'none';
workers(4);

# A backend in a zone of its own, and the session that is kept there.
sub zone {
    my ($lines, $more) = @_;
    $more //= '';
    return "session_backend mem shm { $lines }\nsession start;\nsession_secret test-secret;\nsession_storage mem;\nkeepalive_requests 100000;\n$more";
}

our $LOCATIONS_HERE = <<'END';
location = /put  { session_set user $arg_u; return 204; }
location = /show { return 200 "$session_status [$session_data_user]"; }
location = /out  { session destroy; return 204; }
END

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(config => ($block->config // '') . $LOCATIONS_HERE);
});

# Text that cannot be compressed to much less.
sub noise {
    my ($size) = @_;
    my ($number, $text) = (1, '');
    while (length $text < $size) {
        $number = ($number * 1103515245 + 12345) % 2147483648;
        $text .= chr(97 + ($number >> 16) % 26);
    }
    return $text;
}

# The state file lies where the workers, who may be another user, can write.
our $folder = File::Temp->newdir('shm-XXXXXX', TMPDIR => 1);
chmod 0777, $folder;

sub state_of { my ($name) = @_; return "$folder/$name" }

sub state_size { my ($name) = @_; return -s state_of($name) // 0 }

# Waits until the state file is as wanted.
sub until_state {
    my ($name, $wanted) = @_;
    my $end = time + 15;
    sleep 0.1 until $wanted->(state_size($name)) || time > $end;
    return;
}

sub master { SessT::Room::slurp(server_root() . '/logs/nginx.pid') =~ /(\d+)/ ? $1 : die 'no pid' }

sub worker_pids { split ' ', `ps -o pid= --ppid @{[master()]}` }

sub connection {
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ENV{TEST_NGINX_SERVER_PORT}, Timeout => 5) // die "connect: $!";
}

# Sends many requests on one connection; answers the heads of what comes back.
sub many {
    my ($paths, $portion) = (@_, 100);
    my ($socket, @heads) = connection();
    for (my @left = @$paths; my @now = splice @left, 0, $portion;) {
        print {$socket} map { "GET $_ HTTP/1.1\r\nHost: localhost\r\n\r\n" } @now;
        $socket->flush;
        local $/ = "\r\n\r\n";
        for (@now) { push @heads, scalar(<$socket>) // die "nginx has closed the connection\n" }
    }
    return @heads;
}

sub cookie { my ($head) = @_; return $head =~ /^Set-Cookie: (session=[^;\r]+)/m ? $1 : undef }

sub ask {
    my ($path, $cookie) = @_;
    my $socket = connection();
    print {$socket} "GET $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", ($cookie ? "Cookie: $cookie\r\n" : ()), "\r\n";
    local $/;
    return scalar(<$socket>) // '';
}

# Whether the session of a cookie is there.
sub there { my ($cookie) = @_; return ask('/show', $cookie) =~ /open \[/ }

run_tests();
__DATA__

=== all workers see a session, and a reload keeps it; a restart does not
--- http_config eval
main::zone('size 1m;')
--- cookie_jar
--- request eval
["GET /put?u=ann", ("GET /show") x 8, "GET /put?u=bob", "GET /show", "GET /show"]
--- reload eval
[undef, undef, 1, (undef) x 4, 1]
--- restart eval
[(undef) x 11, 1]
--- error_code eval
[204, (200) x 8, 204, 200, 200]
--- response_body eval
["", ("open [ann]") x 8, "", "open [bob]", "no-record []"]

=== a zone of another size takes the sessions with it
--- http_config eval
main::zone('size 1m;')
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show", "GET /show"]
--- reload eval
[undef, { http_config => main::zone('size 2m;') }, { http_config => main::zone('size 64k;') }]
--- error_code eval
[204, 200, 200]
--- response_body eval
["", "open [ann]", "open [ann]"]
--- error_log
the zone "mem" has a new size: 1 sessions were copied

=== what a session that ended has left opens nothing
--- http_config eval
main::zone('size 1m;')
--- request eval
["GET /put?u=ann", "GET /out", "GET /show"]
--- capture eval
[{ token => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef]
--- more_headers eval
["", 'Cookie: $CAPTURED_token', 'Cookie: $CAPTURED_token']
--- error_code eval
[204, 204, 200]
--- response_body eval
["", "", "no-record []"]

=== max_sessions: the session that was used least recently has to go
--- http_config eval
main::zone('size 1m; max_sessions 2;')
--- cookie_jar eval
['a', 'b', 'a', 'c', 'a', 'b', 'c']
--- request eval
["GET /put?u=ann", "GET /put?u=bob", "GET /show", "GET /put?u=cid", "GET /show", "GET /show", "GET /show"]
--- error_code eval
[204, 204, 200, 204, 200, 200, 200]
--- response_body eval
["", "", "open [ann]", "", "open [ann]", "no-record []", "open [cid]"]

=== evict off: those who are there stay, and can save, but nobody can come
--- http_config eval
main::zone('size 1m; max_sessions 2; evict off;')
--- cookie_jar eval
['a', 'b', 'c', 'a', 'a', 'b']
--- request eval
["GET /put?u=ann", "GET /put?u=bob", "GET /put?u=cid", "GET /put?u=eve", "GET /show", "GET /show"]
--- check eval
my $cookie = sub { my ($res) = @_; defined $res->set_cookie('session') or 'no cookie' };
[$cookie, $cookie, sub { my ($res) = @_; !defined $res->set_cookie('session') or 'a cookie without a session' }, $cookie]
--- error_code eval
[204, 204, 503, 204, 200, 200]
--- response_body_like eval
["^\$", "^\$", "503", "^\$", "^open \\[eve\\]", "^open \\[bob\\]"]
--- error_log
the session storage is full

=== X11: 10 000 sessions for a zone of 64k: the oldest are dropped, no request fails
--- http_config eval
main::zone('size 64k;')
--- request
GET /show
--- before eval
sub {
    my @heads = many([map { "/put?u=$_" } 1 .. 10_000]);
    my @failed = grep { !/^HTTP\/1.1 204 / || !cookie($_) } @heads;
    die "a request failed: $failed[0]" if @failed;
    my @kept = grep { there(cookie($heads[$_])) } -1, -100, -1000, 0;
    die "kept are @kept" if "@kept" ne '-1 -100';
}
--- response_body: missing []

=== one that is larger than the zone is refused, and the session stays as it was
--- http_config eval
main::zone('size 64k;', 'large_client_header_buffers 4 64k;')
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /put?u=" . main::noise(40_000), "GET /show"]
--- check eval
[undef, sub { my ($res) = @_; !defined $res->set_cookie('session') or 'a cookie without a record' }, undef]
--- error_code eval
[204, 204, 200]
--- response_body eval
["", "", "open [ann]"]
--- error_log
the session storage takes at most

=== state: sessions outlive a restart
--- http_config eval
main::zone('size 1m; state ' . main::state_of('restart') . ';')
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show", "GET /show"]
--- restart eval
[undef, 1, 1]
--- error_code eval
[204, 200, 200]
--- response_body eval
["", "open [ann]", "open [ann]"]
--- check eval
[undef, sub { sprintf('%o', (stat state_of('restart'))[2] & 07777) eq '600' or 'others can read the state file' }, undef]
--- error_log
1 sessions were read from

=== state: the file is written while nginx runs
--- http_config eval
main::zone('size 1m; state ' . main::state_of('running') . ';')
--- request
GET /show
--- before eval
sub {
    ($main::cookie) = map { cookie($_) } many(['/put?u=ann']);
    until_state('running', sub { $_[0] > 100 });
    my $text = SessT::Room::slurp(state_of('running'));
    $text =~ /^NGXSESS\x01/ or die "this is not a state file\n";
    SessT::Room::spew(state_of('copied'), $text);
}
--- response_body: missing []

=== state: and what is in it then is enough, should nginx be killed
--- http_config eval
main::zone('size 1m; state ' . main::state_of('copied') . ';')
--- request
GET /show
--- before eval
sub { there($main::cookie) or die "the session is gone\n" }
--- response_body: missing []

=== state: a damaged file is reported and set aside
--- post_setup_server_root
SessT::Room::spew(main::state_of('damaged'), "NGXSESS\x01" . 'x' x 100);
--- http_config eval
main::zone('size 1m; state ' . main::state_of('damaged') . ';')
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show"]
--- error_code eval
[204, 200]
--- response_body eval
["", "open [ann]"]
--- check eval
[sub { -s state_of('damaged.damaged') == 108 or 'the damaged file is not aside' }, undef]
--- error_log eval
qr/\[error\].*session: the sessions in ".*damaged" cannot be used: it has 108 bytes and says \d+; it is now ".*damaged\.damaged"/

=== O5: without traffic, expired records are removed
--- http_config eval
main::zone('size 1m; state ' . main::state_of('expired') . ';', 'session_rolling_timeout 4s; session_idling_timeout 3s;')
--- request
GET /show
--- timeout: 20
--- before eval
sub {
    many([map { "/put?u=$_" } 1 .. 200], 50);
    until_state('expired', sub { $_[0] > 10_000 });
    my $full = state_size('expired');
    # Only what the zone has removed makes the file be written anew.
    until_state('expired', sub { $_[0] < 200 });
    my $empty = state_size('expired');
    die "$full bytes, then $empty" unless $full > 10_000 && $empty < 200;
}
--- response_body: missing []

=== a worker that is killed stops nobody, and takes no session with it
--- http_config eval
main::zone('size 1m;')
--- request
GET /show
--- timeout: 30
--- before eval
sub {
    my ($kept) = map { cookie($_) } many(['/put?u=ann']);
    for (1 .. 10) {
        defined(my $load = fork) or die "fork: $!";
        if (!$load) {
            # It may lose its connection.
            eval { many([map { "/put?u=$_" } 1 .. 1000], 50) };
            require POSIX;
            POSIX::_exit(0);
        }
        sleep 0.03 + 0.005 * $_;
        my @workers = worker_pids();
        kill KILL => $workers[$_ % @workers];
        waitpid $load, 0;
        there($kept) or die "the session is gone after $_ workers\n";
    }
}
--- response_body: missing []
--- error_log eval
qr/\[alert\] .*exited on signal 9/
