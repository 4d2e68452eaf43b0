# Sessions in Redis: what is stored under which name and for how long, who may read it, and how few commands it takes.
use lib 't/lib';
use SessT 'no_plan';

use Digest::SHA qw(sha256);
use IO::Socket::INET;
use MIME::Base64 qw(decode_base64url encode_base64url);

use SessT::Certificates;
use SessT::Servers;

rig 'none';
timeout 10;

our $redis = SessT::Servers->redis('--user', 'web', 'on', '>right-password', '~*', '+@all', '--user', 'reader', 'on', '>right-password', '~*', '+get', '+hello', '+client');

our $authority = SessT::Certificates->new($redis->folder . '/tls');
my ($certificate, $key) = $authority->sign('redis.test');
my @expired = $authority->sign('redis.test', from => '20200101000000Z', to => '20200201000000Z');
our @identity = $authority->sign('client.test');

sub tls_server {
    my ($file, $key_file, @options) = @_;
    return SessT::Servers->redis('--port', '0', '--tls-port', SessT::Ports::free_port(), '--tls-cert-file', $file, '--tls-key-file', $key_file,
        '--tls-ca-cert-file', $authority->file, @options);
}

our %tls = (
    open    => tls_server($certificate, $key, '--tls-auth-clients', 'no'),
    closed  => tls_server($certificate, $key, '--tls-auth-clients', 'yes'),
    expired => tls_server(@expired, '--tls-auth-clients', 'no'),
);

# A backend, and sessions that are kept there.
sub kept_at {
    my ($server, $lines, $more) = @_;
    $_ //= '' for $lines, $more;
    return "session_backend store redis { server $server; timeout 5s; connect_timeout 5s; $lines }\n"
        . "session start;\nsession_secret test-secret;\nsession_storage store;\n$more";
}

sub kept { return kept_at('127.0.0.1:' . $redis->port, @_) }

sub by_tls {
    my ($which, $lines) = @_;
    my ($port) = "@{[$tls{$which}->options]}" =~ /--tls-port (\d+)/;
    return kept_at("127.0.0.1:$port", "ssl on; $lines");
}

my $locations = <<'END';
location = /put   { session_set user $arg_u; return 204; }
location = /show  { return 200 "$session_status [$session_data_user]"; }
location = /id    { return 200 "$session_id"; }
location = /out   { session destroy; return 204; }
location = /up    { session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /upput { session_set user $arg_u; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
END

add_block_preprocessor(sub {
    my ($block) = @_;
    $redis->ask('FLUSHALL');
    $block->set_value(config => ($block->config // '') . $locations);
});

sub keys_now { my @keys = sort split /\n/, $redis->ask('KEYS', '*'); return @keys }

sub ttl { return $redis->ask('TTL', $_[0]) }

# Subs for `check`.
sub sets   { my ($res) = @_; return length(($res->set_cookie('session') // { value => '' })->{value}) == 110 || 'no new token' }
sub silent { my ($res) = @_; return $res->{head} !~ /^Set-Cookie:/mi || 'a Set-Cookie line' }
sub clears { my ($res) = @_; return ($res->set_cookie('session') // { value => 'none' })->{value} eq '' || 'the cookie is not expired' }

# The commands that are not those of a new connection.
# Not counted: what belongs to a connection, and each worker's first look, for a record that nobody has.
sub asked {
    return grep { $_->[0] !~ /^(?:HELLO|CLIENT|AUTH|SELECT|PING|INFO)$/i && ($_->[1] // '') !~ /:A{43}(?:$|:)/ } @_;
}

# A request on its own, for checks that watch the server.
sub ask {
    my ($path, $cookie) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ENV{TEST_NGINX_SERVER_PORT}) or die "connect: $!";
    print {$socket} "GET $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", ($cookie ? "Cookie: $cookie\r\n" : ()), "\r\n";
    local $/;
    return scalar(<$socket>) // '';
}

sub token { my ($answer) = @_; return $answer =~ /^Set-Cookie: (session=[^;\r]+)/m ? $1 : die "no token in\n$answer" }

run_tests();

__DATA__

=== X1, L2: a value is stored and read, by all workers, with and without an upstream
--- http_config eval
main::kept()
--- cookie_jar
--- request eval
["GET /put?u=ann", ("GET /show") x 6, "GET /up", "GET /upput?u=bob", "GET /up", "GET /show"]
--- error_code eval
[204, (200) x 10]
--- check eval
[\&sets, (\&silent) x 7, \&sets, (\&silent) x 2]
--- response_body_like eval
["", (qr/^open \[ann\]$/) x 6, "", "", "", qr/^open \[bob\]$/]
--- upstream_json eval
my $user = sub { my ($name) = @_; sub { ($_[0]->header('X-User') // '-') eq $name or 'wrong X-User' } };
[(undef) x 7, $user->('ann'), undef, $user->('bob')]

=== the record: its name, its value, its life
--- http_config eval
main::kept('', 'session_rolling_timeout 20m; session_absolute_timeout 2h;')
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /id"]
--- error_code eval
[204, 200]
--- check eval
[undef, sub {
    my ($res) = @_;
    my ($key, @more) = keys_now();
    return "keys: $key @more" if @more || $key ne "session:$res->{body}";
    my $value = $main::redis->ask('GET', $key);
    return "value: $value" if $value !~ /^\["[\w-]+"\]$/;
    return 'user data in clear' if $value =~ /ann/;
    my $ttl = ttl($key);
    return $ttl > 1190 && $ttl <= 1200 || "ttl $ttl";
}]

=== the life of a record is never beyond the absolute timeout
--- http_config eval
main::kept('', 'session_rolling_timeout 20m; session_absolute_timeout 5m;')
--- request
GET /put?u=ann
--- error_code: 204
--- check eval
sub { my $ttl = ttl((keys_now())[0]); $ttl > 290 && $ttl <= 300 or "ttl $ttl" }

=== L3: what the client made up is not adopted
--- http_config eval
main::kept()
--- capture eval
[{ id => qr/^Set-Cookie: session=([^;]+)/m }, undef]
--- request eval
["GET /put?u=ann", "GET /show"]
--- more_headers eval
["Cookie: session=test-session-id", "Cookie: session=test-session-id"]
--- error_code eval
[204, 200]
--- response_body eval
["", "bad-format []"]
--- check eval
[sub { my @keys = keys_now(); @keys == 1 && $keys[0] !~ /test/ or "keys: @keys" }, \&clears]

=== X2: after the absolute timeout the session is over, and the record is gone
--- http_config eval
main::kept('', 'session_absolute_timeout 2s;')
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show"]
--- sleep_before eval
[0, 3.5]
--- error_code eval
[204, 200]
--- response_body eval
["", "expired-absolute []"]
--- check eval
[sub { keys_now() == 1 or 'no record' }, sub { keys_now() == 0 or 'the record is there' }]

=== X3, A13: saved twice: two ids; the first is gone after session_stale_ttl
--- http_config eval
main::kept('', 'session_stale_ttl 2s;')
--- capture eval
[{ first => qr/^Set-Cookie: (session=[^;]+)/m }, { second => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 4]
--- request eval
["GET /put?u=ann", "GET /put?u=bob", "GET /show", "GET /show", "GET /show", "GET /show"]
--- more_headers eval
["", 'Cookie: $CAPTURED_first', 'Cookie: $CAPTURED_first', 'Cookie: $CAPTURED_second', 'Cookie: $CAPTURED_first', 'Cookie: $CAPTURED_second']
--- sleep_before eval
[0, 0, 0, 0, 3, 0]
--- error_code eval
[204, 204, (200) x 4]
--- response_body eval
["", "", "open [ann]", "open [bob]", "no-record []", "open [bob]"]
--- check eval
[undef, sub { keys_now() == 2 or 'not two records' }, undef, undef, sub { keys_now() == 1 or 'not one record' }]

=== a stale record's life is cut, never lengthened
--- http_config eval
main::kept('', 'session_stale_ttl 10s; session_absolute_timeout 5s;')
--- capture eval
{ first => qr/^Set-Cookie: (session=[^;]+)/m }
--- request eval
["GET /put?u=ann", "GET /put?u=bob", "GET /put?u=cyd"]
--- more_headers eval
["", 'Cookie: $CAPTURED_first', 'Cookie: $CAPTURED_first']
--- error_code eval
[204, 204, 204]
--- check eval
[undef, undef, sub {
    my @lives = map { ttl($_) } keys_now();
    return @lives == 3 && !grep({ $_ > 5 || $_ < 1 } @lives) || "lives: @lives";
}]

=== E4: with rolling, the session gets a new id past 75 %, keeps its data, and the old id works for session_stale_ttl
--- http_config eval
main::kept('', 'session_rolling_timeout 8s; session_stale_ttl 3s; session_touch_threshold 1h;')
--- capture eval
[{ old => qr/^Set-Cookie: (session=[^;]+)/m }, undef, { new => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 3]
--- request eval
["GET /put?u=ann", "GET /show", "GET /show", "GET /show", "GET /show", "GET /show"]
--- more_headers eval
["", ('Cookie: $CAPTURED_old') x 3, 'Cookie: $CAPTURED_new', 'Cookie: $CAPTURED_old']
--- sleep_before eval
[0, 1, 6.2, 0.2, 0, 4]
--- error_code eval
[204, (200) x 5]
--- response_body_like eval
["", ("^open .ann.\$") x 4, "^(?:no-record|expired-rolling) ..\$"]
--- check eval
[\&sets, \&silent, \&sets, undef, \&silent, undef]

=== X6: names with a prefix, a suffix, both, none
--- http_config eval
main::kept()
--- request eval
[("GET /put?u=ann") x 4]
--- reload eval
[undef, map { +{ http_config => main::kept($_, 'session_cookie_name sid;') } } 'prefix p;', 'suffix s;', 'prefix p; suffix s;']
--- error_code eval
[(204) x 4]
--- check eval
my $key = sub { my ($pattern) = @_; sub { my @keys = keys_now(); $main::redis->ask('FLUSHALL'); @keys == 1 && $keys[0] =~ $pattern or "keys: @keys" } };
[map { $key->($_) } qr/^session:[\w-]{43}$/, qr/^p:sid:[\w-]{43}$/, qr/^sid:[\w-]{43}:s$/, qr/^p:sid:[\w-]{43}:s$/]

=== A17: with session_hash_storage_key the stored key is not the id
--- http_config eval
main::kept('', 'session_hash_storage_key on;')
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /id", "GET /show"]
--- error_code eval
[204, 200, 200]
--- response_body_like eval
["", "", "open .ann."]
--- check eval
[undef, sub {
    my $id = $_[0]{body};
    my $hash = encode_base64url(sha256(decode_base64url($id)));
    my @keys = keys_now();
    return "@keys" eq "session:$hash" || "id $id, keys @keys";
}]

=== A15, X5: a subject's sessions are listed; not those that have ended or expired
--- http_config eval
main::kept('', 'session_store_metadata on;')
--- config
location = /in    { session_subject $arg_s; return 204; }
location = /brief { session_subject $arg_s; session_absolute_timeout 2s; return 204; }
--- cookie_jar eval
['a', 'b', 'c', 'b', '-', 'a', 'a']
--- request eval
["GET /in?s=ann", "GET /in?s=ann", "GET /brief?s=ann", "GET /out", "GET /show", "GET /put?u=x", "GET /id"]
--- sleep_before eval
[0, 0, 0, 0, 3.5]
--- error_code eval
[(204) x 4, 200, 204, 200]
--- check eval
my $listed = sub {
    my ($count) = @_;
    return sub {
        my @members = split /\n/, $main::redis->ask('ZRANGE', 'session:ZGVmYXVsdA:YW5u', '(' . time, '+inf', 'BYSCORE');
        return @members == $count || "members: @members";
    };
};
[undef, $listed->(2), $listed->(3), $listed->(2), $listed->(1), $listed->(1), sub {
    my ($res) = @_;
    my $score = $main::redis->ask('ZSCORE', 'session:ZGVmYXVsdA:YW5u', $res->{body}) // '';
    return $score =~ /^\d+$/ && abs($score - time - 3600) < 5 || "score: $score";
}]

=== A15: hashed, the subject is nowhere; a list an audience
--- http_config eval
main::kept('prefix p;', 'session_store_metadata on; session_hash_subject on;')
--- config
location = /a { session_audience one; session_subject ann; return 204; }
location = /b { session_audience two; session_subject ann; return 204; }
--- cookie_jar
--- request eval
["GET /a", "GET /b"]
--- error_code eval
[204, 204]
--- check eval
[undef, sub {
    my $hash = encode_base64url(substr sha256('ann'), 0, 16);
    my @lists = grep { $main::redis->ask('TYPE', $_) eq 'zset' } keys_now();
    my %wanted = map { ("p:session:" . encode_base64url($_) . ":$hash" => 1) } qw(one two);
    return "lists: @lists" if @lists != 2 || grep { !$wanted{$_} } @lists;
    return "a raw subject: @lists" if grep { /ann|YW5u/ } @lists;
    my @counts = map { $main::redis->ask('ZCOUNT', $_, time, '+inf') } sort @lists;
    return "@counts" eq '1 1' || "counts: @counts";
}]

=== A12: a touch reads once, writes nothing, and keeps the id
--- http_config eval
main::kept('', 'session_touch_threshold 1s;')
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /id", "GET /show"]
--- error_code eval
[204, 200, 200]
--- init
my $cookie = main::token(main::ask('/put?u=ann'));
my ($id) = main::ask('/id', $cookie) =~ /\r\n\r\n(.*)/;
sleep 3;
my $answer;
my @commands = main::asked($main::redis->commands_during(sub { $answer = main::ask('/id', $cookie) }));
is "@{[map { $_->[0] } @commands]}", 'GET', 'one read and nothing else';
isnt main::token($answer), $cookie, 'another token';
like $answer, qr/\r\n\r\n\Q$id\E\z/, 'of the same id';
like main::ask('/show', main::token($answer)), qr/open \[ann\]/, 'that opens the session';

=== D7, E14: who only reads sends no write and gets no Set-Cookie, and no life grows
--- http_config eval
main::kept('', 'session_store_metadata on;')
--- request
GET /show
--- init
my $cookie = main::token(main::ask('/put?u=ann'));
$main::redis->ask('EXPIRE', (main::keys_now())[0], 100);
my @answers;
my @commands = main::asked($main::redis->commands_during(sub { @answers = map { main::ask($_, $cookie) } ('/show', '/up') x 5 }));
is "@{[map { $_->[0] } @commands]}", join(' ', ('GET') x 10), 'ten reads';
is scalar(grep { /^Set-Cookie/m } @answers), 0, 'no Set-Cookie';
is scalar(grep { /ann/ } @answers), 10, 'each has the data';
cmp_ok main::ttl((main::keys_now())[0]), '<=', 100, 'the life is what it was';

=== a save is one round of commands; a request without a cookie, or with a forged one, asks nothing
--- http_config eval
main::kept('', 'session_store_metadata on;')
--- request
GET /show
--- init
my @forged = ('session=x', 'session=' . 'B' x 110);
my @commands = main::asked($main::redis->commands_during(sub { main::ask('/show', $_) for undef, @forged }));
is "@{[map { $_->[0] } @commands]}", '', 'nothing is asked';
@commands = main::asked($main::redis->commands_during(sub { main::ask('/put?u=ann') }));
is "@{[grep { !/^(?:MULTI|EXEC)$/ } map { $_->[0] } @commands]}", 'SET', 'one write';
is $commands[0][0] eq 'SET' ? "@{$commands[0]}[3, 4]" : "@{$commands[1]}[3, 4]", 'EX 3600', 'with its life';

=== A10, E12: after destroy the record is gone; the old cookie opens nothing and is never revived
--- http_config eval
main::kept()
--- capture eval
[{ old => qr/^Set-Cookie: (session=[^;]+)/m }, { id => qr/^(.{43})$/m }, undef, undef, { new => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 2]
--- request eval
["GET /put?u=ann", "GET /id", "GET /out", "GET /show", "GET /put?u=eve", "GET /id", "GET /show"]
--- more_headers eval
["", ('Cookie: $CAPTURED_old') x 4, 'Cookie: $CAPTURED_new', 'Cookie: $CAPTURED_old']
--- error_code eval
[204, 200, 204, 200, 204, 200, 200]
--- response_body_like eval
["", "", "", "^no-record ..\$", "", "", "^no-record ..\$"]
--- check eval
[undef, undef, sub { keys_now() == 0 && clears(@_) }, \&clears, \&sets, sub { $_[0]{body} ne captured('id') or 'the old id again' }, sub { keys_now() == 1 or 'a second record' }]

=== A11: destroy, logout and touch without a session ask nothing and say nothing
--- http_config eval
main::kept()
--- config
location = /logout { session logout; return 204; }
--- request eval
["GET /out", "GET /logout", "GET /show"]
--- error_code eval
[204, 204, 200]
--- check eval
\&silent
--- no_error_log eval
[qr/\[(?:warn|error)\] .*session/]

=== A9: a logout of one of two audiences keeps the other; the second ends the session
--- http_config eval
main::kept()
--- config
location = /a  { session_audience a; session_set x 1; return 204; }
location = /b  { session_audience b; session_set y 2; return 204; }
location = /ga { session_audience a; return 200 "$session_status $session_json"; }
location = /gb { session_audience b; return 200 "$session_status $session_json"; }
location = /oa { session_audience a; session logout; return 204; }
location = /ob { session_audience b; session logout; return 204; }
--- cookie_jar
--- request eval
["GET /a", "GET /b", "GET /ga", "GET /gb", "GET /ob", "GET /gb", "GET /ga", "GET /oa"]
--- error_code eval
[204, 204, 200, 200, 204, 200, 200, 204]
--- response_body eval
["", "", 'open {"x":"1"}', 'open {"y":"2"}', "", 'no-audience ', 'open {"x":"1"}', ""]
--- check eval
[\&sets, \&sets, undef, undef, \&sets, undef, undef, \&clears]

=== A5: info changes the record alone, without a new cookie
--- http_config eval
main::kept()
--- config
location = /note { session_info_set last $arg_v; return 204; }
location = /last { return 200 "$session_info_last $session_data_user"; }
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /note?v=1", "GET /last", "GET /note?v=2", "GET /last", "GET /put?u=bob", "GET /last"]
--- error_code eval
[204, 204, 200, 204, 200, 204, 200]
--- response_body eval
["", "", "1 ann", "", "2 ann", "", "2 bob"]
--- check eval
[\&sets, (\&silent) x 4, \&sets, undef]

=== R: the remember cookie has a record of its own, which brings the user back and goes with the session
--- http_config eval
main::kept('', 'session_remember on; session_remember_safety None; session_stale_ttl 1s;')
--- cookie_jar
--- jar_edit eval
[undef, sub { delete $_[0]{session} }, undef, undef]
--- request eval
["GET /put?u=ann", "GET /show", "GET /show", "GET /out"]
--- sleep_before eval
[0, 0, 0, 2.5]
--- error_code eval
[204, 200, 200, 204]
--- response_body_like eval
["", "^remembered .ann.\$", "^open .ann.\$", ""]
--- check eval
[sub { my @names = map { /^(\w+):/ } keys_now(); "@names" eq 'remember session' or "records: @names" }, undef, undef, sub {
    my @keys = keys_now();
    return @keys == 1 && $keys[0] =~ /^session:/ || @keys == 0 || "records: @keys";
}]

=== T14: a token of the cookie storage opens nothing here, and the other way round
--- http_config eval
main::kept()
--- config
location = /cookie/put  { session_storage cookie; session_set user $arg_u; return 204; }
location = /cookie/show { session_storage cookie; return 200 "$session_status [$session_data_user]"; }
--- capture eval
[{ store => qr/^Set-Cookie: (session=[^;]+)/m }, { cookie => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 4]
--- request eval
["GET /put?u=ann", "GET /cookie/put?u=bob", "GET /show", "GET /cookie/show", "GET /show", "GET /cookie/show"]
--- more_headers eval
["", "", 'Cookie: $CAPTURED_cookie', 'Cookie: $CAPTURED_store', 'Cookie: $CAPTURED_store', 'Cookie: $CAPTURED_cookie']
--- error_code eval
[204, 204, (200) x 4]
--- response_body_like eval
["", "", "^bad-(?:format|signature) ..\$", "^bad-(?:format|signature) ..\$", "^open .ann.\$", "^open .bob.\$"]

=== T4, T16: other secrets, tampering, a removed record: the status tells which
--- http_config eval
main::kept()
--- config
location = /other { session_secret other; return 200 "$session_status"; }
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /other", "GET /put?u=ann", "GET /show", "GET /put?u=ann", "GET /show"]
--- jar_edit eval
[(undef) x 3, sub { $_[0]{session} =~ s/.\z/$& eq 'A' ? 'Q' : 'A'/e }]
--- before eval
[(undef) x 5, sub { $main::redis->ask('FLUSHALL') }]
--- error_code eval
[204, 200, 204, 200, 204, 200]
--- response_body eval
["", "bad-signature", "", "bad-signature []", "", "no-record []"]
--- check eval
[undef, \&clears, undef, \&clears, undef, \&clears]

=== O3: a record that is none is as no record, with a line in the log
--- http_config eval
main::kept()
--- init
my @values = ('', 'garbage', '[]', '[1]', '["!!"]', '["AAAA"]', '["' . 'A' x 2000 . '"]', '{"a":1}', "\0\xff", '[' x 100_000, 'null');
for my $value (@values) {
    $main::redis->ask('FLUSHALL');
    my $cookie = main::token(main::ask('/put?u=ann'));
    my ($key) = main::keys_now();
    # redis-cli takes no NUL as a word.
    my $shown = substr $value, 0, 20;
    $value =~ s/\0/\x01/g;
    $main::redis->ask('SET', $key, $value);
    my $answer = main::ask('/show', $cookie);
    like $answer, qr/^HTTP\/1.1 200 .*\r\n\r\nno-record \[\]\z/s, "the record is $shown";
    like $answer, qr/^Set-Cookie: session=; .*Max-Age=0/m, 'the cookie is cleared';
}
--- request
GET /show
--- error_log eval
qr/\[error\].*the record of cookie "session" is not used/

=== O3: the record of another session under this one's name opens nothing
--- http_config eval
main::kept()
--- init
my @cookies = map { main::token(main::ask("/put?u=$_")) } qw(ann bob);
my @keys = main::keys_now();
my @values = map { $main::redis->ask('GET', $_) } @keys;
$main::redis->ask('SET', $keys[$_], $values[1 - $_]) for 0, 1;
like main::ask('/show', $_), qr/no-record \[\]\z/, 'not opened' for @cookies;
--- request
GET /show
--- error_log eval
qr/\[error\].*the record of cookie "session" is not used/

=== X9: two prefixes on one server: a cookie of one opens nothing in the other, and clearing one leaves the other
--- http_config eval
main::kept('prefix one;') . main::kept('prefix two;') =~ s/session_backend store/session_backend other/r =~ s/^session .*//msr
--- config
location = /2/put  { session_storage other; session_set user $arg_u; return 204; }
location = /2/show { session_storage other; return 200 "$session_status [$session_data_user]"; }
--- capture eval
[{ one => qr/^Set-Cookie: (session=[^;]+)/m }, { two => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 5]
--- request eval
["GET /put?u=ann", "GET /2/put?u=bob", "GET /2/show", "GET /show", "GET /2/show", "GET /show", "GET /2/show"]
--- more_headers eval
["", "", 'Cookie: $CAPTURED_one', 'Cookie: $CAPTURED_one', 'Cookie: $CAPTURED_two', 'Cookie: $CAPTURED_one', 'Cookie: $CAPTURED_two']
--- before eval
[(undef) x 5, sub { $main::redis->ask('DEL', grep { /^one:/ } keys_now()) }]
--- error_code eval
[204, 204, (200) x 5]
--- response_body eval
["", "", "no-record []", "open [ann]", "open [bob]", "no-record []", "open [bob]"]

=== L8: session_create always makes one record, and no second
--- http_config eval
main::kept('', 'session_create always;')
--- cookie_jar
--- request eval
["GET /show", "GET /show", "GET /up"]
--- check eval
[\&sets, \&silent, sub { silent(@_) eq '1' && keys_now() == 1 or 'a second session' }]

=== reload and restart of nginx keep the sessions
--- http_config eval
main::kept()
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show", "GET /show"]
--- reload eval
[undef, 1]
--- restart eval
[undef, undef, 1]
--- error_code eval
[204, 200, 200]
--- response_body eval
["", "open [ann]", "open [ann]"]

=== X7: a user and a password, and a database of one's own
--- http_config eval
main::kept('username web; password right-password; database 3; pool_size 2;')
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show"]
--- error_code eval
[204, 200]
--- response_body eval
["", "open [ann]"]
--- check eval
[undef, sub { $main::redis->ask('-n', 3, 'DBSIZE') eq '1' && $main::redis->ask('DBSIZE') eq '0' or 'not in database 3' }]

=== X7: a password from a file
--- post_setup_server_root
SessT::Room::spew(main::server_root() . '/conf/password', "right-password\n");
chmod 0600, main::server_root() . '/conf/password';
--- http_config eval
main::kept('username web; password_file password;')
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show"]
--- error_code eval
[204, 200]
--- response_body eval
["", "open [ann]"]

=== X7: a wrong password, an unknown user, a database that is not there: 503, a line in the log, and no password in it
--- http_config eval
main::kept('username web; password wrong-password;')
--- request eval
[("GET /put?u=ann") x 3]
--- reload eval
[undef, map { +{ http_config => main::kept($_) } } 'username nobody; password right-password;', 'username web; password right-password; database 4711;']
--- error_code eval
[(503) x 3]
--- check eval
\&silent
--- error_log eval
[qr/\[warn\].*storage "store" at start: the session storage refused us/, qr/\[error\].*storage "store": the session storage refused us/]
--- no_error_log
right-password
wrong-password

=== X7: a user who may read but not write
--- http_config eval
main::kept('username reader; password right-password;')
--- request eval
["GET /show", "GET /put?u=ann", "GET /show"]
--- error_code eval
[200, 503, 200]
--- check eval
\&silent
--- error_log eval
qr/\[error\].*storage "store": the session storage refused us.*ACL/

=== X7: by a Unix socket
--- http_config eval
main::kept_at('unix:' . $main::redis->socket)
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show"]
--- error_code eval
[204, 200]
--- response_body eval
["", "open [ann]"]
--- check eval
[undef, sub { keys_now() == 1 or 'no record' }]

=== X7: TLS with a trusted certificate and its name
--- http_config eval
main::by_tls('open', 'ssl_name redis.test; ssl_trusted_certificate ' . $main::authority->file . ';')
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show"]
--- error_code eval
[204, 200]
--- response_body eval
["", "open [ann]"]

=== X7: TLS with a certificate of the client's
--- http_config eval
main::by_tls('closed', 'ssl_name redis.test; ssl_trusted_certificate ' . $main::authority->file . "; ssl_certificate $main::identity[0]; ssl_certificate_key $main::identity[1];")
--- cookie_jar
--- request eval
["GET /put?u=ann", "GET /show"]
--- error_code eval
[204, 200]
--- response_body eval
["", "open [ann]"]

=== X7: TLS without verification
--- http_config eval
main::by_tls('expired', 'ssl_verify off;')
--- request
GET /put?u=ann
--- error_code: 204

=== X7: TLS with an unknown, an expired, a wrong certificate, without the client's, and none at all
--- http_config eval
main::by_tls('open', 'ssl_name redis.test;')
--- request eval
[("GET /put?u=ann") x 5]
--- reload eval
my $trusted = 'ssl_trusted_certificate ' . $main::authority->file . ';';
[undef, map { +{ http_config => $_ } } main::by_tls('expired', "ssl_name redis.test; $trusted"), main::by_tls('open', "ssl_name other.test; $trusted"),
    main::by_tls('closed', "ssl_name redis.test; $trusted"), main::kept("ssl on; ssl_name redis.test; $trusted")]
--- error_code eval
[(503) x 5]
--- check eval
\&silent
--- error_log eval
[qr/\[error\].*storage "store":/, qr/certificate/]
