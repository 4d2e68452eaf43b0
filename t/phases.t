# The order of work of one request, and every way through nginx: what a location stores must be stored whichever way the
# request came to it and is answered.
use lib 't/lib';
use SessT 'no_plan';

rig 'B2';

# Shows what the request brought; logs in; stores without a word.
add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->must_die || ($block->rig // '') eq 'none';
    $block->set_value(config => ($block->config // '') . <<'END');
location = /show { return 200 "$session_status $session_json"; }
location = /up   { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /put  { session_set v $arg_v; return 204; }
END
});

sub saved   { my ($res) = @_; my @lines = grep { $_->{value} ne '' } $res->set_cookies; @lines == 1 or @lines . ' saved sessions' }
sub silent  { my ($res) = @_; !$res->headers('Set-Cookie') or 'Set-Cookie: ' . join ' | ', $res->headers('Set-Cookie') }
sub ended   { my ($res) = @_; my $cookie = $res->set_cookie('session'); $cookie && $cookie->{value} eq '' or 'not ended' }

# The cookies a response sets: the name of those with a token, `name=value` of others.
sub cookies { join ' ', sort map { $_->{name} . ($_->{value} =~ /^[\w-]{110,}$/ ? '' : '=' . $_->{value}) } $_[0]->set_cookies }
sub sets    { my ($text) = @_; sub { cookies(@_) eq $text or cookies(@_) } }

run_tests();
__DATA__

=== each way of answering stores what its location says
--- config
location = /proxy    { session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /204      { session_set a 1; return 204; }
location = /200      { session_set a 1; return 200 "text"; }
location = /302      { session_set a 1; return 302 /elsewhere; }
location = /303      { session_set a 1; return 303 /elsewhere; }
location = /403      { session_set a 1; return 403; }
location = /500      { session_set a 1; return 500; }
location = /418      { session_set a 1; return 418 "teapot"; }
location = /redirect { session_set a 1; rewrite ^ /elsewhere redirect; }
location = /perm     { session_set a 1; rewrite ^ /elsewhere permanent; }
location = /break    { session_set a 1; rewrite ^ /file.txt break; root html; }
location = /last     { session_set b 2; rewrite ^ /204 last; }
location = /file.txt { session_set a 1; }
location = /none     { session_set a 1; }
location = /gif      { session_set a 1; empty_gif; }
location = /status   { session_set a 1; stub_status; }
location = /dir/     { session_set a 1; autoindex on; alias html/; }
location = /if       { session_set a 1; if ($arg_x) { return 204; } proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /ifproxy  { session_set a 1; if ($arg_x) { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; } }
location = /gone     { session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
root $TEST_NGINX_HTML_DIR;
--- user_files
>>> file.txt
the file
--- request eval
[map { "GET /$_" } qw(proxy 204 200 302 303 403 500 418 redirect perm last file.txt none gif status if if?x=1 ifproxy?x=1 gone)]
--- error_code eval
[200, 204, 200, 302, 303, 403, 500, 418, 302, 301, 204, 200, 404, 200, 200, 200, 204, 200, 502]
--- check eval
\&saved

=== what a location did before an internal redirect is kept, and saved once
--- cookie_jar
--- config
location = /accel   { session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=X-Accel-Redirect:%20/there&st=200; }
location = /named   { session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=X-Accel-Redirect:%20@there; }
location = /error   { session_set a 1; error_page 404 = /there; proxy_intercept_errors on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=404; }
location = /ename   { session_set a 1; error_page 502 = @there; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
location = /there   { session_set b 2; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @there     { session_set b 2; return 200 "named"; }
--- request eval
[map { ("GET $_", "GET /show", "GET /out") } qw(/accel /named /error /ename)]
--- error_code eval
[(200, 200, 204) x 4]
--- check eval
[(\&saved, sub { $_[0]{body} eq 'open {"a":"1","b":"2"}' or $_[0]{body} }, \&ended) x 4]

=== what a location says that is left by try_files or rewrite is not done
--- cookie_jar
--- config
location = /try     { session_set a 1; try_files /none /there; }
location = /tryname { session_set a 1; try_files /none @there; }
location = /last    { session_set a 1; rewrite ^ /there last; }
location = /index/  { session_set a 1; index index.txt; alias html/; }
location = /return  { session_set a 1; error_page 403 = /there; return 403; }
location = /there   { session_set b 2; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @there     { session_set b 2; return 200 "named"; }
--- request eval
[map { ("GET $_", "GET /show", "GET /out") } qw(/tryname /last /return /try)]
--- error_code eval
[(200, 200, 204) x 4]
--- check eval
[(\&saved, sub { $_[0]{body} =~ /^open \{(?:"a":"1",)?"b":"2"\}$/ or $_[0]{body} }, \&ended) x 4]

=== the directives of the last location are those in force
--- cookie_jar
--- config
location = /from    { session_cookie_path /from; session_map_header X-From v; rewrite ^ /to last; }
location = /to      { session_cookie_path /to; session_set a 1; session_map_header X-To v; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /deny    { session_set x 1; deny all; error_page 403 = @denied; }
location @denied    { session_cookie_path /denied; session_set d 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /index   { session_set x 1; index none; error_page 403 404 = @index; }
location @index     { session_set e 1; return 200 "text"; }
--- request eval
["GET /put?v=1", "GET /from", "GET /deny", "GET /index", "GET /show"]
--- error_code eval
[204, 200, 200, 200, 200]
--- raw_response_headers_like eval
["", qr/^Set-Cookie: .*; Path=\/to;/m, qr/^Set-Cookie: .*; Path=\/denied;/m, qr/^Set-Cookie: .*; Path=\/;/m, ""]
--- upstream_json eval
[undef, sub { !defined $_[0]->header('X-From') && $_[0]->header('X-To') eq '1' or 'X-To' }, undef, undef, undef]
--- response_body_like eval
[("") x 4, qr/\Aopen \{"v":"1","a":"1","d":"1","x":"1","e":"1"\}\z/]

=== a refusal that a location answers by return stays one: nothing is stored; another location can grant access
--- rig: B3
--- config
location = /deny    { deny all; error_page 403 = @page; }
location = /denyset { deny all; error_page 403 = @pageset; }
location = /basic   { deny all; error_page 403 = @up; }
location = /upset   { deny all; error_page 403 = @upset; }
location @page      { return 200 "page"; }
location @pageset   { session_set e 1; return 200 "page"; }
location @up        { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @upset     { session_set e 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /deny", "GET /denyset", "GET /basic", "GET /upset"]
--- check eval
[\&silent, \&silent, \&saved, \&saved]

=== from a location with sessions to one without, and back
--- cookie_jar
--- config
location = /in      { session_set a 1; rewrite ^ /off last; }
location = /off     { session off; session_map_header X-V v; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /accel   { session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=X-Accel-Redirect:%20/off; }
location = /offret  { session off; return 200 "[$session_status][$session_id][$session_json][$session_exists]"; }
location = /toret   { rewrite ^ /offret last; }
location = /back    { session off; rewrite ^ /up last; }
location = /backset { session off; rewrite ^ /set?u=ann last; }
--- request eval
["GET /put?v=1", "GET /in", "GET /offret", "GET /toret", "GET /back", "GET /backset", "GET /show", "GET /accel", "GET /show"]
--- more_headers
X-V: evil
--- error_code eval
[204, (200) x 8]
--- response_body_like eval
["", "", qr/\A\[off\]\[\]\[\]\[\]\z/, qr/\A\[off\]\[\]\[\]\[\]\z/, "", "", qr/\Aopen \{"v":"1","user":"ann"\}\z/, "", qr/"a":"1"/]
--- check eval
[\&saved, \&silent, \&silent, \&silent, \&silent, \&saved, \&silent, \&saved, \&silent]
--- upstream_json eval
[undef, sub { !defined $_[0]->header('X-V') or 'X-V' }, (undef) x 7]

=== the session is there before if, return, rewrite, limit_req and map
--- cookie_jar
--- http_config
map $session_data_v $plan { default free; gold paid; }
limit_req_zone $session_data_v zone=byvalue:1m rate=1r/m;
--- config
location = /if      { if ($session_data_v = gold) { return 200 "gold"; } if ($session_exists = "") { return 200 "nobody"; } return 200 "other"; }
location = /map     { return 200 "$plan"; }
location = /rewrite { rewrite ^ /plan/$session_data_v? last; }
location   /plan/   { return 200 "$uri"; }
location = /limit   { limit_req zone=byvalue; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /set1    { set $copy $session_data_v; return 200 "$copy"; }
--- request eval
["GET /if", "GET /map", "GET /put?v=gold", "GET /if", "GET /map", "GET /rewrite", "GET /set1", "GET /limit", "GET /limit", "GET /put?v=tin",
    "GET /if", "GET /map", "GET /limit", "GET /limit"]
--- error_code eval
[200, 200, 204, (200) x 5, 503, 204, 200, 200, 200, 503]
--- response_body_like eval
[qr/\Anobody\z/, qr/\Afree\z/, "", qr/\Agold\z/, qr/\Apaid\z/, qr/\A\/plan\/gold\z/, qr/\Agold\z/, "", "", "", qr/\Aother\z/, qr/\Afree\z/, "", ""]

=== a 503 of limit_req changes nothing
--- cookie_jar
--- http_config
limit_req_zone $binary_remote_addr zone=all:1m rate=1r/m;
--- config
location = /limit   { limit_req zone=all; session_set v new; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /out/lim { limit_req zone=all; session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /renew   { limit_req zone=all; session_renew_after 1s; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /put?v=old", "GET /limit", "GET /put?v=old", "GET /limit", "GET /out/lim", "GET /renew", "GET /show"]
--- sleep_before eval
[0, 0, 0, 0, 0, 1.1, 0]
--- error_code eval
[204, 200, 204, 503, 503, 503, 200]
--- check eval
[\&saved, \&saved, \&saved, \&silent, \&silent, \&silent, sub { $_[0]{body} eq 'open {"v":"old"}' or $_[0]{body} }]

=== session_set is evaluated after access was granted, session_require before
--- config
location = /user {
    auth_basic x; auth_basic_user_file $TEST_NGINX_HTML_DIR/htpasswd;
    session_set user $remote_user; session_map_header X-User user;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
location = /asked {
    auth_request /.who; auth_request_set $who $upstream_http_x_who;
    session_set user $who; session_subject $who; session_map_header X-User user;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
location = /.who { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=X-Who:%20bob; }
--- user_files
>>> htpasswd
ann:{PLAIN}apple
--- request eval
["GET /user", "GET /asked"]
--- more_headers
Authorization: Basic YW5uOmFwcGxl
--- upstream_json eval
[sub { $_[0]->header('X-User') eq 'ann' or 'user' }, sub { $_[0]->header('X-User') eq 'bob' or 'asked' }]
--- check eval
\&saved

=== auth_request: the subrequest shares the session and sets no cookie
--- cookie_jar
--- config
location = /page  { auth_request /.auth; session_map_header X-V v; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /.auth { internal; session_map_header X-Sub v; session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?sc=sub=1&st=$auth_status; }
location = /sets  { auth_request /.set; auth_request_set $seen $sent_http_x_seen; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /.set  { internal; session_set sub 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /ends  { auth_request /.end; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /.end  { internal; session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- http_config
map $session_data_v $auth_status { default 200; "" 403; no 403; }
--- request eval
["GET /page", "GET /put?v=no", "GET /page", "GET /put?v=yes", "GET /page", "GET /sets", "GET /show", "GET /ends", "GET /show"]
--- error_code eval
[403, 204, 403, 204, 200, 200, 200, 200, 200]
--- check eval
[\&silent, \&saved, \&silent, \&saved, \&silent, \&saved, \&silent, \&silent, \&silent]
--- upstream_json eval
[(undef) x 4, sub { $_[0]->header('X-V') eq 'yes' && !defined $_[0]->header('X-Sub') or 'headers' }, (undef) x 4]
--- response_body_like eval
[("") x 6, qr/\Aopen \{"v":"yes","sub":"1"\}\z/, "", qr/\Aopen /]

=== a subrequest of a location without sessions
--- cookie_jar
--- config
location = /page  { session off; add_header X-Status $session_status; auth_request /.auth; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /.auth { internal; session_map_header X-Sub v; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=$auth_status; }
--- http_config
map $session_data_v $auth_status { default 200; "" 403; }
--- request eval
["GET /page", "GET /put?v=yes", "GET /page", "GET /page"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{session} = 'made-up' if $i == 3 }
--- error_code eval
[403, 204, 200, 403]
--- response_headers eval
["", "", "X-Status: off", ""]
--- check eval
[\&silent, \&saved, \&silent, \&silent]

=== SSI: includes share the session, and set no cookies of their own
--- cookie_jar
--- config
ssi on;
ssi_types text/plain;
root $TEST_NGINX_HTML_DIR;
location = /page.txt { session_set page 1; }
location = /sub.txt  { session_map_header X-V v; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?sc=fromsub=1; }
location = /set.txt  { session_set sub 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?text=x; }
location = /ret.txt  { return 200 "<$session_data_v>"; }
location = /two.txt  { }
--- user_files
>>> page.txt
a <!--# include virtual="/ret.txt" --> <!--# include virtual="/set.txt" --> <!--# echo var="session_data_v" --> z
>>> two.txt
<!--# include virtual="/sub.txt" -->
--- request eval
["GET /put?v=1", "GET /page.txt", "GET /two.txt", "GET /show"]
--- error_code eval
[204, 200, 200, 200]
--- response_body_like eval
["", qr/\Aa <1> x 1 z$/, qr/"X-V","1"/, qr/\Aopen \{"v":"1","page":"1"/]
--- check eval
[\&saved, \&saved, \&silent, \&silent]

=== mirror: the copy shares the session and sets nothing
--- cookie_jar
--- config
location = /page   { mirror /.mirror; session_map_header X-V v; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /.mirror { internal; session_map_header X-M v; session_set m 1 if=0; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?sc=m=1; }
--- request eval
["GET /put?v=1", "GET /page"]
--- error_code eval
[204, 200]
--- check eval
[\&saved, \&silent]
--- upstream_json eval
[undef, sub { $_[0]->header('X-V') eq '1' && !defined $_[0]->header('X-M') or 'headers' }]

=== HTTP/1.0, HEAD, POST, 304, ranges
--- cookie_jar
--- config
root $TEST_NGINX_HTML_DIR;
location = /file.txt { session_set n $arg_n; etag off; if_modified_since before; }
location = /post     { session_set n $arg_n; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /postret  { session_set n $arg_n; return 200 "got it"; }
--- user_files
>>> file.txt
0123456789
--- request eval
["GET /file.txt?n=1 HTTP/1.0", "HEAD /file.txt?n=2", "GET /file.txt?n=3", "GET /file.txt?n=4", "GET /file.txt?n=5", "POST /post?n=6\n" . 'b' x 100000,
    "POST /postret?n=7\n" . 'b' x 100000, "HEAD /postret?n=8", "GET /postret?n=9 HTTP/1.0", "HEAD /post?n=10", "GET /show"]
--- more_headers eval
[("") x 2, "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", "Range: bytes=2-4", "Range: bytes=50-", ("") x 6]
--- error_code eval
[200, 200, 304, 206, 416, (200) x 6]
--- response_body_like eval
["", "", qr/\A\z/, qr/\A234\z/, "", "", qr/\Agot it\z/, qr/\A\z/, qr/\Agot it\z/, qr/\A\z/, qr/"n":"10"/]
--- check eval
[(\&saved) x 10, \&silent]

=== a modified-since answer of 304 when nothing is saved
--- cookie_jar
--- config
root $TEST_NGINX_HTML_DIR;
location = /file.txt { etag off; if_modified_since before; }
--- user_files
>>> file.txt
0123456789
--- request eval
["GET /put?v=1", "GET /file.txt", "GET /file.txt"]
--- more_headers eval
["", "", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"]
--- error_code eval
[204, 200, 304]
--- check eval
[\&saved, \&silent, \&silent]

=== HTTP/2, and HTTP/2 over TLS
--- cookie_jar
--- http2
--- tls eval
[0, 0, 1, 1, 1, 1]
--- config
location = /proxy { session_set n $arg_n; session_map_header X-N n; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /put?v=1", "GET /show", "GET /put?v=2", "GET /show", "POST /proxy?n=3\nbody", "HEAD /show"]
--- error_code eval
[204, 200, 204, 200, 200, 200]
--- response_body_like eval
["", qr/\Aopen \{"v":"1"\}\z/, "", qr/\Aopen \{"v":"2"\}\z/, qr/"X-N","3"/, qr/\A\z/]
--- check eval
[\&saved, \&silent, sub { saved(@_) eq '1' && exists $_[0]->set_cookie('session')->{attr}{secure} or 'Secure' }, \&silent, \&saved, \&silent]

=== TLS
--- cookie_jar
--- tls
--- request eval
["GET /put?v=1", "GET /show", "GET /set?u=2"]
--- error_code eval
[204, 200, 200]
--- check eval
[sub { saved(@_) eq '1' && exists $_[0]->set_cookie('session')->{attr}{secure} or 'Secure' }, \&silent, \&saved]
--- response_body_like eval
["", qr/\Aopen \{"v":"1"\}\z/, ""]

=== many requests of different users on one connection
--- keepalive
--- cookie_jar eval
[('ann', 'bob', '-') x 4]
--- request eval
["GET /put?v=ann", "GET /put?v=bob", "GET /show", ("GET /show") x 3, "GET /put?v=ann2", "GET /show", "GET /show", ("GET /show") x 3]
--- error_code eval
[204, 204, 200, 200, 200, 200, 204, 200, 200, 200, 200, 200]
--- response_body_like eval
["", "", qr/\Amissing \z/, qr/\Aopen \{"v":"ann"\}\z/, qr/\Aopen \{"v":"bob"\}\z/, qr/\Amissing \z/, "", qr/\Aopen \{"v":"bob"\}\z/, qr/\Amissing \z/,
    qr/\Aopen \{"v":"ann2"\}\z/, qr/\Aopen \{"v":"bob"\}\z/, qr/\Amissing \z/]

=== pipelined requests
--- pipelined_requests eval
["GET /set?u=1", "GET /up", "GET /show", "GET /set?u=2"]
--- error_code eval
[200, 200, 200, 200]
--- raw_response_headers_like eval
[qr/^Set-Cookie: session=/m, "", "", qr/^Set-Cookie: session=/m]
--- raw_response_headers_unlike eval
["", ("Set-Cookie") x 2, ""]

=== in any worker: the key is the same in all
--- cookie_jar
--- rig: none
--- http_config
session start;
--- config
location = /put  { session_set v 1; return 204; }
location = /show { return 200 "$pid $session_status"; }
--- request eval
["GET /put", ("GET /show") x 20]
--- error_code eval
[204, (200) x 20]
--- response_body_like eval
["", (qr/ open$/) x 20]

=== several saves at the same time
--- parallel
--- request eval
[map { $_ % 2 ? "GET /put?v=$_" : "GET /set?u=$_" } 1 .. 30]
--- error_code eval
[map { $_ % 2 ? 204 : 200 } 1 .. 30]
--- check eval
\&saved

=== Set-Cookie lines of the upstream stay, one of the same name is replaced
--- cookie_jar
--- config
location = /put1 { session_set n 1; proxy_pass "http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?sc=a=1;%20Path=/x&sc=session=evil;%20Path=/&sc=b=2&sc=session2=x&sc=Session=other"; }
location = /read { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?sc=a=1&sc=session=fromup; }
location = /end1 { session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?sc=a=1&sc=session=evil; }
location = /own  { session_set n 3; add_header Set-Cookie "c=3"; return 200 "x"; }
--- request eval
["GET /put1", "GET /read", "GET /own", "GET /show", "GET /end1"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; $main::kept = $cookies->{session} if $i == 1; $cookies->{session} = $main::kept if $i == 2 }
--- check eval
sub lines { join ' ', map { $_->{name} . ($_->{value} =~ /^[\w-]{110,}$/ ? '' : '=' . $_->{value}) } $_[0]->set_cookies }
[sub { lines(@_) eq 'a=1 b=2 session2=x Session=other session' or lines(@_) },
    sub { lines(@_) eq 'a=1 session=fromup' or lines(@_) },
    sub { join(' ', sort split / /, lines(@_)) eq 'c=3 session' or lines(@_) },
    sub { $_[0]{body} eq 'open {"n":"3"}' or $_[0]{body} },
    sub { lines(@_) eq 'a=1 session= session2=' or lines(@_) }]

=== Cache-Control with a session cookie
--- cookie_jar
--- config
location = /plain    { session_set v $arg_v; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?$args; }
location = /return   { session_set v $arg_v; return 200 "x"; }
location = /expires  { session_set v $arg_v; expires 1h; return 200 "x"; }
location = /exppriv  { session_set v $arg_v; add_header Cache-Control private; return 200 "x"; }
location = /switched { session_set v $arg_v; session_cache_control off; return 200 "x"; }
location = /end      { session destroy; return 200 "x"; }
--- request eval
["GET /plain?v=1", "GET /return?v=2", "GET /switched?v=3", "GET /expires?v=4", "GET /plain?v=5&rh=Cache-Control:%20no-store",
    "GET /plain?v=6&rh=Cache-Control:%20max-age=60,%20Private", "GET /plain?v=7&rh=Cache-Control:%20public,%20max-age=60",
    'GET /plain?v=8&rh=Cache-Control:%20no-cache=%22Set-Cookie%22', "GET /plain?v=8&rh=Cache-Control:%20max-age=60", "GET /return?v=8", "GET /end",
    "GET /end", "GET /show"]
--- more_headers eval
[("") x 12, "Cookie: session=made-up"]
--- check eval
sub control { join ' & ', $_[0]->headers('Cache-Control') }
my $no = 'no-cache="Set-Cookie"';
my $is = sub { my ($text) = @_; sub { control(@_) eq $text or control(@_) } };
my $forbids = sub { index(control(@_), $no) >= 0 or control(@_) };
[$is->($no), $is->($no), $is->(''), $forbids, $is->('no-store'), $is->('max-age=60, Private'), $is->("public, max-age=60 & $no"), $is->($no),
    $is->('max-age=60'), $is->(''), $is->($no), $is->(''), $is->($no)]

=== add_header sees the session, also what this request changed
--- cookie_jar
--- config
add_header X-Status $session_status always;
add_header X-V      $session_data_v always;
location = /put1 { session_set v $arg_v; return 200 "x"; }
location = /put2 { session_set v $arg_v; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /deny { deny all; }
--- request eval
["GET /deny", "GET /put1?v=1", "GET /put2?v=2", "GET /deny", "GET /out", "GET /deny"]
--- error_code eval
[403, 200, 200, 403, 204, 403]
--- response_headers eval
["X-Status: missing\n! X-V", "X-Status: new\nX-V: 1", "X-Status: open\nX-V: 2", "X-Status: open\nX-V: 2", "X-Status: open", "X-Status: missing\n! X-V"]

=== session_response_headers: on every kind of answer, in place of the upstream's
--- cookie_jar
--- config
session_response_headers id audience subject timeout;
location = /put1 { session_subject ann; return 200 "x"; }
location = /deny { deny all; }
location = /rh   { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=Session-Subject:%20evil&rh=Session-Id:%20evil&rh=session-timeout:%20evil; }
--- request eval
["GET /rh", "GET /put1", "GET /deny", "GET /rh"]
--- error_code eval
[200, 200, 403, 200]
--- response_headers_like eval
["! Session-Id\n! Session-Subject\n! Session-Timeout\n! Session-Audience",
    ("Session-Id: [\\w-]{43}\nSession-Subject: ann\nSession-Audience: default\nSession-Timeout: (?:900|89\\d)") x 3]

=== a request that nginx refuses before any location
--- raw_requests eval
["GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "nonsense\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nCookie: session=" . 'x' x 70000 . "\r\nConnection: close\r\n\r\n"]
--- error_code_like eval
[('^(400|)$') x 3, '^4(00|14)$']

=== return at the server level is answered before any session work
--- rig: B3
--- rig_locations: off
--- config
return 200 "server [$session_status]";
--- request
GET /
--- more_headers
Cookie: sid=made-up
--- response_body chomp
server [off]
--- response_headers
! Set-Cookie

=== rewrites at the server level find the session in the location
--- cookie_jar
--- config
rewrite ^/alias$ /show last;
if ($arg_none) { return 403; }
--- request eval
["GET /put?v=1", "GET /alias"]
--- error_code eval
[204, 200]
--- response_body_like eval
["", qr/\Aopen \{"v":"1"\}\z/]

=== proxy_cache: the stored answer has no cookie of anybody
--- cookie_jar eval
['ann', 'bob', 'ann', '-']
--- http_config
proxy_cache_path cache keys_zone=c:1m;
--- config
location = /cached { session_set v $arg_v if=$arg_v; proxy_cache c; proxy_cache_key x; proxy_cache_valid 200 1m; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; add_header X-Cache $upstream_cache_status; }
--- request eval
["GET /cached?v=1", "GET /cached?v=2", "GET /cached", "GET /cached"]
--- response_headers_like eval
["X-Cache: MISS", "X-Cache: HIT", "X-Cache: HIT", "X-Cache: HIT"]
--- check eval
[\&saved, \&saved, \&silent, \&silent]

=== a rewrite cycle does not loop the session
--- config
location /a { session_set n 1; rewrite ^ /b last; }
location /b { session_set n 2; rewrite ^ /a last; }
--- request
GET /a
--- error_code: 500
--- error_log
rewrite or internal redirection cycle

=== upgrade: 101 with a session
--- config
location = /ws { session_set v 1; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?up=1; }
--- raw_request eval
["GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n", "hello\n", "quit\n"]
--- raw_request_middle_delay: 0.1
--- error_code: 101
--- response_body eval
"hello\nquit\n"
--- check eval
\&saved

=== destroy, then a location that stores: one new session, without the old data
--- cookie_jar
--- config
session_remember_safety None;
location = /in    { session_remember on; session_set user ann; session_subject ann; return 204; }
location = /bye   { session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=X-Accel-Redirect:%20/fresh; }
location = /fresh { session_set greeting bye; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /bye2  { session destroy; error_page 404 = @fresh; proxy_intercept_errors on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=404; }
location @fresh   { session_set greeting bye; return 200 "$session_status"; }
location = /bye3  { session destroy; error_page 404 = @read; proxy_intercept_errors on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=404; }
location @read    { return 200 "$session_status [$session_json]"; }
--- request eval
["GET /in", "GET /bye", "GET /show", "GET /in", "GET /bye2", "GET /show", "GET /in", "GET /bye3", "GET /show"]
--- error_code eval
[204, 200, 200, 204, 200, 200, 204, 200, 200]
--- check eval
[sets('remember session'), sets('remember= session'), sub { $_[0]{body} eq 'open {"greeting":"bye"}' or $_[0]{body} }, undef, 
 sets('remember= session'), sub { $_[0]{body} eq 'open {"greeting":"bye"}' or $_[0]{body} }, undef,
 sub { $_[0]{body} =~ /\[\]/ && cookies(@_) eq 'remember= session=' or cookies(@_) . $_[0]{body} }, undef]

=== subrequests that wait for a key, of pages without sessions
--- cookie_jar
--- config
session_remember on;
session_remember_safety High;
ssi_types text/plain;
location = /in { session_set user ann; return 204; }
location = /page.txt { session off; ssi on; root $TEST_NGINX_HTML_DIR; }
location = /sub/r { return 200 "<$session_data_user>"; }
location = /sub/p { session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /auth { session off; auth_request /sub/a; root $TEST_NGINX_HTML_DIR; try_files /page.txt =404; }
location = /sub/a { session_require on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /mirror { mirror /sub/p; session off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- user_files
>>> page.txt
a <!--# include virtual="/sub/r" --> b <!--# include virtual="/sub/p" --> c <!--# include virtual="/sub/r" --> d
--- request eval
["GET /in", "GET /page.txt", "GET /auth", "GET /mirror", "HEAD /page.txt"]
--- jar_edit eval
sub { my ($c, $i) = @_; delete $c->{session} if $i }
--- error_code eval
[204, 200, 200, 200, 200]
--- response_body_like eval
["", qr/\Aa <ann> b .*X-User.*ann.* c <ann> d/s, "", "", ""]
--- check eval
[sets('remember session'), sets(''), sets(''), sets(''), sets('')]

=== subrequests that wait for a key: on HTTP/2
--- cookie_jar
--- http2
--- config
session_remember on;
session_remember_safety High;
ssi_types text/plain;
location = /in { session_set user ann; return 204; }
location = /page.txt { session off; ssi on; root $TEST_NGINX_HTML_DIR; }
location = /sub/r { return 200 "<$session_data_user>"; }
--- user_files
>>> page.txt
a <!--# include virtual="/sub/r" --> b <!--# include virtual="/sub/r" --> d
--- request eval
["GET /in", "GET /page.txt"]
--- jar_edit eval
sub { my ($c, $i) = @_; delete $c->{session} if $i }
--- error_code eval
[204, 200]
--- response_body_like eval
["", qr/\Aa <ann> b <ann> d/]

=== each location's own cookie, also after an internal redirect
--- cookie_jar
--- config
location = /in  { session_set user ann; return 204; }
location = /in2 { session_cookie_name two; session_set user bob; return 204; }
location = /to  { session_cookie_name two; session_set more 1; rewrite ^ /back last; }
location = /back { return 200 "$session_data_user"; }
location = /acc { session_set x 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=X-Accel-Redirect:%20/two; }
location = /two { session_cookie_name two; session_set x 2; add_header X-User $session_data_user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /show2  { session_cookie_name two; return 200 "$session_json"; }
--- request eval
["GET /in", "GET /in2", "GET /to", "GET /acc", "GET /show", "GET /show2"]
--- error_code eval
[204, 204, 200, 200, 200, 200]
--- response_body_like eval
["", "", qr/\Aann\z/, "", qr/\Aopen \{"user":"ann","x":"1"\}\z/, qr/\A\{"user":"bob","x":"2"\}\z/]
--- response_headers eval
["", "", "", "X-User: bob", "", ""]
--- check eval
[sets('session'), sets('two'), sets(''), sets('session two'), undef, undef]

=== other methods
--- config
location = /a { session_set a 1; return 200 "x"; }
location = /p { session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["OPTIONS /a", "TRACE /a", "FOO /a", "DELETE /p", "PATCH /p\nx"]
--- error_code eval
[200, 405, 200, 200, 200]
--- check eval
[sets('session'), undef, sets('session'), sets('session'), sets('session')]

=== the cookie lines of HTTP/2
--- http2
--- config
session_hide on;
--- request eval
["GET /set?u=ann", "GET /show", "GET /up"]
--- capture eval
[{ tok => qr/^set-cookie: (session=[^;]+)/mi }, undef, undef]
--- more_headers eval
["", ("Cookie: a=1\nCookie: \$CAPTURED_tok\nCookie: b=2") x 2]
--- response_body_like eval
["", qr/\Aopen \{"user":"ann"\}\z/, ""]
--- upstream_json eval
[undef, undef, sub { join('|', $_[0]->headers('Cookie')) eq 'a=1; b=2' or join '|', $_[0]->headers('Cookie') }]

=== what a subrequest hides or maps is not hidden or mapped in its main request
--- cookie_jar
--- config
location = /main  { auth_request /.sub; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /.sub  { internal; session_hide on; session_map_header X-Sub user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /main2 { session_hide on; session_map_header X-Main user; auth_request /.sub2; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /.sub2 { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /set?u=ann", "GET /main", "GET /main2"]
--- more_headers
Cookie: a=1
--- upstream_json eval
[undef,
    sub { ($_[0]->header('Cookie') // '') =~ /\Aa=1; session=/ && !defined $_[0]->header('X-Sub') or $_[0]->header('Cookie') },
    sub { ($_[0]->header('Cookie') // '') eq 'a=1' && $_[0]->header('X-Main') eq 'ann' or $_[0]->header('Cookie') }]

=== post_action comes after the response: it is answered, and nothing breaks
--- config
session_remember on;
session_remember_safety High;
location = /proxy  { session_set a 1; post_action /after; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /return { session_set a 1; post_action /after; return 200 "x"; }
location = /file   { post_action /afterret; alias $TEST_NGINX_HTML_DIR/index.html; }
location = /after  { session_set b 2; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /afterret { session_set b 2; return 200 "y"; }
--- request eval
["GET /proxy", "GET /return", "GET /file", "GET /proxy", "GET /file"]
--- wait: 0.2
--- check eval
my $both = sets('remember session');
[$both, $both, \&silent, $both, \&silent]

=== error pages of requests that never came to a location
--- rig: none
--- http_config
session start;
session_create always;
session_remember on;
session_remember_safety High;
large_client_header_buffers 2 2k;
--- config
error_page 400 413 494 = @page;
error_page 414 = /page;
location @page   { session_set a 1; return 200 "page"; }
location = /page { session_set a 1; return 200 "page"; }
location = /post { client_max_body_size 10; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /up   { client_max_body_size 10; error_page 413 = @up; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @up     { client_max_body_size 1k; session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- raw_requests eval
my $post = sub { "POST $_[0] HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nConnection: close\r\n\r\n" . 'b' x 100 };
["GET / HTTP/1.1\r\nHost: x\r\nCookie: " . 'x' x 5000 . "\r\n\r\n", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "GET /" . 'x' x 5000 . " HTTP/1.1\r\nHost: x\r\n\r\n", $post->('/post'), $post->('/up')]
--- error_code eval
[200, 200, 200, 200, 200]
--- response_body_like eval
[(qr/\Apage\z/) x 4, qr/"POST"/]

=== plain HTTP on the TLS port, with an error page
--- rig: none
--- port: $TEST_NGINX_TLS_PORT
--- http_config
session start;
session_create always;
session_remember on;
session_remember_safety High;
--- config
listen 127.0.0.1:$TEST_NGINX_TLS_PORT ssl;
ssl_certificate $TEST_NGINX_CERT;
ssl_certificate_key $TEST_NGINX_CERT_KEY;
error_page 497 = @page;
location @page { session_set a 1; return 200 "page"; }
--- request
GET /
--- response_body chomp
page

=== limit_req that delays, after a wait for a key
--- cookie_jar
--- http_config
limit_req_zone $session_subject zone=r:1m rate=10r/s;
--- config
session_remember on;
session_remember_safety High;
location = /in      { session_subject ann; return 204; }
location = /delayed { limit_req zone=r burst=5; session_set n $arg_n; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /in", "GET /delayed?n=1", "GET /delayed?n=2"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i == 2 }
--- error_code eval
[204, 200, 200]
--- check eval
[(sets('remember session')) x 3]
