# Who has a session, and how one comes into being: session, session_create, session_lookup, session_on_error.
use lib 't/lib';
use SessT 'no_plan';

require './t/refused.pl';
rig 'B1';

our $echo = 'proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;';

# One Set-Cookie line, of that name, with a token in it.
sub one_token {
    my ($res, $name) = @_;
    my @lines = $res->set_cookies;
    return 'Set-Cookie lines: ' . join ' | ', map { $_->{line} } @lines if @lines != 1;
    return "cookie $lines[0]{name}" if $lines[0]{name} ne $name;
    return $lines[0]{value} =~ /\AAQ[\w-]{108,}\z/ ? 1 : "no token: $lines[0]{value}";
}

sub no_set_cookie { my ($res) = @_; !$res->set_cookies or 'a Set-Cookie: ' . $res->header('Set-Cookie') }

# The cookie `sid` is expired, and nothing else is set.
sub cleared {
    my ($res) = @_;
    my ($line, @more) = map { $_->{line} } $res->set_cookies;
    return 'not one Set-Cookie' if !$line || @more;
    return $line =~ /\Asid=;.*Max-Age=0\z/ ? 1 : $line;
}

sub user { my ($wanted) = @_; sub { ($_[0]->header('X-User') // '-') eq $wanted or 'X-User ' . ($_[0]->header('X-User') // '-') } }

refused('session: an unknown word', 'session begin;', qr/invalid value "begin".*"off", "open", "start", "logout", "destroy"/);
refused('session: an upper-case word', 'session Start;', qr/invalid value "Start"/);
refused('session: twice', "session start;\nsession open;", qr/duplicate/);
refused('session: an unknown profile', 'session start profile=x;', qr/unknown profile "x"/);
refused('session: an unknown parameter', 'session start on;', qr/"on"/);
refused('session: no word', 'session;', qr/invalid number of arguments/);
refused('session_create: an unknown word', 'session_create on;', qr/invalid value "on".*"lazy", "always"/);
refused('session_create: twice', "session_create lazy;\nsession_create always;", qr/duplicate/);
refused('session_create: two words', 'session_create lazy always;', qr/invalid number of arguments/);
refused('session_lookup: an unknown place', 'session_lookup body;', qr/"body".*cookie/);
refused('session_lookup: twice', "session_lookup cookie;\nsession_lookup cookie;", qr/duplicate/);
refused('session_lookup: no place', 'session_lookup;', qr/invalid number of arguments/);
refused('session_on_error: an unknown word', 'session_on_error 503;', qr/invalid value "503".*"fail", "pass"/);
refused('session_on_error: twice', "session_on_error fail;\nsession_on_error pass;", qr/duplicate/);
refused('session_storage: an unknown one', 'session_storage nowhere;', qr/"nowhere".*cookie/);
refused('session_storage: twice', "session_storage cookie;\nsession_storage cookie;", qr/duplicate/);
refused('session in an if', 'location / { if ($arg_a) { session start; } }', qr/not allowed here/, names => 'session');
refused('session outside http', 'session start;', qr/not allowed here/, section => 'main_config');
refused('session: at the level http', 'session never;', qr/invalid value "never"/, section => 'http_config');
refused('session: in a location', 'location /a { session never; }', qr/invalid value "never"/, names => 'session');

add_refused();
run_tests();
__DATA__

=== L1: no cookie, no session: nothing is set and nothing sent upstream
--- tls eval
[0, 1, 0, 0]
--- request eval
["GET /", "GET /", "GET / HTTP/1.0", "POST /\na=1"]
--- check eval
\&no_set_cookie
--- upstream_json eval
sub { !defined $_[0]->header('Cookie') or 'the upstream saw a cookie' }
--- no_error_log eval
[qr/\[(?:warn|error|crit)\]/]

=== L1: by HTTP/2
--- http2
--- tls eval
[0, 1]
--- request eval
["GET /", "GET /"]
--- check eval
\&no_set_cookie

=== L1: what only reads does not create: headers, variables, unset, info, touch
--- config
location /reads {
    session_map_header X-User user default=nobody;
    session_request_headers id subject timeout;
    session_response_headers id subject timeout;
    session_unset all;
    session_unset user;
    session_info_set seen 1;
    session_touch_threshold 0;
    add_header X-All "[$session_id$session_exists$session_new$session_data_user$session_json$session_subject$session_timeout]";
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
location /ends    { session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /logout  { session logout; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /ignored { session destroy; session_set user eve; session_subject eve; session_create always; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /reads", "GET /ends", "GET /logout", "GET /ignored"]
--- check eval
\&no_set_cookie
--- response_headers eval
["X-All: []\n! Session-Id", "", "", ""]
--- upstream_json eval
[user('nobody'), undef, undef, undef]

=== L2: a value is set and read back, plain, TLS, HTTP/1.0, and HEAD
--- cookie_jar eval
['a', 'a', 'b', 'b', 'c', 'c', 'd', 'd']
--- tls eval
[0, 0, 1, 1, 0, 0, 0, 0]
--- request eval
["GET /set?u=ann", "GET /get", "GET /set?u=bob", "GET /get", "GET /set?u=cyd HTTP/1.0", "GET /get HTTP/1.0", "HEAD /set?u=dan", "GET /get"]
--- check eval
[(sub { one_token($_[0], 'sid') }, \&no_set_cookie) x 4]
--- upstream_json eval
[undef, user('ann'), undef, user('bob'), undef, user('cyd'), undef, user('dan')]

=== L2: by HTTP/2
--- http2
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /get"]
--- check eval
[sub { one_token($_[0], 'sid') }, \&no_set_cookie]
--- upstream_json eval
[undef, user('ann')]

=== L2: by HTTP/2 over TLS, over plain afterwards
--- http2
--- cookie_jar
--- tls eval
[1, 1]
--- request eval
["GET /set?u=ann", "GET /get"]
--- upstream_json eval
[undef, user('ann')]

=== L2: on one connection
--- keepalive
--- cookie_jar
--- request eval
["GET /get", "GET /set?u=ann", "GET /get", "GET /set?u=bob", "GET /get"]
--- upstream_json eval
[user('-'), undef, user('ann'), undef, user('bob')]

=== L2: two clients never share; a third without cookie has nothing
--- cookie_jar eval
['ann', 'bob', 'ann', 'bob', '-']
--- request eval
["GET /set?u=ann", "GET /set?u=bob", "GET /get", "GET /get", "GET /get"]
--- upstream_json eval
[undef, undef, user('ann'), user('bob'), user('-')]

=== L2: in many requests at the same time
--- parallel
--- request eval
[map { "GET /set?u=u$_" } 1 .. 12]
--- check eval
our %seen = ();
sub { my ($res) = @_; my $c = $res->set_cookie('sid') or return 'no cookie'; !$seen{$c->{value}}++ or 'twice the same cookie' }

=== L2: a value equal to the stored one changes nothing
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /set?u=ann", "GET /set?u=bob", "GET /get"]
--- check eval
[sub { one_token($_[0], 'sid') }, \&no_set_cookie, sub { one_token($_[0], 'sid') }, \&no_set_cookie]
--- upstream_json eval
[undef, undef, undef, user('bob')]

=== L2: an empty value stores an empty string
--- cookie_jar
--- config
location /show { return 200 "[$session_json]"; }
--- request eval
["GET /set", "GET /show"]
--- response_body eval
[undef, '[{"user":""}]']

=== L3: a made-up id is not adopted, and opens nothing afterwards
--- config
location /id { session_set user $arg_u; add_header X-Id $session_id; return 204; }
--- request eval
['GET /set?u=ann', 'GET /get', 'GET /id?u=x']
--- error_code eval
[200, 200, 204]
--- more_headers eval
[("Cookie: sid=test-session-id") x 3]
--- check eval
[sub { one_token($_[0], 'sid') }, \&cleared, sub { length $_[0]->header('X-Id') == 43 ? one_token($_[0], 'sid') : 'adopted' }]
--- upstream_json eval
[undef, user('-'), undef]

=== L3: a made-up token of the right form is not adopted, its id neither
--- config
add_header X-Cause $session_status always;
location /id { session_set user $arg_u; add_header X-Cause $session_status; add_header X-Id $session_id; return 204; }
--- request eval
['GET /id?u=ann', 'GET /get']
--- error_code eval
[204, 200]
--- more_headers eval
my $made = 'AQAA' . 'A' x 106;
["Cookie: sid=$made" . 'A' x 24, "Cookie: sid=$made" . 'A' x 24]
--- check eval
[sub { $_[0]->header('X-Id') =~ /\A(?!A{43})[\w-]{43}\z/ ? one_token($_[0], 'sid') : 'adopted' }, \&cleared]
--- response_headers_like eval
["X-Cause: new", "X-Cause: (?:bad-|expired-).*"]

=== L3: ids are 43 characters of base64, never the same
--- rig: B3
--- config
add_header X-Id $session_id;
--- request eval
[("GET /id") x 6]
--- response_headers_like eval
[('X-Id: [A-Za-z0-9_-]{43}') x 6]
--- check eval
our %ids = ();
sub { my ($res) = @_; !$ids{$res->header('X-Id')}++ or 'twice the same id' }

=== L8: session_create always: exactly one Set-Cookie with the first visit, whatever the answer
--- rig: B3
--- config
location /return { return 204; }
location /moved  { return 302 /; }
location /file   { root html; try_files /index.html =404; }
location /open   { session open; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- tls eval
[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
--- request eval
["GET /", "GET /", "HEAD /", "GET / HTTP/1.0", "GET /?st=404", "GET /?st=304", "GET /return", "GET /moved", "GET /open", "POST /\nx=1"]
--- error_code eval
[200, 200, 200, 200, 404, 304, 204, 302, 200, 200]
--- check eval
sub { one_token($_[0], 'sid') }

=== L8: the upstream's own cookies stay, ours is added; a line of the same name is replaced
--- rig: B3
--- request eval
["GET /?sc=a=1;%20Path=/&sc=b=2", "GET /?sc=sid=evil;%20Path=/&sc=b=2", "GET /?sc=sid=evil&sc=sid=more;%20Path=/x"]
--- check eval
my $names = sub { join ' ', map { $_->{name} } $_[0]->set_cookies };
[
    sub { my $n = $names->($_[0]); $n eq 'a b sid' or $n },
    sub { my $n = $names->($_[0]); $n eq 'b sid' && $_[0]->set_cookie('sid')->{value} ne 'evil' or $n },
    sub { my $n = $names->($_[0]); $n eq 'sid' && $_[0]->set_cookie('sid')->{value} =~ /^AQ/ or $n },
]

=== L8: an upstream's cookie with our name passes where we set none
--- request
GET /?sc=sid=theirs;%20Path=/x
--- response_headers
Set-Cookie: sid=theirs; Path=/x

=== L9: session_create always: no second Set-Cookie
--- rig: B3
--- cookie_jar
--- request eval
[("GET /") x 4]
--- check eval
[sub { one_token($_[0], 'sid') }, (\&no_set_cookie) x 3]

=== L8: session_create is inherited and overridden: http always, server lazy, location always
--- http_config
session_create always;
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location / { return 204; } location /lazy { session_create lazy; return 204; } }
--- config
session_create lazy;
location /lazy   { return 204; }
location /always { session_create always; return 204; location /always/in { return 204; } }
--- port eval
[undef, undef, undef, ('$TEST_NGINX_RAND_PORT_1') x 2]
--- request eval
["GET /lazy", "GET /always", "GET /always/in", "GET /", "GET /lazy"]
--- error_code eval
[(204) x 5]
--- check eval
my $one = sub { one_token($_[0], 'sid') };
[\&no_set_cookie, $one, $one, $one, \&no_set_cookie]

=== session: inherited and overridden: http start, server off, location open, nested
--- rig: none
--- http_config
session start;
session_secret s;
session_create always;
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location / { return 200 $session_status; } }
--- config
session off;
location /off  { return 200 $session_status; }
location /open { session open; return 200 $session_status; location /open/off { session off; return 200 $session_status; } }
--- port eval
[undef, undef, undef, '$TEST_NGINX_RAND_PORT_1']
--- request eval
["GET /off", "GET /open", "GET /open/off", "GET /"]
--- response_body_like eval
[qr/\Aoff\z/, qr/\A(?:missing|new)\z/, qr/\Aoff\z/, qr/\A(?:missing|new)\z/]
--- check eval
my $one = sub { one_token($_[0], 'session') };
[\&no_set_cookie, $one, \&no_set_cookie, $one]

=== the default of session is off
--- rig: plain
--- config
session_create always;
session_secret s;
location /x { session_set user ann; add_header X-Cause "$session_status"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /", "GET /x"]
--- check eval
\&no_set_cookie
--- response_headers eval
["", "X-Cause: off"]

=== open may create too, by a value, by a subject, and always
--- config
session open;
location /value   { session_set a 1; return 204; }
location /subject { session_subject $arg_s; return 204; }
location /always  { session_create always; return 204; }
--- request eval
["GET /value", "GET /subject?s=ann", "GET /subject", "GET /always", "GET /"]
--- error_code eval
[204, 204, 204, 204, 200]
--- check eval
my $one = sub { one_token($_[0], 'sid') };
[$one, $one, \&no_set_cookie, $one, \&no_set_cookie]

=== L11: an empty cookie, one without a value, and quotes around nothing are as no cookie
--- config
add_header X-Cause $session_status always;
--- request eval
[("GET /get") x 4]
--- more_headers eval
["Cookie: sid=", "Cookie: sid", "Cookie: a=1; sid=; b=2", "Cookie: a=1; sid ; b=2"]
--- response_headers eval
[("X-Cause: missing\n! Set-Cookie") x 4]
--- upstream_json eval
[map { my $line = $_; sub { !defined $_[0]->header('X-User') && $_[0]->header('Cookie') eq $line or 'changed' } } 'sid=', 'sid', 'a=1; sid=; b=2', 'a=1; sid ; b=2']

=== L11: and a session can be made over it
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /get"]
--- more_headers eval
["Cookie: sid=", ""]
--- upstream_json eval
[undef, user('ann')]

=== L12: hostile values are as no cookie, and expired
--- config
add_header X-Cause $session_status always;
--- request eval
[("GET /get") x 9]
--- more_headers eval
[map { "Cookie: sid=$_" } 'x' x 8192, "\x01\x02\x7f", "\xc3\xa4\xe2\x82\xac", '%00', '%41%51', '"', '""', 'AQ' . '=' x 120, 'A' x 110]
--- response_headers eval
[("X-Cause: bad-format") x 9]
--- check eval
\&cleared
--- upstream_json eval
user('-')

=== L12: the longest line nginx takes
--- config
add_header X-Cause $session_status always;
--- request
GET /get
--- more_headers eval
'Cookie: sid=' . 'AQAA' . 'A' x 60000
--- response_headers_like
X-Cause: (?:bad-.*|expired-.*)
--- upstream_json eval
user('-')

=== L12: thousands of cookies, of our name too, cost bounded work
--- config
add_header X-Cause $session_status always;
--- request eval
["GET /get", "GET /get"]
--- more_headers eval
['Cookie: ' . join('; ', map { "c$_=1" } 1 .. 6000), 'Cookie: ' . join('; ', map { 'sid=AQAA' . 'A' x 130 } 1 .. 400)]
--- response_headers_like eval
["X-Cause: missing", "X-Cause: (?:bad-.*|expired-.*)"]
--- check eval
sub { $_[0]{seconds} < ($ENV{TEST_NGINX_USE_VALGRIND} ? 30 : 1) or "took $_[0]{seconds} s" }

=== L12: nothing of a refused cookie is in the log
--- request
GET /get
--- more_headers
Cookie: sid=AQAAhostilehostilehostile
--- error_log eval
[qr/\[info\].* session: cookie "sid" refused/]
--- no_error_log
hostile

=== L15: session off in the location: the cookie passes, good or bad, and nothing is set
--- cookie_jar
--- config
location /off {
    session off;
    session_create always;
    session_set user eve;
    add_header X-Cause "$session_status/$session_id/$session_exists/$session_data_user" always;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
location /status { return 200 "$session_status"; }
--- request eval
["GET /set?u=ann", "GET /off", "GET /off", "GET /get", "GET /off", "GET /status"]
--- more_headers eval
["", "Cookie: a=1; b=2", "", "", "", ""]
--- jar_edit eval
my $good;
sub {
    my ($cookies, $i) = @_;
    $good = $cookies->{sid} if $i == 1;
    $cookies->{sid} = 'broken' if $i == 4;
    $cookies->{sid} = $good if $i == 5;
}
--- response_headers eval
["", ("X-Cause: off///\n! Set-Cookie") x 2, "", "X-Cause: off///\n! Set-Cookie", ""]
--- upstream_json eval
[
    undef,
    sub { $_[0]->header('Cookie') =~ /\Aa=1; b=2; sid=AQ/ or $_[0]->header('Cookie') },
    sub { $_[0]->header('Cookie') =~ /\Asid=AQ/ or 'no cookie' },
    user('ann'),
    sub { $_[0]->header('Cookie') eq 'sid=broken' or $_[0]->header('Cookie') },
    undef,
]
--- response_body eval
[(undef) x 5, 'open']

=== L15: session off with session_hide on leaves the cookie alone; identity headers go all the same
--- config
location /off { session off; session_hide on; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request
GET /off
--- more_headers
Cookie: a=1; sid=x
X-User: evil
--- upstream_json eval
sub {
    my ($up) = @_;
    return 'Cookie ' . ($up->header('Cookie') // '-') if ($up->header('Cookie') // '') ne 'a=1; sid=x';
    return !defined $up->header('X-User') || 'X-User passed';
}

=== duplicates of one name: the one that verifies wins, wherever it stands
--- capture eval
[{ tok => qr/^Set-Cookie: sid=([^;]+)/m }]
--- config
add_header X-Cause $session_status always;
--- request eval
["GET /set?u=ann", ("GET /get") x 6]
--- more_headers eval
['', 'Cookie: sid=$CAPTURED_tok; sid=bad', 'Cookie: sid=bad; sid=$CAPTURED_tok',
 'Cookie: sid=; sid=bad; a=1; sid=AQAA; sid=$CAPTURED_tok; b=2; sid=worse', "Cookie: sid=bad\nCookie: sid=\$CAPTURED_tok",
 "Cookie: sid=\$CAPTURED_tok\nCookie: sid=bad", 'Cookie: sid=bad; sid=worse']
--- response_headers_like eval
['X-Cause: new', ('X-Cause: open') x 5, 'X-Cause: bad-format']
--- upstream_json eval
[undef, (user('ann')) x 5, user('-')]
--- check eval
[undef, (\&no_set_cookie) x 5, \&cleared]

=== two good cookies of one name: one of them is taken, and nothing is mixed
--- capture eval
[{ one => qr/^Set-Cookie: sid=([^;]+)/m }, { two => qr/^Set-Cookie: sid=([^;]+)/m }]
--- request eval
["GET /set?u=ann", "GET /set?u=bob", "GET /get", "GET /get"]
--- more_headers eval
['', '', 'Cookie: sid=$CAPTURED_one; sid=$CAPTURED_two', 'Cookie: sid=$CAPTURED_two; sid=$CAPTURED_one']
--- upstream_json eval
[undef, undef, user('ann'), user('bob')]

=== white space, order and other cookies around ours do not matter
--- capture eval
[{ tok => qr/^Set-Cookie: sid=([^;]+)/m }]
--- request eval
["GET /set?u=ann", ("GET /get") x 9]
--- more_headers eval
['', 'Cookie: a=1;sid=$CAPTURED_tok;b=2', 'Cookie: ;; sid=$CAPTURED_tok;', "Cookie: a=1;  \t sid=\$CAPTURED_tok  ; b=2",
 'Cookie: sid = $CAPTURED_tok', 'Cookie: a="x;y"; sid=$CAPTURED_tok', 'Cookie: a="; sid=$CAPTURED_tok', 'Cookie: =v; sid=$CAPTURED_tok; c',
 'Cookie: xsid=bad; sidx=bad; sid=$CAPTURED_tok; sid2=bad', "Cookie: a=1\nCookie: sid=\$CAPTURED_tok\nCookie: b=2"]
--- upstream_json eval
[undef, (user('ann')) x 9]

=== names that only look like ours are not ours
--- capture eval
[{ tok => qr/^Set-Cookie: sid=([^;]+)/m }]
--- config
add_header X-Cause $session_status always;
--- request eval
["GET /set?u=ann", ("GET /get") x 4]
--- more_headers eval
['', map { "Cookie: $_=\$CAPTURED_tok" } 'sidx', 'xsid', 'sid2', 'session']
--- response_headers eval
['X-Cause: new', ('X-Cause: missing') x 4]

=== the header line may be spelt as one likes
--- capture eval
[{ tok => qr/^Set-Cookie: sid=([^;]+)/m }]
--- request eval
["GET /set?u=ann", "GET /get", "GET /get"]
--- more_headers eval
['', 'cookie: sid=$CAPTURED_tok', 'COOKIE: sid=$CAPTURED_tok']
--- upstream_json eval
[undef, user('ann'), user('ann')]

=== by HTTP/2, cookies in several fields
--- http2
--- capture eval
[{ tok => qr/^set-cookie: sid=([^;]+)/mi }]
--- request eval
["GET /set?u=ann", "GET /get"]
--- more_headers eval
['', "Cookie: a=1\nCookie: sid=\$CAPTURED_tok\nCookie: b=2"]
--- upstream_json eval
[undef, user('ann')]

=== session_lookup cookie and session_on_error are taken everywhere
--- http_config
session_lookup cookie;
session_on_error pass;
--- config
session_lookup cookie;
session_on_error fail;
session_storage cookie;
location /x { session_lookup cookie; session_on_error pass; session_storage cookie; return 204; }
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /get", "GET /x"]
--- error_code eval
[200, 200, 204]
--- upstream_json eval
[undef, user('ann'), undef]

=== T16: $session_status: missing, new, open, off, and what belongs to each
--- config
location /make { session_set a 1; add_header X-S "$session_status,$session_exists,$session_new"; return 204; }
location /look { add_header X-S "$session_status,$session_exists,$session_new"; return 204; }
location /off  { session off; add_header X-S "$session_status,$session_exists,$session_new"; return 204; }
--- cookie_jar eval
['-', 'a', 'a', 'a']
--- request eval
["GET /look", "GET /make", "GET /look", "GET /off"]
--- error_code eval
[204, 204, 204, 204]
--- response_headers eval
["X-S: missing,,", "X-S: new,1,1", "X-S: open,1,", "X-S: off,,"]

=== an internal redirect keeps the session; the new location's directives are in force
--- config
error_page 404 = @lost;
location = /go { session_set a 1; try_files /nowhere @named; }
location @named { session_set b 2; return 200 "$session_json"; }
location @lost { return 200 "$session_json"; }
location = /see { return 200 "$session_json"; }
location = /re { rewrite ^ /see last; }
--- cookie_jar
--- request eval
["GET /go", "GET /see", "GET /re", "GET /get?st=404"]
--- response_body_like eval
[qr/\A\{"a":"1"\}\z/, qr/\A\{"a":"1","b":"2"\}\z/, qr/\A\{"a":"1","b":"2"\}\z/, undef]
--- error_code eval
[200, 200, 200, 404]

=== subrequests share the session and set no cookie themselves
--- config
location /in { auth_request /check; session_create always; return 204; }
location /page { auth_request /check; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; session_create always; }
location = /check { internal; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?sc=sid=sub; }
--- request
GET /page
--- check eval
sub { one_token($_[0], 'sid') }
