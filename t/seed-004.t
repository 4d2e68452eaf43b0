# nginx-conf/middleware-sessions.conf does what an application's session middleware did: the cases of it.
use lib 't/lib';
use SessT 'no_plan';

use HTTP::Date qw(str2time);

require './t/preset.pl';
require './t/speaking.pl';
preset('middleware-sessions.conf');

# What the application reads in its request.session.
sub session_is { my ($json) = @_; return sub { my ($up) = @_; my $got = $up->header('X-Session') // 'none'; $got eq $json or "the application sees $got" } }
sub status_is  { my ($status) = @_; return sub { my ($res) = @_; my $got = $res->header('X-Session-Status'); $got eq $status or $got } }

run_tests();
__DATA__

=== L2, D1, L8, L9: a session from the first visit on, which is not sent again, and into which the application writes
--- cookie_jar
--- request eval
["GET /", "GET /", ask('/', 'X-Session-Data: {"user":"ann"}'), "GET /"]
--- upstream_json eval
[(session_is('{}')) x 3, session_is('{"user":"ann"}')]
--- check eval
[sets('__Host-session'), \&silent, all_hold(sets('__Host-session'), \&clean), \&silent]

=== D10: what the application stores is what it reads next, and no client sees it
--- cookie_jar
--- request eval
[map { ask('/', qq(X-Session-Data: {"n":$_})) } 1 .. 4]
--- upstream_json eval
[session_is('{}'), map { session_is(qq({"n":$_})) } 1 .. 3]
--- check eval
[(all_hold(sets('__Host-session'), \&clean)) x 4]

=== a client can neither read nor write it
--- request eval
[ask('/', 'X-Session-Data: {"user":"ann"}'), "GET /"]
--- more_headers
X-Session: {"user":"root"}
X-Session-Data: {"user":"root"}
X_Session_Subject: root
--- upstream_json eval
sub { my ($up) = @_; my $seen = join ' ', map { "$_->[0]: $_->[1]" } grep { $_->[0] =~ /session/i } @{ $up->{headers} }; $seen eq 'X-Session: {}' or $seen }
--- check eval
\&clean

=== C2: http_only off
--- with
session_cookie_http_only off;
--- request
GET /
--- check eval
sub { my $attr = $_[0]->set_cookie('__Host-session')->{attr}; !exists $attr->{httponly} && exists $attr->{secure} or join ' ', %$attr }

=== C5: a path of its own: a browser that keeps cookies counts 1, 2 below it, and has no session elsewhere
--- with
- session_cookie_prefix
session_cookie_path /api;
session_create lazy;
location = /api/show { return 200 "$session_data_n"; }
location = /show { return 200 "$session_status"; }
--- cookie_jar: strict
--- request eval
[ask('/api/', 'X-Session-Data: {"n":1}'), "GET /api/show", ask('/api/', 'X-Session-Data: {"n":2}'), "GET /api/show", "GET /show"]
--- shown eval
[undef, '1', undef, '2', 'missing']
--- check eval
[sub { my $path = $_[0]->set_cookie('session')->{attr}{path}; $path eq '/api' or $path }, undef, undef, undef, undef]

=== C11: fourteen days, by Max-Age and Expires alike
--- request
GET /
--- check eval
sub {
    my $attr = $_[0]->set_cookie('__Host-session')->{attr};
    return "Max-Age=$attr->{'max-age'}" if $attr->{'max-age'} != 14 * 86_400;
    my $off = str2time($attr->{expires}) - time - 14 * 86_400;
    return abs $off <= 2 ? 1 : "Expires is off by $off s";
}

=== T2: a cookie that was changed on the way is none, and the next one is another session
--- with
session_create lazy;
--- cookie_jar
--- request eval
[ask('/', 'X-Session-Data: {"user":"ann"}'), "GET /", ask('/', 'X-Session-Data: {"user":"bob"}'), "GET /"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{'__Host-session'} =~ s/(.)\z/$1 eq 'A' ? 'g' : 'A'/e if $i == 1 }
--- upstream_json eval
[undef, session_is('none'), session_is('none'), session_is('{"user":"bob"}')]
--- check eval
[sets('__Host-session'), all_hold(status_is('bad-signature'), expires('__Host-session')), sets('__Host-session'), all_hold(status_is('open'), \&silent)]

=== T4: a cookie made with another secret is none
--- with
- session_secret_file
session_secret one;
session_create lazy;
--- cookie_jar
--- request eval
[ask('/', 'X-Session-Data: {"user":"ann"}'), "GET /"]
--- reload eval
[undef, { http_config => preset_with('- session_secret_file', 'session_secret other;', 'session_create lazy;') }]
--- upstream_json eval
[undef, session_is('none')]
--- check eval
[sets('__Host-session'), all_hold(status_is('bad-signature'), expires('__Host-session'))]

=== T16: the client learns what came of its cookie: none, good, expired
--- with
session_create lazy;
session_idling_timeout 1s;
session_stale_ttl 1s;
--- cookie_jar eval
['a', 'a', 'a', 'a']
--- request eval
["GET /", ask('/', 'X-Session-Data: {"user":"ann"}'), "GET /", "GET /"]
--- sleep_before eval
[0, 0, 0, 2.2]
--- check eval
[status_is('missing'), status_is('new'), status_is('open'), sub { my $got = $_[0]->header('X-Session-Status'); $got =~ /\A(?:expired-idling|no-record)\z/ or $got }]

=== T16: a session that was ended is no record any more
--- with
session_create lazy;
--- capture eval
[{ token => qr/^Set-Cookie: (__Host-session=[^;]+)/m }, undef, undef]
--- request eval
[ask('/', 'X-Session-Action: save'), ask('/', 'X-Session-Action: destroy'), "GET /"]
--- more_headers eval
['', 'Cookie: $CAPTURED_token', 'Cookie: $CAPTURED_token']
--- check eval
[sets('__Host-session'), expires('__Host-session'), all_hold(status_is('no-record'), expires('__Host-session'))]

=== E15: a cookie that is sent by hand after its time is refused here, too
--- with
session_create lazy;
session_idling_timeout 0;
session_absolute_timeout 1s;
session_cookie_max_age 1s;
--- capture eval
[{ token => qr/^Set-Cookie: (__Host-session=[^;]+)/m }, undef]
--- request eval
[ask('/', 'X-Session-Data: {"user":"ann"}'), "GET /"]
--- more_headers eval
['', 'Cookie: $CAPTURED_token']
--- sleep_before eval
[0, 2.2]
--- upstream_json eval
[undef, session_is('none')]
--- check eval
[sets('__Host-session'), sub { my $got = $_[0]->header('X-Session-Status'); $got =~ /\A(?:expired-absolute|no-record)\z/ or $got }]

=== S1, S2: who is to be skipped has no session and gets none
--- request eval
["GET /", "GET /", "GET /"]
--- more_headers eval
["X-Skip-Session: 1", "User-Agent: uptime/2", ""]
--- check eval
[all_hold(status_is('bypassed'), \&silent), all_hold(status_is('bypassed'), \&silent), all_hold(status_is('new'), sets('__Host-session'))]

=== S10: skipped with a valid cookie: it is neither renewed nor cleared, and what the application writes is not kept
--- with
session_hide off;
--- cookie_jar
--- request eval
[ask('/', 'X-Session-Data: {"user":"ann"}'), ask('/', 'X-Session-Data: {"user":"bob"}'), "GET /"]
--- more_headers eval
["", "X-Skip-Session: 1", ""]
--- upstream_json eval
[undef, sub { my ($up) = @_; ($up->header('Cookie') // '') =~ /\A__Host-session=AQ/ && !defined $up->header('X-Session') or 'the cookie does not pass' }, session_is('{"user":"ann"}')]
--- check eval
[sets('__Host-session'), all_hold(status_is('bypassed'), \&silent, \&clean), \&silent]

=== D3: all keys are removed, the session stays
--- cookie_jar
--- request eval
[ask('/', 'X-Session-Data: {"a":1,"b":{"c":2}}'), ask('/', 'X-Session-Data: {"a":null,"b":null}'), "GET /"]
--- upstream_json eval
[undef, session_is('{"a":1,"b":{"c":2}}'), session_is('{}')]
--- check eval
[sets('__Host-session'), sets('__Host-session'), all_hold(status_is('open'), \&silent)]

=== J32: no line of the log shows a whole id or what is stored
--- cookie_jar
--- request eval
[ask('/', 'X-Session-Data: {"user":"wilhelmine"}'), ask('/', 'X-Session-Action: explode'), "GET /"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{'__Host-session'} .= 'x' if $i == 2 }
--- error_log eval
[qr/\[error\].*X-Session-Action/, qr/\[info\].*refused/]
--- no_error_log eval
[qr/session: .*wilhelmine/, qr/session: .*[\w-]{43}/]

=== O5: sessions of visitors who do not come back make room when their time is over
--- with
session_backend visitors shm { size 1m; max_sessions 3; evict off; }
session_idling_timeout 0;
session_absolute_timeout 3s;
--- request eval
[("GET /") x 5]
--- error_code eval
[200, 200, 200, 503, 200]
--- sleep_before eval
[0, 0, 0, 0, 5]
--- check eval
[(sets('__Host-session')) x 3, \&silent, sets('__Host-session')]
