# session_bypass: requests that have nothing to do with sessions.
use lib 't/lib';
use SessT 'no_plan';

require './t/refused.pl';
rig 'B3';

sub no_set_cookie { my ($res) = @_; !$res->set_cookies or 'a Set-Cookie: ' . $res->header('Set-Cookie') }
sub a_token { my ($res) = @_; my @c = $res->set_cookies; @c == 1 && $c[0]{name} eq 'sid' && $c[0]{value} =~ /^AQ/ or join '|', map { $_->{line} } @c }

refused('no value', 'session_bypass;', qr/invalid number of arguments/);
refused('a broken value', 'session_bypass "${arg_";', qr/closing bracket/, names => 'arg_');
refused('outside http', 'session_bypass 1;', qr/not allowed here/, section => 'main_config');

add_refused();
run_tests();
__DATA__

=== S1, S2: a header decides: bypassed, or a session
--- config
session_bypass $http_x_skip;
add_header X-Cause "$session_status" always;
--- tls eval
[0, 0, 1, 0]
--- request eval
["GET /", "GET /", "GET /", "GET / HTTP/1.0"]
--- more_headers eval
["X-Skip: 1", "", "X-Skip: yes", "X-Skip: 1"]
--- response_headers eval
["X-Cause: bypassed", "X-Cause: new", "X-Cause: bypassed", "X-Cause: bypassed"]
--- check eval
[\&no_set_cookie, \&a_token, \&no_set_cookie, \&no_set_cookie]

=== S1: by HTTP/2
--- http2
--- config
session_bypass $http_x_skip;
add_header X-Cause "$session_status" always;
--- request eval
["GET /", "GET /"]
--- more_headers eval
["X-Skip: 1", ""]
--- response_headers eval
["X-Cause: bypassed", "X-Cause: new"]
--- check eval
[\&no_set_cookie, \&a_token]

=== S9: what is neither empty nor 0 bypasses
--- config
session_bypass $arg_n;
add_header X-Cause "$session_status" always;
--- request eval
["GET /?n=1", "GET /?n=0", "GET /", "GET /?n=", "GET /?n=00", "GET /?n=no", "GET /?n=off", "GET /?n=0.0"]
--- response_headers eval
[map { "X-Cause: $_" } qw(bypassed new new new bypassed bypassed bypassed bypassed)]
--- check eval
[map { $_ ? \&no_set_cookie : \&a_token } 1, 0, 0, 0, 1, 1, 1, 1]

=== S9: any of several values, on one line or on several; fixed ones and mixed ones
--- config
add_header X-Cause "$session_status" always;
location /line  { session_bypass $arg_a $arg_b; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /lines { session_bypass $arg_a; session_bypass $arg_b; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /zero  { session_bypass 0 ""; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /one   { session_bypass 0 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /mixed { session_bypass "$arg_a$arg_b"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /line?b=1", "GET /line?a=0&b=0", "GET /line?a=1&b=0", "GET /lines?b=1", "GET /lines?a=1", "GET /lines", "GET /zero", "GET /one", "GET /mixed?a=0", "GET /mixed?a=0&b=0"]
--- response_headers eval
[map { "X-Cause: $_" } qw(bypassed new bypassed bypassed bypassed new new bypassed new bypassed)]

=== S9: a map decides
--- http_config
map $uri $quiet { default 0; ~\.css$ 1; }
--- config
session_bypass $quiet;
--- request eval
["GET /style.css", "GET /page"]
--- check eval
[\&no_set_cookie, \&a_token]

=== S10: a valid cookie passes, and is neither renewed, touched, changed nor cleared
--- config
session_bypass $arg_n;
session_touch_threshold 1s;
session_renew_after 1s;
add_header X-Cause "$session_status/$session_id/$session_exists/$session_data_user" always;
location /skip/set { session_set user eve; session_subject eve; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /skip/out { session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /skip/bye { session logout; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- sleep_before eval
[0, 2.1, 0, 0, 0, 0]
--- request eval
["GET /set?u=ann", "GET /?n=1", "GET /skip/set?n=1", "GET /skip/out?n=1", "GET /skip/bye?n=1", "GET /get"]
--- more_headers eval
[('Cookie: a=1') x 6]
--- response_headers_like eval
['', ('X-Cause: bypassed///') x 4, 'X-Cause: open/[\w-]{43}/1/ann']
--- check eval
[\&a_token, (\&no_set_cookie) x 4, \&a_token]
--- upstream_json eval
[undef, (sub { $_[0]->header('Cookie') =~ /\Aa=1; sid=AQ/ or $_[0]->header('Cookie') }) x 4, sub { $_[0]->header('X-User') eq 'ann' or 'no session' }]

=== S10: a refused cookie is not cleared, nothing is logged about it, and no remember cookie is looked at
--- config
session_bypass $arg_n;
session_remember on;
session_remember_safety None;
--- request eval
["GET /?n=1", "GET /get?n=1"]
--- more_headers eval
["Cookie: sid=broken; sid2=x; remember=broken", "Cookie: sid=AQAA" . 'A' x 200]
--- check eval
\&no_set_cookie
--- upstream_json eval
[sub { $_[0]->header('Cookie') eq 'sid=broken; sid2=x; remember=broken' or $_[0]->header('Cookie') }, undef]
--- no_error_log
refused

=== identity headers are cleared all the same, hide hides
--- config
underscores_in_headers on;
session_bypass $arg_n;
session_hide on;
session_map_header X-User user;
session_request_headers subject id;
location /in { session_set user ann; session_subject ann; return 204; }
--- cookie_jar
--- request eval
["GET /in", "GET /?n=1", "GET /"]
--- more_headers eval
["", ("X-User: evil\nx_user: evil\nSession-Subject: evil\nsession_id: evil\nCookie: a=1") x 2]
--- error_code eval
[204, 200, 200]
--- upstream_json eval
[undef, sub {
    my ($up) = @_;
    my @bad = grep { $_->[0] =~ /^(?:x[-_]user|session)/i } @{ $up->{headers} };
    return "$bad[0][0]: $bad[0][1]" if @bad;
    return $up->header('Cookie') eq 'a=1' || $up->header('Cookie');
}, sub { $_[0]->header('X-User') eq 'ann' && $_[0]->header('Session-Subject') eq 'ann' or 'no session' }]

=== session_require refuses a bypassed request, with and without a session
--- config
session_bypass $arg_n;
session_create lazy;
location /members { session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /named   { session_require $session_data_user error=403; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /members?n=1", "GET /set?u=ann", "GET /members", "GET /members?n=1", "GET /named", "GET /named?n=1"]
--- error_code eval
[401, 200, 200, 401, 200, 403]

=== the response says nothing of a session
--- config
session_bypass $arg_n;
session_response_headers id timeout;
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /?n=1", "GET /"]
--- response_headers_like eval
['Session-Id: [\w-]{43}', "! Session-Id\n! Session-Timeout\n! Cache-Control", 'Session-Id: [\w-]{43}']

=== lists: the location's replaces the server's; 0 switches it off; http's is inherited
--- http_config
session_bypass $arg_h;
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location / { return 200 $session_status; } }
--- config
session_bypass $arg_s;
location /own  { session_bypass $arg_l; return 200 $session_status; location /own/in { return 200 $session_status; } }
location /zero { session_bypass 0; return 200 $session_status; }
location /same { return 200 $session_status; }
--- port eval
[(undef) x 7, ('$TEST_NGINX_RAND_PORT_1') x 2]
--- request eval
["GET /own?s=1", "GET /own?l=1", "GET /own/in?l=1", "GET /own/in?s=1", "GET /zero?s=1", "GET /same?s=1", "GET /same?h=1", "GET /?h=1", "GET /?s=1"]
--- response_body_like eval
[map { my $bypassed = $_; $bypassed ? qr/\Abypassed\z/ : qr/\A(?:missing|new)\z/ } 0, 1, 1, 0, 0, 1, 0, 1, 0]

=== an internal redirect out of a bypassed location: the new location decides
--- config
add_header X-Cause "$session_status" always;
location /a { session_bypass 1; try_files /none @b; }
location @b { session_set seen 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request
GET /a
--- response_headers
X-Cause: new
--- check eval
\&a_token
