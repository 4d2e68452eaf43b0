# Who may change a session: only a location whose own access checks have let the request in. And what happens to a change when
# something else than that location's upstream answers: a redirect inside nginx, an error page, a post_action.
use lib 't/lib';
use SessT 'no_plan';

use MIME::Base64 qw(encode_base64);

use SessT::Servers;

require './t/speaking.pl';
rig 'B2';

our $redis = SessT::Servers->redis;
our $in_redis = "session_backend r redis { server 127.0.0.1:@{[$redis->port]}; timeout 2s; connect_timeout 2s; }\nsession_storage r;\nsession start;\nsession_secret x;\n";

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(rig_locations => 'off');
    $block->set_value(user_files => ">>> pw\nadmin:{PLAIN}right\n");
    $block->set_value(config => $block->config . <<'END');
location = /set  { session_set a 1; session_subject bob; return 204; }
location = /show { session open; return 200 "$session_status|$session_subject|$session_json"; }
END
});

# The storage goes on reading, and refuses every write.
sub refuse_writes { $redis->ask(qw(CONFIG SET min-replicas-to-write 1)); return }
sub take_writes   { $redis->ask(qw(CONFIG SET min-replicas-to-write 0)); return }

sub as { my ($name, $password) = @_; return 'Authorization: Basic ' . encode_base64("$name:$password", '') }

our ($wrong, $right) = (as('admin', 'wrong'), as('admin', 'right'));
our $silent = \&silent;

run_tests();
__DATA__

=== a password is not believed where nginx answers before it is checked: a slash is missing
--- config
location = /m     { rewrite ^ /members last; }
location = /t     { try_files /none /members; }
location = /x     { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /members/ {
    auth_basic members;
    auth_basic_user_file $TEST_NGINX_HTML_DIR/pw;
    session_subject $remote_user;
    session_set user $remote_user;
    session_set late $remote_user phase=response;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- cookie_jar
--- request eval
["GET /members/", "GET /members", "GET /m", "GET /t", ::ask('/x', 'X-Accel-Redirect: /members'), "GET /show", "GET /members/", "GET /show"]
--- more_headers eval
[($::wrong) x 6, $::right, ""]
--- error_code eval
[401, (301) x 4, (200) x 3]
--- shown eval
[(undef) x 5, 'missing||', undef, 'open|admin|{"late":"admin","user":"admin"}']
--- check eval
[($::silent) x 6, sets('session'), $::silent]

=== nor where a body is too large
--- config
location = /m     { rewrite ^ /members/ last; }
location /members/ {
    client_max_body_size 1;
    auth_basic members;
    auth_basic_user_file $TEST_NGINX_HTML_DIR/pw;
    session_subject $remote_user;
    session_set late $remote_user phase=response;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- cookie_jar
--- request eval
["POST /members/\nlong", "POST /m\nlong", "GET /show", "POST /m\n1", "GET /show"]
--- more_headers eval
[($::wrong) x 3, $::right, ""]
--- error_code eval
[413, 413, 200, 200, 200]
--- shown eval
[undef, undef, 'missing||', undef, 'open|admin|{"late":"admin"}']
--- check eval
[($::silent) x 3, sets('session'), $::silent]

=== the same with the rules at server level, where both locations share their settings
--- config
session_subject $remote_user;
session_set late $remote_user if=$remote_user phase=response;
location = /m     { rewrite ^ /members last; }
location = /large { rewrite ^ /members/ last; }
location /members/ {
    client_max_body_size 1;
    auth_basic members;
    auth_basic_user_file $TEST_NGINX_HTML_DIR/pw;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- cookie_jar
--- request eval
["GET /members/", "GET /m", "POST /large\nlong", "GET /show", "GET /members/", "GET /show"]
--- more_headers eval
[($::wrong) x 3, "", $::right, ""]
--- error_code eval
[401, 301, 413, 200, 200, 200]
--- shown eval
[(undef) x 3, 'missing||', undef, 'open|admin|{"late":"admin"}']
--- check eval
[($::silent) x 4, sets('session'), $::silent]

=== nor is anything carried out that deny or session_require guard, of whatever phase
--- config
location = /slash { rewrite ^ /denied last; }
location = /large { rewrite ^ /denied/ last; }
location = /files { try_files /none /denied; }
location = /accel { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /named { try_files /none @denied; }
location = /needs { rewrite ^ /required last; }
location = /ends  { rewrite ^ /ending last; }
location /denied/ {
    client_max_body_size 1;
    deny all;
    session_set role admin;
    session_set late admin phase=response;
    session_unset a phase=response;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
location @denied {
    deny all;
    session_set role admin;
    session_set late admin phase=response;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
location /required/ {
    session_require $arg_none;
    session_set role admin;
    session_set late admin phase=response;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
location /ending/ {
    session destroy;
    deny all;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- cookie_jar
--- request eval
["GET /set", "GET /slash", "POST /large\nlong", "GET /files", ::ask('/accel', 'X-Accel-Redirect: /denied'), "GET /named", "GET /needs", "GET /ends", "GET /show"]
--- error_code eval
[204, 301, 413, 301, 301, 403, 301, 301, 200]
--- shown eval
[(undef) x 8, 'open|bob|{"a":"1"}']
--- check eval
[sets('session'), ($::silent) x 8]

=== the same without a session: none is made
--- config
session_create always;
location = /slash { rewrite ^ /denied last; }
location = /large { rewrite ^ /denied/ last; }
location /denied/ { client_max_body_size 1; deny all; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /open/   { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /denied/", "GET /slash", "POST /large\nlong", "GET /open/"]
--- error_code eval
[403, 301, 413, 200]
--- check eval
[($::silent) x 3, sets('session')]

=== what an upstream asks is obeyed where it was asked, when its X-Accel-Redirect leads to an answer of nginx's own
--- config
location = /a { session_control on; session_set early 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /b/  { session_control on; session_set never 1; session_set late 1 phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
[::ask('/a', 'X-Accel-Redirect: /b', 'X-Session-Data: {"b":1}'), "GET /show", ::ask('/a', 'X-Accel-Redirect: /b', 'X-Session-Action: destroy'), "GET /show"]
--- error_code eval
[301, 200, 301, 200]
--- shown eval
[undef, 'open||{"b":1,"early":"1"}', undef, 'missing||']
--- check eval
[all_hold(\&clean, sets('session')), $::silent, all_hold(\&clean, expires('session')), $::silent]

=== and when an error page of another host answers in its place
--- config
location /a { session_control on; proxy_intercept_errors on; error_page 401 https://login.example/; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
[::ask('/a?st=401', 'X-Session-Data: {"a":1}'), "GET /show", ::ask('/a?st=401', 'X-Session-Action: destroy'), "GET /show"]
--- error_code eval
[302, 200, 302, 200]
--- response_headers eval
["Location: https://login.example/", undef, "Location: https://login.example/", undef]
--- shown eval
[undef, 'open||{"a":1}', undef, 'missing||']
--- check eval
[all_hold(\&clean, sets('session')), $::silent, all_hold(\&clean, expires('session')), $::silent]

=== an error page's own location keeps the cookies of its upstream in the jar
--- config
session_cookie_jar on;
location /private { session_require $session_subject; error_page 401 = @login; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @login   { session_require off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /private?sc=csrf=abc", "GET /private"]
--- upstream_json eval
[undef, sub { ($_[0]->header('Cookie') // '') =~ /\bcsrf=abc\b/ or 'the login page does not get its cookie back' }]
--- check eval
[sets('session'), $::silent]

=== it obeys the control headers of its upstream
--- config
location /private { session_require $session_subject; error_page 401 = @login; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @login   { session_require off; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
[::ask('/private', 'X-Session-Data: {"a":1}'), "GET /show", ::ask('/private', 'X-Session-Subject: ann'), "GET /show"]
--- shown eval
[undef, 'open||{"a":1}', undef, 'open|ann|{"a":1}']
--- check eval
[(all_hold(\&clean, sets('session')), $::silent) x 2]

=== it stores what it has told its upstream, with control headers and without
--- config
location /plain   { session_require $session_subject; session_set wrong 1; error_page 401 = @plain; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /control { session_require $session_subject; session_set wrong 1; error_page 401 = @control; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @plain   { session_require off; session_set csrf abc; session_map_header X-Csrf csrf; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @control { session_require off; session_control on; session_set csrf abc; session_map_header X-Csrf csrf; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar eval
[qw(a a b b)]
--- request eval
["GET /plain", "GET /show", "GET /control", "GET /show"]
--- upstream_json eval
[(sub { ($_[0]->header('X-Csrf') // '') eq 'abc' or 'no X-Csrf' }, undef) x 2]
--- shown eval
[(undef, 'open||{"csrf":"abc"}') x 2]
--- check eval
[(sets('session'), $::silent) x 2]

=== an error page that is refused itself changes nothing, and one that return answers neither
--- config
location /a      { deny all; session_set a 1; error_page 403 = @denied; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /b      { deny all; session_set a 1; error_page 403 = @told; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @denied { deny all; session_set a 1; session_set late 1 phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @told   { session_set a 1; session_set late 1 phase=response; return 200 told; }
--- request eval
["GET /a", "GET /b"]
--- error_code eval
[403, 200]
--- check eval
[$::silent, $::silent]

=== the storage takes nothing: a login or logout that an X-Accel-Redirect follows is a 503 as well
--- rig: none
--- http_config eval: $::in_redis
--- config
location = /login { session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /in    { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /off   { internal; session off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- before eval
[undef, \&main::refuse_writes, (undef) x 6, \&main::take_writes]
--- cookie_jar
--- request eval
["GET /set", ::ask('/login', 'X-Session-Action: destroy'),
    (map { my $to = "X-Accel-Redirect: $_"; (::ask('/login', $to, 'X-Session-Action: destroy'), ::ask('/login', $to, 'X-Session-Action: logout'), ::ask('/login', $to, 'X-Session-Subject: ann')) } '/in', '/off'), "GET /show",
    ::ask('/login', 'X-Accel-Redirect: /off', 'X-Session-Action: destroy'), "GET /show"]
--- error_code eval
[204, (503) x 7, (200) x 3]
--- shown eval
[(undef) x 8, 'open|bob|{"a":"1"}', undef, 'missing||']
--- check eval
[sets('session'), ($::silent) x 8, expires('session'), $::silent]

=== and one that an error page follows
--- rig: none
--- http_config eval: $::in_redis
--- config
proxy_intercept_errors on;
location = /page { session_control on; error_page 404 = @page; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /off  { session_control on; error_page 404 = @off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /far  { session_control on; error_page 404 https://other.example/; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @page   { return 200 page; }
location @off    { session off; return 200 off; }
--- before eval
[undef, \&main::refuse_writes, (undef) x 5, \&main::take_writes]
--- cookie_jar
--- request eval
["GET /set", (map { (::ask("$_?st=404", 'X-Session-Action: destroy'), ::ask("$_?st=404", 'X-Session-Subject: ann')) } qw(/page /off /far)), "GET /show",
    ::ask('/page?st=404', 'X-Session-Action: destroy'), "GET /show"]
--- error_code eval
[204, (503) x 6, (200) x 3]
--- shown eval
[(undef) x 7, 'open|bob|{"a":"1"}', undef, 'missing||']
--- check eval
[sets('session'), ($::silent) x 7, expires('session'), $::silent]

=== session_on_error pass goes on, and tells that the session is in error
--- rig: none
--- http_config eval: $::in_redis
--- config
session_on_error pass;
location = /login { session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /in    { internal; return 200 $session_status; }
--- before eval
[undef, \&main::refuse_writes, undef, \&main::take_writes]
--- cookie_jar
--- request eval
["GET /set", (map { ::ask('/login', 'X-Accel-Redirect: /in', "X-Session-$_") } 'Action: destroy', 'Subject: ann'), "GET /show"]
--- error_code eval
[204, (200) x 3]
--- shown eval
[undef, ('error') x 2, 'open|bob|{"a":"1"}']
--- check eval
[sets('session'), ($::silent) x 3]

=== a post_action reads the session and changes nothing: the client would not get the new token
--- http_config
session_stale_ttl 1s;
--- config
location = /a       { post_action /after; return 200 $session_status; }
location = /a/renew { post_action /renew; return 200 $session_status; }
location = /a/told  { post_action /told; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /after   { session_set last $uri; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /renew   { session_renew_after 1s; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /told    { session_control on; session_cookie_jar on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?sc=j=1&rh=X-Session-Data:%20%7B%22b%22:1%7D; }
--- cookie_jar
--- sleep_before eval
[0, 0, 1.5, 0, 1.5]
--- request eval
["GET /set", "GET /a", "GET /a/renew", "GET /a/told", "GET /show"]
--- error_code eval
[204, (200) x 4]
--- shown eval
[undef, 'open', 'open', undef, 'open|bob|{"a":"1"}']
--- check eval
[sets('session'), ($::silent) x 4]
--- error_log eval
[qr/\[info\].*session: .*only read by a "post_action"/]

=== the same in redis: nothing is written, and the record lives on
--- rig: none
--- http_config eval
"$::in_redis\nsession_stale_ttl 1s;\n"
--- config
location = /a     { post_action /after; return 200 $session_status; }
location = /after { session_set last $uri; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- before eval
[sub { $::redis->ask('FLUSHALL') }, undef, undef]
--- cookie_jar
--- sleep_before eval
[0, 0, 2]
--- request eval
["GET /set", "GET /a", "GET /show"]
--- error_code eval
[204, 200, 200]
--- shown eval
[undef, 'open', 'open|bob|{"a":"1"}']
--- check eval
[undef, undef, sub { my $n = $::redis->ask('DBSIZE'); $n == 1 or "$n records" }]
--- error_log eval
[qr/\[info\].*session: .*only read by a "post_action"/]

=== an include whose control headers come too late is told in the log, also when the page had been held
--- rig: none
--- http_config eval: $::in_redis
--- config
location = /p { ssi on; ssi_types *; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /i { session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
my $include = '/i?' . ::wanted_lines('X-Session-Data: {"b":1}');
[::ask('/p?text=' . ::hexed(qq(A<!--#include virtual="$include" -->Z)), 'X-Session-Data: {"a":1}'), "GET /show"]
--- response_body_like eval
[qr/\AA.*Z\z/s, undef]
--- shown eval
[undef, 'open||{"a":1}']
--- check eval
[all_hold(sets('session'), \&clean), $::silent]
--- error_log eval
[qr/\[warn\].*session: .*came after the client's response had begun/]

=== a new session that waits for the response is saved when the next location refuses
--- rig: none
--- config
session start;
session_secret x;
session_control on;
session_set a 1;
location = /e { try_files /nonexistent @f; }
location @f   { deny all; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /shown { session_control off; return 200 "$session_status $session_json"; }
--- cookie_jar
--- request eval
["GET /e", "GET /shown"]
--- error_code eval
[403, 200]
--- response_body eval
[undef, 'open {"a":"1"}']
