# session_lookup where several things of a request meet: redirects, remember cookies, named sessions, bypassed requests.
use lib 't/lib';
use SessT 'no_plan';

require './t/refused.pl';
require './t/speaking.pl';
rig 'B2';

our $header = { T => qr/^X-Token: (AQ[\w-]+)/mi };
our $cookie = { T => qr/^Set-Cookie: session=([^;]+)/mi };

sub user { my ($wanted) = @_; sub { ($_[0]->header('X-User') // '-') eq $wanted or 'X-User ' . ($_[0]->header('X-User') // '-') } }

# The token by that header, and no cookie.
sub by_header {
    my ($name) = @_;
    return sub {
        my ($res) = @_;
        my @values = $res->headers($name);
        return "$name: " . scalar @values if @values != 1 || $values[0] !~ /\AAQ[\w-]{108,}\z/;
        return silent($res);
    };
}

sub no_token { my ($res) = @_; return $res->{head} =~ /^x-[ab-]*token:/mi ? 'a token in a header' : silent($res) }

refused('a header that is set', "session start;\nsession_lookup header:Session-Id;\nsession_request_headers id;", qr/"Session-Id"/, names => 'session_lookup');
refused('a header that is mapped', "session start;\nsession_lookup cookie header:X-User;\nsession_map_header x_user user;", qr/X.User/i, names => 'session_lookup');
refused('a header that controls', "session start;\nsession_lookup header:X-Session-Data;\nsession_control on;", qr/X-Session-Data/, names => 'session_lookup');
refused("a header of the response's properties", "session start;\nsession_lookup header:Session-Id;\nsession_response_headers id;", qr/"Session-Id"/, names => 'session_lookup');
refused("a header of another session's properties", <<'', qr/"Session-Id"/i, section => 'http_config', names => 'session_lookup');
session start; session_response_headers id; session_profile a { cookie_name a; } session start profile=a; session_lookup cookie header:Session-Id profile=a;

refused("header: $_", "session_lookup header:$_;", qr/$_/) for qw(Set-Cookie content-type Location Cache-Control ETag);
refused('the same header in another spelling', 'session_lookup header:X-A header:x_a;', qr/x_a/);
refused('two sessions in one header', <<'', qr/header:X-T/i, section => 'http_config', names => 'session_lookup');
session start; session_lookup header:X-T; session_profile a { cookie_name a; } session start profile=a; session_lookup cookie header:x-t profile=a;

refused("one session's token where another sets a header", <<'', qr/X-T/i, section => 'http_config', names => 'session_lookup');
session start; session_map_header X-T key; session_profile a { cookie_name a; } session start profile=a; session_lookup header:x-t profile=a;

add_refused();
run_tests();
__DATA__

=== a redirect keeps a session with news where that place is looked at, and nowhere else
--- config
session_lookup header:X-Token;
location = /try { session_set user ann; try_files /none /there; }
location = /try-away { session_set user ann; try_files /none /cookie; }
location = /there { session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /cookie { session_lookup cookie; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
['GET /there', 'GET /try', 'GET /try-away']
--- upstream_json eval
[user('-'), user('ann'), user('-')]
--- check eval
[\&no_token, (by_header('X-Token')) x 2]

=== a redirect finds the token again that hide took away, in a header and in an argument
--- config
session_hide on;
location = /seed { session_set user $arg_u; return 204; }
location = /h { session_lookup header:X-Token; try_files /none @h; }
location @h { session_lookup header:X-Token; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /a { session_lookup arg:t; try_files /none @a; }
location @a { session_lookup arg:t; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- capture eval
[$::cookie]
--- request eval
['GET /seed?u=ann', 'GET /h?x=1', 'GET /a?t=$CAPTURED_T&x=1']
--- more_headers eval
['', 'X-Token: $CAPTURED_T', '']
--- error_code eval
[204, 200, 200]
--- upstream_json eval
[undef,
 all_hold(user('ann'), sub { !defined $_[0]->header('X-Token') or 'the token went upstream' }),
 all_hold(user('ann'), sub { $_[0]{uri} eq '/a?x=1' or $_[0]{uri} })]

=== a redirect does not find a session again that was ended, also where the client gets nothing
--- config
location = /seed { session_set user $arg_u; return 204; }
location = /h { session_lookup header:X-Token; session destroy; try_files /none @h; }
location @h { session_lookup header:X-Token; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /a { session_lookup arg:t; session logout; try_files /none @a; }
location @a { session_lookup arg:t; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- capture eval
[$::cookie]
--- request eval
['GET /seed?u=ann', 'GET /h', 'GET /a?t=$CAPTURED_T']
--- more_headers eval
['', 'X-Token: $CAPTURED_T', '']
--- error_code eval
[204, 200, 200]
--- upstream_json eval
[undef, user('-'), user('-')]
--- check eval
[undef, (\&no_token) x 2]

=== logout of one of two audiences: a header is given what remains, an argument loses the session
--- http_config
session_backend s shm { size 1m; }
--- config
session_storage s;
session_stale_ttl 1s;
session_lookup header:X-Token arg:t;
location = /one { session_audience one; session_set user ann; return 204; }
location = /two { session_audience two; session_set user bob; return 204; }
location = /out { session_audience one; session logout; return 204; }
location = /see { session_audience $arg_of; return 200 "$session_status $session_data_user"; }
--- capture eval
[$::header, $::header, $::header, undef, undef, $::header, undef, undef, undef]
--- request eval
['GET /one', 'GET /two', 'GET /out', 'GET /see?of=one', 'GET /see?of=two',
 'GET /one', 'GET /out?t=$CAPTURED_T', 'GET /see?of=one', 'GET /see?of=two']
--- more_headers eval
['', 'X-Token: $CAPTURED_T', 'X-Token: $CAPTURED_T', 'X-Token: $CAPTURED_T', 'X-Token: $CAPTURED_T',
 'X-Token: $CAPTURED_T', '', 'X-Token: $CAPTURED_T', 'X-Token: $CAPTURED_T']
--- error_code eval
[204, 204, 204, 200, 200, 204, 204, 200, 200]
--- shown eval
["", "", "", 'no-audience ', 'open bob', "", "", 'no-record ', 'no-record ']
--- check eval
[(by_header('X-Token')) x 3, (\&no_token) x 2, by_header('X-Token'), (\&no_token) x 3]

=== a remember cookie is looked at where cookies are, and brings back a session that goes by cookie
--- http_config
session_remember on;
session_remember_safety None;
--- config
location = /seed { session_set user ann; return 204; }
location = /hc { session_lookup header:X-Token cookie; return 200 "$session_status $session_data_user"; }
location = /h { session_lookup header:X-Token; return 200 "$session_status $session_data_user"; }
--- capture eval
[{ R => qr/^Set-Cookie: remember=([^;]+)/mi, T => qr/^Set-Cookie: session=([^;]+)/mi }]
--- request eval
['GET /seed', 'GET /hc', 'GET /h', 'GET /hc', 'GET /hc']
--- more_headers eval
['', 'Cookie: remember=$CAPTURED_R', 'Cookie: remember=$CAPTURED_R', "Cookie: remember=\$CAPTURED_R\nX-Token: \$CAPTURED_T", "Cookie: remember=bad; session=bad\nX-Token: bad"]
--- error_code eval
[204, (200) x 4]
--- shown eval
["", 'remembered ann', 'missing ', 'open ann', 'bad-format ']
--- check eval
[undef, sub { my @set = sort map { $_->{name} } $_[0]->set_cookies; "@set" eq 'remember session' or "sets @set" }, (\&no_token) x 3]

=== every session of a location has its own places, and its own carrier
--- http_config
session_profile admin { cookie_name admin; }
session_profile api { cookie_name api; }
--- config
location /p {
    session_lookup header:X-A-Token;
    session start profile=admin;
    session_lookup cookie header:X-B-Token profile=admin;
    session start profile=api;
    session_lookup arg:k profile=api;
    session_hide on;
    session_hide on profile=api;
    location = /p/set {
        session start;
        session start profile=admin;
        session start profile=api;
        session_set user ann;
        session_set user root profile=admin;
        session_set user bot profile=api;
        return 204;
    }
    location = /p/get {
        proxy_set_header X-Users "$session_data_user $session_admin_data_user";
        proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
        session start;
        session start profile=admin;
        session start profile=api;
    }
}
--- capture eval
[{ A => qr/^X-A-Token: (\S+)/mi, B => qr/^Set-Cookie: admin=([^;]+)/mi }]
--- request eval
['GET /p/set', 'GET /p/get?k=$CAPTURED_A&x=1', 'GET /p/get']
--- more_headers eval
['', "X-A-Token: \$CAPTURED_A\nX-B-Token: \$CAPTURED_B", "X-A-Token: \$CAPTURED_B\nX-B-Token: \$CAPTURED_A"]
--- error_code eval
[204, 200, 200]
--- response_headers eval
['Cache-Control: no-cache="X-A-Token, Set-Cookie"', '', '']
--- upstream_json eval
[undef,
 all_hold(sub { $_[0]->header('X-Users') eq 'ann root' or $_[0]->header('X-Users') }, sub { $_[0]{uri} eq '/p/get?x=1' or $_[0]{uri} },
          sub { !defined $_[0]->header('X-A-Token') or 'X-A-Token' }, sub { defined $_[0]->header('X-B-Token') or 'no X-B-Token' }),
 sub { $_[0]->header('X-Users') =~ /\A *\z/ or $_[0]->header('X-Users') }]
--- error_log eval
qr/a session found by "arg:k" is only read/

=== bypassed: hidden all the same, and nothing looked at
--- config
location / { session_lookup header:X-Token arg:t; session_hide on; session_bypass 1; proxy_set_header X-Status $session_status; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /off { session off; session_lookup header:X-Token arg:t; session_hide on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- rig_locations: off
--- request eval
['GET /?t=1&x=1', 'GET /off?t=1&x=1']
--- more_headers
X-Token: a
x-token: b
--- upstream_json eval
[all_hold(sub { $_[0]->header('X-Status') eq 'bypassed' or $_[0]->header('X-Status') }, sub { !defined $_[0]->header('X-Token') or 'X-Token' }, sub { $_[0]{uri} eq '/?x=1' or $_[0]{uri} }),
 all_hold(sub { $_[0]->header('X-Token') eq 'a' or 'no X-Token' }, sub { $_[0]{uri} eq '/off?t=1&x=1' or $_[0]{uri} })]

=== hide reaches a $request_uri that was read before
--- config
location / {
    session_lookup cookie arg:t;
    session_hide on;
    set $before $request_uri;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT$request_uri;
}
--- rig_locations: off
--- request
GET /a%2fb?x=1&t=secret
--- upstream_json eval
sub { $_[0]{uri} eq '/a%2fb?x=1' or $_[0]{uri} }

=== hide in a folded spelling, which CGI would take for the same
--- config
underscores_in_headers on;
location / { session_lookup header:X-Token; session_hide on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- rig_locations: off
--- request
GET /
--- more_headers
X_Token: a
x_token: b
X-Tokens: c
--- upstream_json eval
sub { (join ' ', grep { /token/i } map { $_->[0] } @{ $_[0]{headers} }) eq 'X-Tokens' or join ' ', map { $_->[0] } @{ $_[0]{headers} } }

=== the jar goes with the session, wherever its token is; found by an argument it stays as it is
--- config
session_lookup header:X-Token arg:t;
session_cookie_jar on;
location = /status { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- capture eval
[$::header]
--- request eval
['GET /?sc=a=1', 'GET /status', 'GET /status?t=$CAPTURED_T&sc=b=2', 'GET /status']
--- more_headers eval
['', 'X-Token: $CAPTURED_T', '', 'X-Token: $CAPTURED_T']
--- upstream_json eval
[undef, map { my $saw = $_; sub { ($_[0]->header('Cookie') // '-') eq $saw or 'Cookie ' . ($_[0]->header('Cookie') // '-') } } ('a=1') x 3]
--- check eval
[by_header('X-Token'), (\&no_token) x 3]
--- error_log eval
qr/a session found by "arg:t" is only read/
