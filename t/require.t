# Group O, case O7: session_require, alone and with satisfy.
use lib 't/lib';
use SessT 'no_plan';

rig 'B2';

# /in logs in with a user and a role, /guest makes a session without; passwords for auth_basic; a service for auth_request.
add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->must_die;
    $block->set_value(config => ($block->config // '') . <<'END');
location = /in      { session_subject $arg_u; session_set role $arg_role; session_set n $arg_n type=int if=$arg_n; return 204; }
location = /guest   { session_set seen 1; return 204; }
location = /.check  { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=$http_x_service; }
END
    $block->set_value(user_files => ">>> htpasswd\nann:{PLAIN}apple\n");
});

run_tests();
__DATA__

=== O7: 401 without a session, 200 with one
--- cookie_jar
--- config
location = /need { session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /need", "GET /guest", "GET /need", "GET /out", "GET /need"]
--- error_code eval
[401, 204, 200, 204, 401]
--- response_headers eval
["! WWW-Authenticate\n! Set-Cookie", "", "! Set-Cookie", "", "! WWW-Authenticate"]

=== O7: 403
--- cookie_jar
--- config
location = /need { session_require on error=403; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /also { session_require error=403 on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /401  { session_require on error=401; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /need", "GET /also", "GET /401", "GET /guest", "GET /need", "GET /also", "GET /401"]
--- error_code eval
[403, 403, 401, 204, 200, 200, 200]

=== O7: a bad, an expired and a foreign cookie are no session
--- cookie_jar
--- config
location = /need  { session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /short { session_absolute_timeout 1s; session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /other { session_secret other; session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /aud   { session_audience other; session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /need", "GET /guest", "GET /aud", "GET /need", "GET /short", "GET /guest", "GET /other"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{session} = 'made-up' if $i == 0 }
--- sleep_before eval
[0, 0, 0, 0, 2.1, 0, 0]
--- error_code eval
[401, 204, 401, 200, 401, 204, 401]

=== O7: error_page 401 = @login
--- cookie_jar
--- config
location = /need { session_require on; error_page 401 = @login; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /page { session_require on; error_page 401 /login.html; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /up   { session_require on; error_page 401 = @up; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @login  { return 303 /login; }
location @up     { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /login.html { return 200 "please log in"; }
--- request eval
["GET /need", "GET /page", "GET /up", "GET /guest", "GET /need", "GET /page", "GET /up"]
--- error_code eval
[303, 401, 200, 204, 200, 200, 200]
--- response_headers_like eval
["Location: .*/login\n! Set-Cookie", "! Set-Cookie", "! Set-Cookie", ("") x 4]
--- response_body_like eval
["", qr/\Aplease log in\z/, ("") x 5]

=== values: all must be neither empty nor 0
--- cookie_jar
--- config
location = /user  { session_require $session_subject; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /two   { session_require $session_subject $session_data_role error=403; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /n     { session_require $session_data_n; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /arg   { session_require $arg_x; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /any   { session_require "$session_subject$arg_x"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /user", "GET /two", "GET /n", "GET /guest", "GET /user", "GET /in?u=ann", "GET /user", "GET /two", "GET /in?role=boss&n=0",
    "GET /two", "GET /n", "GET /in?role=boss&n=-1", "GET /n", "GET /in?u=0", "GET /user", "GET /arg?x=1", "GET /arg?x=0", "GET /arg?x=",
    "GET /arg?x=00", "GET /any?x=1"]
--- error_code eval
[401, 403, 401, 204, 401, 204, 200, 403, 204, 200, 401, 204, 200, 204, 401, 200, 401, 401, 200, 200]

=== it is inherited, and a level of its own replaces it
--- config
session_require on;
location = /free  { session_require off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /value { session_require $arg_x error=403; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /same  { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /same", "GET /free", "GET /value", "GET /value?x=1"]
--- error_code eval
[401, 200, 403, 200]

=== it refuses where session is off, and where the request is bypassed
--- cookie_jar
--- config
location = /off    { session off; session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /bypass { session_bypass $arg_b; session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /value  { session_bypass $arg_b; session_require $session_subject; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /in?u=ann", "GET /off", "GET /bypass", "GET /bypass?b=1", "GET /value", "GET /value?b=1"]
--- error_code eval
[204, 401, 200, 401, 200, 401]

=== open, logout and destroy locations can require a session
--- cookie_jar
--- config
location = /open    { session open; session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /destroy { session destroy; session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /open", "GET /destroy", "GET /guest", "GET /open", "GET /destroy", "GET /open", "GET /destroy"]
--- error_code eval
[401, 401, 204, 200, 200, 401, 401]
--- check eval
[(undef) x 4, sub { my $c = $_[0]->set_cookie('session'); $c && $c->{value} eq '' or 'not expired' }, undef, undef]

=== what is refused stores, renews and creates nothing
--- cookie_jar
--- config
session_create always;
location = /set   { session_require $arg_ok; session_set user bob; session_subject bob; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /renew { session_renew_after 1s; session_require $arg_ok; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /out   { session destroy; session_require $arg_ok; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /show  { session open; session_create lazy; return 200 "$session_status $session_subject $session_json"; }
--- rig_locations: off
--- request eval
["GET /set", "GET /show", "GET /in?u=ann&role=x", "GET /set", "GET /renew", "GET /out", "GET /show"]
--- sleep_before eval
[0, 0, 0, 0, 1.1, 0, 0]
--- error_code eval
[401, 200, 204, 401, 401, 401, 200]
--- response_headers eval
["! Set-Cookie", "! Set-Cookie", "", "! Set-Cookie", "! Set-Cookie", "! Set-Cookie", "! Set-Cookie"]
--- response_body_like eval
["", qr/\Amissing  \z/, ("") x 4, qr/\Aopen ann \{"role":"x"\}\z/]

=== what auth_basic, deny or limit_except refuse stores nothing either
--- config
session_create always;
location = /basic { auth_basic x; auth_basic_user_file $TEST_NGINX_HTML_DIR/htpasswd; session_set user $remote_user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /deny  { deny all; session_set user x; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /post  { limit_except POST { deny all; } session_set user x; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /asked { auth_request /.check; session_set user x; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /basic", "GET /deny", "GET /post", "GET /asked", "GET /basic", "POST /post\nx", "GET /asked"]
--- more_headers eval
["Authorization: Basic YW5uOnBlYXI=", "", "", "X-Service: 403", "Authorization: Basic YW5uOmFwcGxl", "", "X-Service: 200"]
--- user_files
>>> htpasswd
ann:{PLAIN}apple
--- error_code eval
[401, 403, 403, 403, 200, 200, 200]
--- response_headers eval
[("! Set-Cookie") x 4, ("") x 3]
--- check eval
[(undef) x 4, (sub { $_[0]->headers('Set-Cookie') == 1 or 'not stored' }) x 3]

=== satisfy all: both must grant
--- cookie_jar
--- config
location = /all { satisfy all; session_require on; auth_basic x; auth_basic_user_file $TEST_NGINX_HTML_DIR/htpasswd; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /all", "GET /all", "GET /guest", "GET /all", "GET /all"]
--- more_headers eval
["", "Authorization: Basic YW5uOmFwcGxl", "", "", "Authorization: Basic YW5uOmFwcGxl"]
--- error_code eval
[401, 401, 204, 401, 200]

=== satisfy any: one is enough
--- cookie_jar
--- config
location = /basic   { satisfy any; session_require on; auth_basic x; auth_basic_user_file $TEST_NGINX_HTML_DIR/htpasswd; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /address { satisfy any; session_require on; allow 127.0.0.2; deny all; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /service { satisfy any; session_require on; auth_request /.check; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /alone   { satisfy any; session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /403     { satisfy any; session_require on error=403; deny all; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /basic", "GET /basic", "GET /address", "GET /address", "GET /service", "GET /service", "GET /alone", "GET /403",
    "GET /guest", "GET /basic", "GET /basic", "GET /address", "GET /service", "GET /alone", "GET /403"]
--- client_addr eval
["127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2", ("127.0.0.1") x 11]
--- more_headers eval
["", "Authorization: Basic YW5uOmFwcGxl", "", "", "X-Service: 401", "X-Service: 200", "", "", "", "", "Authorization: Basic YW5uOnBlYXI=",
    "", "X-Service: 401", "", ""]
--- error_code eval
[401, 200, 401, 200, 401, 200, 401, 403, 204, (200) x 6]

=== satisfy any grants nothing by itself where session_require is off
--- cookie_jar
--- config
location = /off   { satisfy any; session_require off; auth_basic x; auth_basic_user_file $TEST_NGINX_HTML_DIR/htpasswd; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /unset { satisfy any; deny all; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /nosession { session off; satisfy any; session_require on; deny all; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /guest", "GET /off", "GET /unset", "GET /nosession", "GET /off"]
--- more_headers eval
["", "", "", "", "Authorization: Basic YW5uOmFwcGxl"]
--- error_code eval
[204, 401, 403, 401, 200]

=== auth_request asked once: the answer is kept in the session
--- cookie_jar
--- config
location = /app {
    satisfy          any;
    session_require  $session_subject;
    auth_request     /.who;
    auth_request_set $who $upstream_http_x_who;
    session_subject  $who;
    session_request_headers subject;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
location = /.who { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=$http_x_service&rh=X-Who:%20ann; }
--- request eval
["GET /app", "GET /app", "GET /app"]
--- more_headers eval
["X-Service: 401", "X-Service: 200", "X-Service: 401\nSession-Subject: eve"]
--- error_code eval
[401, 200, 200]
--- upstream_json eval
[undef, (sub { join(',', $_[0]->headers('Session-Subject')) eq 'ann' or 'Session-Subject: ' . join ',', $_[0]->headers('Session-Subject') }) x 2]
--- response_headers eval
["! Set-Cookie", "", "! Set-Cookie"]

=== what is asked before access was granted is not believed: the mapped header of the request
--- config
session_map_header X-User user;
location = /need { session_require $http_x_user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request
GET /need
--- more_headers
X-User: evil
--- error_code: 401

=== access is checked again after an internal redirect
--- cookie_jar
--- config
location = /from  { rewrite ^ /need last; }
location = /try   { try_files /none /need; }
location = /accel { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=X-Accel-Redirect:%20/need; }
location = /need  { session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /from", "GET /try", "GET /accel", "GET /guest", "GET /from", "GET /try", "GET /accel"]
--- error_code eval
[401, 401, 401, 204, 200, 200, 200]

=== a session found by the remember cookie is enough
--- cookie_jar
--- config
session_remember on;
session_remember_safety None;
location = /need { session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /more { session_require on; deny all; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /guest", "GET /need", "GET /need", "GET /more"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i == 1 || $i == 3 }
--- error_code eval
[204, 200, 200, 403]
--- check eval
[undef, sub { $_[0]->headers('Set-Cookie') == 2 or 'not saved' }, undef, sub { $_[0]->headers('Set-Cookie') == 2 or 'remembered, but not saved' }]

=== every server and every port, HEAD and POST as well
--- cookie_jar
--- config
location = /need { session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["HEAD /need", "POST /need\nbody", "GET /need HTTP/1.0", "PUT /need\nbody", "GET /guest", "HEAD /need", "POST /need\nbody", "GET /need HTTP/1.0"]
--- error_code eval
[401, 401, 401, 401, 204, 200, 200, 200]

=== a wrong error
--- config
session_require on error=404;
--- must_die
--- error_log eval
qr/\[emerg\].*"session_require" has invalid value "error=404": .*"error=401".*"error=403".*nginx\.conf:\d+/

=== on beside values
--- config
session_require on $session_subject;
--- must_die
--- error_log eval
qr/\[emerg\].*"session_require" .*nginx\.conf:\d+/

=== a word
--- config
session_require yes;
--- must_die
--- error_log eval
qr/\[emerg\].*"session_require" has invalid value "yes": .*"on".*"off".*nginx\.conf:\d+/

=== only error=
--- config
session_require error=403;
--- must_die
--- error_log eval
qr/\[emerg\].*"session_require" .*nginx\.conf:\d+/
