# Rules for the response: session_set, session_unset and session_info_set with phase=response.
use lib 't/lib';
use SessT 'no_plan';

use SessT::Servers;

require './t/refused.pl';
require './t/speaking.pl';
rig 'B2';

our $redis = SessT::Servers->redis;
our $in_redis = "session_backend s redis { server 127.0.0.1:@{[$redis->port]}; timeout 500ms; connect_timeout 500ms; }\nsession_storage s;\nsession start;\nsession_secret x;\n";

add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->must_die;
    $block->set_value(config => ($block->config // '') . <<'END');
location = /show { session open; session_unset none phase=request; session_set none 1 if=0; return 200 "$session_status|$session_subject|$session_json"; }
location = /info { session_unset none; session_set none 1 if=0; session_info_set none 1 if=0; return 200 "$session_info_i|$session_info_j"; }
END
});

our $silent = \&silent;

refused("$_->[0]: an unknown phase", "$_->[0] $_->[1] phase=respond;", qr/phase=respond/) for ['session_set', 'a 1'], ['session_unset', 'a'], ['session_info_set', 'a 1'];
refused("$_->[0]: an empty phase", "$_->[0] $_->[1] phase=;", qr/phase=/) for ['session_set', 'a 1'], ['session_unset', 'all'], ['session_info_set', 'a 1'];
refused('a phase in upper case', 'session_set a 1 phase=Response;', qr/phase=Response/);
refused('a phase from a variable', 'session_set a 1 phase=$arg_p;', qr/phase=/);
refused('two phases', 'session_set a 1 phase=request phase=response;', qr/phase=/);
refused('a wrong type beside it', 'session_set a 1 type=number phase=response;', qr/type=number/);
refused('session_subject has none', 'session_subject a phase=response;', qr/invalid number of arguments/);

add_refused();
run_tests();
__DATA__

=== $upstream_http_*, $upstream_status, $status and $sent_http_* are there
--- cookie_jar
--- config
location /r {
    session_set name $upstream_http_x_name phase=response;
    session_set sent $sent_http_x_name phase=response;
    session_set status $status type=int phase=response;
    session_set upstream $upstream_status type=int phase=response;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- request eval
[::ask('/r?st=201', 'X-Name: ann'), "GET /show"]
--- error_code eval
[201, 200]
--- response_headers eval
["X-Name: ann", "! Set-Cookie"]
--- shown eval
[undef, 'open||{"name":"ann","sent":"ann","status":201,"upstream":201}']
--- check eval
[sets('session'), $::silent]

=== by TLS, HTTP/1.0 and HEAD
--- cookie_jar eval
[qw(a a b b c c)]
--- config
location /r { session_set name $upstream_http_x_name phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- tls eval
[1, 1, 0, 0, 0, 0]
--- request eval
[::ask('/r', 'X-Name: ann'), "GET /show", ::ask('/r', 'X-Name: bob') . ' HTTP/1.0', "GET /show", ::asking('HEAD', '/r', 'X-Name: cyd'), "GET /show"]
--- shown eval
[undef, 'open||{"name":"ann"}', undef, 'open||{"name":"bob"}', "", 'open||{"name":"cyd"}']
--- check eval
[(sets('session'), $::silent) x 3]

=== by HTTP/2
--- http2
--- cookie_jar
--- config
location /r { session_set name $upstream_http_x_name phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/r', 'X-Name: ann'), "GET /show"]
--- shown eval
[undef, 'open||{"name":"ann"}']

=== if= decides; nothing is stored when it does not hold, and an empty value without if= is stored
--- cookie_jar eval
['-', 'a', 'a', 'b', 'b']
--- config
location /if    { session_set name $upstream_http_x_name if=$upstream_http_x_name phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /empty { session_set name $upstream_http_x_name phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /if", ::ask('/if', 'X-Name: ann'), "GET /show", "GET /empty", "GET /show"]
--- shown eval
[undef, undef, 'open||{"name":"ann"}', undef, 'open||{"name":""}']
--- check eval
[$::silent, sets('session'), $::silent, sets('session'), $::silent]

=== an equal value saves nothing, another one does
--- cookie_jar
--- config
location /r { session_set name $upstream_http_x_name phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[map { ::ask('/r', "X-Name: $_") } qw(ann ann bob)]
--- check eval
[keeps_id('first'), $::silent, new_id('first')]

=== phase=request is what there is without the word; a map header sees only what the request stored
--- cookie_jar
--- config
location /r {
    session_set early $arg_e phase=request;
    session_set plain $arg_e;
    session_set late $arg_e phase=response;
    session_map_header X-Early early;
    session_map_header X-Plain plain;
    session_map_header X-Late late;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- request eval
["GET /r?e=1", "GET /show", "GET /r?e=2", "GET /show"]
--- upstream_json eval
[(map { my $wanted = $_; (sub { my $got = join ' ', map { $_[0]->header($_) // '-' } qw(X-Early X-Plain X-Late); $got eq $wanted or $got }, undef) } '1 1 -', '2 2 1')]
--- shown eval
[map { (undef, qq(open||{"early":"$_","late":"$_","plain":"$_"})) } 1, 2]
--- check eval
[(sets('session'), $::silent) x 2]

=== several rules: unset comes before set; dotted keys, types
--- cookie_jar
--- config
location /seed { session_set a 1; session_set b.c 1; session_set b.d 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /r {
    session_set a $upstream_http_x_n type=int phase=response;
    session_set f 1.5 type=float phase=response;
    session_set j '{"k":[null]}' type=json phase=response;
    session_set t true type=bool phase=response;
    session_unset a phase=response;
    session_unset b.c phase=response;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- request eval
["GET /seed", ::ask('/r', 'X-N: 7'), "GET /show"]
--- shown eval
[undef, undef, 'open||{"a":7,"b":{"d":"1"},"f":1.5,"j":{"k":[null]},"t":true}']
--- check eval
[sets('session'), sets('session'), $::silent]

=== a value that is not of its type is told, the rest of the response is untouched
--- cookie_jar
--- config
location /r { session_set n $upstream_http_x_n type=int phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/r?text=hello', 'X-N: many', 'X-Other: 1')]
--- response_headers
X-Other: 1
--- response_body chomp
hello
--- error_log eval
qr/session: /

=== the upstream ends it by a variable: session_unset all if=
--- cookie_jar
--- config
location /r { session_unset all if=$upstream_http_x_logout phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /r", "GET /set?u=ann", "GET /r", "GET /show", ::ask('/r', 'X-Logout: 0'), "GET /show", ::ask('/r', 'X-Logout: 1'), "GET /show", ::ask('/r', 'X-Logout: 1')]
--- shown eval
[(undef) x 3, 'open||{"user":"ann"}', undef, 'open||{"user":"ann"}', undef, 'open||{}', undef]
--- check eval
[$::silent, sets('session'), ($::silent) x 4, sets('session'), ($::silent) x 2]

=== session_unset of one key; without a session it does nothing
--- cookie_jar eval
['-', 'a', 'a', 'a', 'a']
--- config
location /r { session_unset user phase=response; session_unset none phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /r", "GET /set?u=ann", "GET /r", "GET /show", "GET /r"]
--- shown eval
[(undef) x 3, 'open||{}', undef]
--- check eval
[$::silent, sets('session'), sets('session'), $::silent, $::silent]

=== session_info_set, with cookie storage
--- rig: none
--- http_config
session start;
session_secret x;
--- cookie_jar eval
['-', 'a', 'a', 'a', 'a', 'a']
--- config
location /set { session_set user $arg_u; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /r { session_info_set i $upstream_http_x_i phase=response; session_info_set j $upstream_status if=$upstream_http_x_j phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/r', 'X-I: 1'), "GET /set?u=ann", ::ask('/r?st=404', 'X-I: 1', 'X-J: 1'), "GET /info", ::ask('/r', 'X-I: 1'), "GET /show"]
--- error_code eval
[200, 200, 404, 200, 200, 200]
--- shown eval
[(undef) x 3, '1|404', undef, 'open||{"user":"ann"}']
--- check eval
[$::silent, sets('session'), sets('session'), $::silent, $::silent, $::silent]

=== session_info_set, with server storage: no cookie
--- rig: none
--- http_config
session_backend s shm { size 1m; }
session_storage s;
session start;
session_secret x;
--- cookie_jar
--- config
location /seed { session_set user $arg_u; return 204; }
location /r    { session_info_set i $upstream_http_x_i phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /seed?u=ann", ::ask('/r', 'X-I: 1'), "GET /info", "GET /show"]
--- error_code eval
[204, 200, 200, 200]
--- shown eval
["", undef, '1|', 'open||{"user":"ann"}']
--- check eval
[sets('session'), ($::silent) x 3]

=== every response counts: errors, redirects, without a body, from return, from a file, from a dead upstream
--- cookie_jar eval
[map { ($_) x 2 } 1 .. 11]
--- user_files
>>> a.txt
a file
--- config
session_set status $status type=int phase=response;
location /r      { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /return { return 202; }
location /moved  { return 302 /there; }
location /file/  { alias $TEST_NGINX_HTML_DIR/; }
location /dead   { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- request eval
[map { ("GET $_", 'GET /show') } '/r?st=204', '/r?st=302', '/r?st=304', '/r?st=401', '/r?st=403', '/r?st=500', '/return', '/moved', '/file/a.txt', '/file/none', '/dead']
--- error_code eval
[map { ($_, 200) } 204, 302, 304, 401, 403, 500, 202, 302, 200, 404, 502]
--- response_body_like eval
[map { (undef, qr/\Aopen\|\|\{"status":$_\}\z/) } 204, 302, 304, 401, 403, 500, 202, 302, 200, 404, 502]
--- check eval
[(sets('session'), $::silent) x 11]

=== a request that was refused stores nothing, whatever answers it
--- config
session_set seen 1 phase=response;
location /require { session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /error   { session_require on error=403; error_page 403 = @page; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /values  { session_require $arg_v; error_page 401 /page; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /deny    { deny all; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /basic   { auth_basic realm; auth_basic_user_file /dev/null; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /auth    { auth_request /no; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /no    { internal; return 403; }
location = /page  { return 200 "a page"; }
location @page    { return 200 "a named page"; }
--- request eval
[map { "GET $_" } qw(/require /error /values /deny /basic /auth)]
--- error_code eval
[401, 200, 401, 403, 401, 403]
--- check eval
$::silent

=== satisfy any: access by another way is access
--- cookie_jar
--- config
location /any { satisfy any; allow 127.0.0.1; deny all; session_require on; session_set seen 1 phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /any", "GET /show"]
--- shown eval
[undef, 'open||{"seen":"1"}']

=== not in subrequests
--- cookie_jar
--- config
location /main   { auth_request /auth; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /auth { session_set auth 1 phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /page.html { ssi on; default_type text/html; alias $TEST_NGINX_HTML_DIR/page.txt; }
location = /part { session_set part 1 phase=response; return 200 "part"; }
location /both   { auth_request /auth; session_set main 1 phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- user_files
>>> page.txt
<!--# include virtual="/part" -->
--- request eval
["GET /main", "GET /page.html", "GET /show", "GET /both", "GET /show"]
--- response_body_like eval
["", '^part', '^missing', "", '^open\|\|\{"main":"1"\}$']
--- check eval
[$::silent, $::silent, $::silent, sets('session')]

=== after an internal redirect: the location that answers has its rules run
--- cookie_jar eval
['a', 'a', 'b', 'b', 'c', 'c']
--- config
location = /r      { rewrite ^ /last last; }
location = /page   { error_page 404 /last; return 404; }
location /accel    { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /last   { session_set by last phase=response; return 200 "last"; }
--- request eval
["GET /r", "GET /show", "GET /page", "GET /show", ::ask('/accel', 'X-Accel-Redirect: /last'), "GET /show"]
--- error_code_like eval
['200', '200', '404', '200', '200', '200']
--- shown eval
[(undef, 'open||{"by":"last"}') x 3]

=== after the control headers: a rule has the last word
--- cookie_jar
--- config
location /r {
    session_control on;
    session_set by rule phase=response;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- request eval
[::ask('/r', 'X-Session-Data: {"by":"upstream","own":1}', 'X-Session-Subject: ann', 'X-Session-Action: save'), "GET /show"]
--- shown eval
[undef, 'open|ann|{"by":"rule","own":1}']
--- check eval
[all_hold(sets('session'), \&clean)]

=== a logout by the upstream leaves nothing for the rules
--- cookie_jar
--- config
location /r { session_control on; session_set by rule phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /r", ::ask('/r', 'X-Session-Action: logout'), "GET /show"]
--- response_body eval
[undef, undef, 'missing||']
--- check eval
[sets('session'), expires('session'), $::silent]

=== one cookie where both phases store, and session_create always
--- cookie_jar
--- config
session_create always;
location /r { session_set early 1; session_set late $upstream_status phase=response; session_info_set i 1 phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /r", "GET /show", "GET /info", "GET /r"]
--- shown eval
[undef, 'open||{"early":"1","late":"200"}', '1|', undef]
--- check eval
[sets('session'), ($::silent) x 3]

=== the lists are one list over both phases: a level with a line of its own inherits none
--- cookie_jar eval
['a', 'a', 'b', 'b']
--- config
session_set server 1 phase=response;
location /own       { session_set own 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /inherited { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /own", "GET /show", "GET /inherited", "GET /show"]
--- shown eval
[undef, 'open||{"own":"1"}', undef, 'open||{"server":"1"}']

=== off, bypassed, logout, destroy: ignored; open: not
--- cookie_jar eval
[('-') x 4, 'a', 'a']
--- config
session_set late 1 phase=response;
location /off     { session off;     proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /bypass  { session_bypass 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /logout  { session logout;  proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /destroy { session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /open    { session open;    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /off", "GET /bypass", "GET /logout", "GET /destroy", "GET /open", "GET /show"]
--- shown eval
[(undef) x 5, 'open||{"late":"1"}']
--- check eval
[($::silent) x 4, sets('session')]

=== a stored answer counts for each who gets it
--- http_config
proxy_cache_path cache keys_zone=c:1m;
--- config
location /r { proxy_cache c; proxy_cache_key x; proxy_cache_valid 200 1h; add_header X-Cache $upstream_cache_status; session_set name $upstream_http_x_name phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar eval
[qw(a b a b)]
--- request eval
[::ask('/r', 'X-Name: page'), ::ask('/r', 'X-Name: none'), "GET /show", "GET /show"]
--- response_headers eval
["X-Cache: MISS", "X-Cache: HIT", "", ""]
--- shown eval
[undef, undef, 'open||{"name":"page"}', 'open||{"name":"page"}']
--- check eval
[keeps_id('a'), new_id('a')]

=== a large answer, one in parts, an upgraded connection
--- cookie_jar
--- config
location /r { session_set name $upstream_http_x_name phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/r?size=1000003', 'X-Name: a'), ::ask('/r?text=abcdefghij&parts=5&pause=40', 'X-Name: b'), "GET /show"]
--- response_body_like eval
['\A0000000\n.*0124999\n012\z', '\Aabcdefghij\z', '"name":"b"']
--- check eval
[all_hold(sets('session'), sub { length $_[0]{body} == 1_000_003 or 'length' }), sets('session')]

=== 101
--- config
location /r { session_set up $upstream_status phase=response; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- raw_request eval
["GET /r?up=1 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", "hello\nquit\n"]
--- raw_request_middle_delay: 0.2
--- error_code: 101
--- check eval
all_hold(sets('session'), sub { $_[0]{body} eq "hello\nquit\n" or "got <$_[0]{body}>" })

=== session_max_data: what is too large is kept out, the old session stays valid
--- cookie_jar
--- config
session_max_data 200;
session_compression_threshold 0;
location /r { session_set b $upstream_http_x_b phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /set?u=ann", ::ask('/r?text=hello', 'X-B: ' . 'x' x 300), "GET /show", ::ask('/r', 'X-B: y'), "GET /show"]
--- shown eval
[undef, 'hello', 'open||{"user":"ann"}', undef, 'open||{"b":"y","user":"ann"}']
--- check eval
[sets('session'), $::silent, $::silent, sets('session')]
--- error_log eval
qr/\[error\].*session: the session is not saved: /

=== redis: the record is there when its cookie is
--- rig: none
--- http_config eval
$::in_redis
--- config
location /r { session_set name $upstream_http_x_name phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- before eval
[sub { $::redis->ask('FLUSHALL') }]
--- request eval
[::ask('/r', 'X-Name: ann'), "GET /show", ::ask('/r', 'X-Name: ann'), "GET /show"]
--- shown eval
[undef, 'open||{"name":"ann"}', undef, 'open||{"name":"ann"}']
--- check eval
[all_hold(sets('session'), sub { my @keys = split /\n/, $::redis->ask('KEYS', '*'); @keys == 1 or "records: @keys" }), ($::silent) x 3]

=== redis is away: fail answers 503 and shows nothing, pass answers without a cookie
--- rig: none
--- http_config eval
$::in_redis
--- config
location /r    { session_set name $upstream_http_x_name phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /pass { session_on_error pass; session_set name $upstream_http_x_name phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- before eval
[sub { $::redis->stop }, undef, sub { comes_back($::redis) }]
--- request eval
[map { ::ask($_, 'X-Name: ann', 'Location: /welcome') } '/r?st=302&text=welcome', '/pass?text=welcome', '/r?text=welcome']
--- error_code eval
[503, 200, 200]
--- response_headers eval
["! Location\n! X-Name", "X-Name: ann", ""]
--- response_body_unlike eval
['welcome', undef, undef]
--- response_body eval
[undef, 'welcome', 'welcome']
--- check eval
[$::silent, $::silent, sets('session')]
