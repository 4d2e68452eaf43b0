# session_hide: the session's cookies do not go upstream, and all else stays byte for byte.
use lib 't/lib';
use SessT 'no_plan';

require './t/refused.pl';
rig 'B1';

our $vector = 'AQAAS3ZGU0k8tUKsWSci9Fb6PM5xbm469FlR5g_B5HWZ6KYGSOZjAAAAAABcAABTCuHjqpE7B6Ux7m4GCylZAAAAzcWnTvzG51whooR_4QQwDgGdMOOa5W7t'
    . 'G4JWiDFU3zuYLFzakWEi-y-ogrwTpnt24zQXP_uJK7r5lMPNzRSMJM9H1a_MIegzEMm-QSgVRaoZVJq3Oo';

# A check: the upstream saw just these Cookie lines.
sub saw {
    my $expected = join "\n", @_;
    return sub {
        my $lines = join "\n", $_[0]->headers('Cookie');
        return $lines eq $expected || "Cookie [$lines], not [$expected]";
    };
}

refused('another word', 'session_hide yes;', qr/invalid value "yes".*"on", "off"/);
refused('twice', "session_hide on;\nsession_hide off;", qr/duplicate/);
refused('no word', 'session_hide;', qr/invalid number of arguments/);
refused('in a location', 'location /a { session_hide all; }', qr/invalid value "all"/, names => 'session_hide');

add_refused();
run_tests();
__DATA__

=== F1: by default the Cookie line is unchanged, byte for byte
--- request eval
[("GET /get") x 6]
--- more_headers eval
[map { "Cookie: $_" } our @odd = ('a=1; sid=T; b=2', 'sid=T', 'a=1;sid=T;b=2 ;;c', 'a="1; 2"; sid="T"', "\xc3\xa4=\xff; sid=T", 'sid=T; remember=R; sid2=x')]
--- upstream_json eval
[map { saw($_) } our @odd]

=== F2, F3: hide on: only ours goes; nothing else in the line: no header
--- config
session_hide on;
--- request eval
[map { "GET /get" } our @lines = (
    ['a=1; sid=T; b=2', 'a=1; b=2'], ['sid=T; a=1', 'a=1'], ['a=1; sid=T', 'a=1'], ['a=1;sid=T;b=2', 'a=1;b=2'],
    ['a=1;  sid=T;  b=2', 'a=1;  b=2'], ['a = 1 ; sid = T ; b = 2', 'a = 1 ; b = 2'], ['sid=T'], ['sid='], ['sid'], [' sid=T '],
    ['sid=T;'], ['sid=T; sid=U; sid=V'], ['sid=T; a=1; sid=U', 'a=1'], ['a="x y"; sid="T"; b=', 'a="x y"; b='], ['a=1; sid; b=2', 'a=1; b=2'],
    ["\xc3\xa4=\xff\xfe; sid=\x01", "\xc3\xa4=\xff\xfe"], ['a=sid=T; sid=T', 'a=sid=T'], ['=v; sid=T; w', '=v; w'],
)]
--- more_headers eval
[map { "Cookie: $_->[0]" } our @lines]
--- upstream_json eval
[map { saw(@$_[1 .. $#$_]) } our @lines]

=== F2: what only looks like ours stays
--- config
session_hide on;
--- request eval
[("GET /") x 3]
--- more_headers eval
[map { "Cookie: $_" } our @others = ('sidx=1; xsid=2; sid1=3; sid0=4; sid10=5; sid22=6; sid-2=7; SID=8; sid.=9; session=10', 'remember1=a; remember10=b; Remember=c; xremember=d', 'a=sid; b=sid=1')]
--- upstream_json eval
[map { saw($_) } our @others]

=== F2: the chunks and the remember cookie with its chunks go, without a session too (F7)
--- config
session_hide on;
--- request eval
["GET /", "GET /"]
--- more_headers eval
['Cookie: a=1; ' . join('; ', map { "sid$_=x" } 2 .. 9) . '; b=2; remember=R; ' . join('; ', map { "remember$_=y" } 2 .. 9) . '; c=3', 'Cookie: remember=R; sid9=x; remember9=']
--- upstream_json eval
[saw('a=1; b=2; c=3'), saw()]

=== F7: other names: that of the session, that of the remember cookie, and a prefix
--- config
session_hide on;
session_cookie_name s;
session_remember_cookie_name r;
location /host { session_cookie_prefix __Host-; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /", "GET /host"]
--- more_headers eval
["Cookie: s=1; r=2; sid=3; remember=4; __Host-s=5; __Host-r=6; s3=7; __Host-r9=8", "Cookie: s=1; r=2; sid=3; remember=4; __Host-s=5; __Host-r=6; s3=7; __Host-r9=8"]
--- upstream_json eval
[saw('sid=3; remember=4; __Host-s=5; __Host-r=6; __Host-r9=8'), saw('s=1; r=2; sid=3; remember=4; s3=7')]

=== F2: a good, an expired, a tampered, a foreign cookie: all are hidden, and the session works
--- config
session_hide on;
session_absolute_timeout 1s;
add_header X-Cause $session_status always;
--- capture eval
[{ tok => qr/^Set-Cookie: sid=([^;]+)/m }]
--- sleep_before eval
[0, 0, 0, 2.1]
--- request eval
["GET /set?u=ann", "GET /get", "GET /get", "GET /get"]
--- more_headers eval
['', 'Cookie: a=1; sid=$CAPTURED_tok; b=2', 'Cookie: a=1; sid=x$CAPTURED_tok; sid=bad', 'Cookie: sid=$CAPTURED_tok']
--- response_headers_like eval
['X-Cause: new', 'X-Cause: open', 'X-Cause: bad-.*', 'X-Cause: expired-absolute']
--- upstream_json eval
[undef, sub { my ($up) = @_; $up->header('X-User') eq 'ann' && $up->header('Cookie') eq 'a=1; b=2' or join ' ', $up->headers('Cookie') }, saw('a=1'), saw()]

=== F2: $cookie_NAME and $http_cookie agree with what the upstream sees
--- config
session_hide on;
location /vars {
    proxy_set_header X-Line "$http_cookie";
    proxy_set_header X-Sid  "[$cookie_sid][$cookie_sid2][$cookie_remember]";
    proxy_set_header X-Rest "$cookie_a,$cookie_b";
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- request eval
["GET /vars", "GET /vars", "GET /vars"]
--- more_headers eval
["Cookie: a=1; sid=T; sid2=U; b=2; remember=R", "Cookie: sid=T", "Cookie: sid=T\nCookie: a=1; sid2=x\nCookie: b=2"]
--- upstream_json eval
sub {
    my ($up, $res, $i) = @_;
    my $cookie = join '; ', $up->headers('Cookie');
    return "X-Line " . ($up->header('X-Line') // '-') . ", Cookie $cookie" if ($up->header('X-Line') // '') ne $cookie;
    return 'X-Sid ' . $up->header('X-Sid') if $up->header('X-Sid') ne '[][][]';
    my $rest = ('1,2', ',', '1,2')[$i];
    return $up->header('X-Rest') eq $rest || 'X-Rest ' . $up->header('X-Rest');
}

=== F2: several Cookie lines; a line with nothing else goes, HTTP/1.0 and 1.1
--- config
session_hide on;
--- request eval
["GET /", "GET / HTTP/1.0", "GET /"]
--- more_headers eval
["Cookie: a=1; sid=T\nCookie: sid=U\nCookie: b=2", "Cookie: sid=U\nCookie: a=1\ncookie: b=2; sid3=x", "Cookie: sid=T\nCookie: sid=U"]
--- upstream_json eval
[sub { my $c = join '; ', $_[0]->headers('Cookie'); $c eq 'a=1; b=2' or $c }, sub { my $c = join '; ', $_[0]->headers('Cookie'); $c eq 'a=1; b=2' or $c }, saw()]

=== F2: by HTTP/2, in one field and in several
--- http2
--- tls eval
[0, 0, 1, 0]
--- config
session_hide on;
--- request eval
[("GET /") x 4]
--- more_headers eval
["Cookie: a=1; sid=T; b=2", "Cookie: a=1\nCookie: sid=T\nCookie: b=2", "Cookie: a=1; sid=T\nCookie: b=2", "Cookie: sid=T"]
--- upstream_json eval
[(sub { my $c = join '; ', $_[0]->headers('Cookie'); $c eq 'a=1; b=2' or $c }) x 3, saw()]

=== F2: the other headers keep their order and bytes
--- config
session_hide on;
--- request
GET /
--- more_headers
X-B: 2
Cookie: a=1; sid=T
x-A:  1
X-B: 3
Accept: text/*
--- upstream_json eval
sub {
    my $got = join '|', map { "$_->[0]: $_->[1]" } grep { $_->[0] =~ /^(?:x-|cookie|accept)/i } @{ $_[0]{headers} };
    $got eq 'X-B: 2|Cookie: a=1|x-A: 1|X-B: 3|Accept: text/*' or $got
}

=== F2: inherited and overridden: http on, server off, location on, nested
--- http_config
session_hide on;
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    large_client_header_buffers 4 64k;
    location / { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
}
--- config
session_hide off;
location /on { session_hide on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; location /on/off { session_hide off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; } }
--- port eval
[undef, undef, undef, '$TEST_NGINX_RAND_PORT_1']
--- request eval
["GET /", "GET /on", "GET /on/off", "GET /"]
--- more_headers eval
[("Cookie: a=1; sid=T") x 4]
--- upstream_json eval
[saw('a=1; sid=T'), saw('a=1'), saw('a=1; sid=T'), saw('a=1')]

=== F2: in open, destroy and logout locations, and with a bypass; not where session is off
--- config
session_hide on;
location /open    { session open; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /destroy { session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /logout  { session logout; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /bypass  { session_bypass 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /off     { session off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[map { "GET /$_" } qw(open destroy logout bypass off)]
--- more_headers eval
[("Cookie: a=1; sid=T; remember=R; sid4=x") x 5]
--- upstream_json eval
[(saw('a=1')) x 4, saw('a=1; sid=T; remember=R; sid4=x')]

=== F2: hidden from the upstream of an error page, a named location, a rewrite
--- config
session_hide on;
location /missing { try_files /none @named; }
location @named { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /rewrite { rewrite ^ /target last; }
location /error { error_page 404 = @named; return 404; }
--- request eval
["GET /missing", "GET /rewrite", "GET /error"]
--- more_headers eval
[("Cookie: a=1; sid=T; sid2=U") x 3]
--- upstream_json eval
saw('a=1')

=== F2: hidden from the service that auth_request asks, where its location says so
--- config
location /page { auth_request /check; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; auth_request_set $seen $upstream_http_x_seen; add_header X-Seen "$seen"; }
location = /check { internal; session_hide on; proxy_pass_request_body off; proxy_set_header X-Got "$http_cookie"; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- http_config
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    session off;
    location / { add_header X-Seen "[$http_cookie]"; return 200; }
}
--- request
GET /page
--- more_headers
Cookie: a=1; sid=T
--- response_headers
X-Seen: [a=1]
--- upstream_json eval
saw('a=1; sid=T')

=== F2: a large cookie line
--- config
session_hide on;
--- request
GET /
--- more_headers eval
'Cookie: a=1; sid=' . 'x' x 4000 . '; ' . join('; ', map { "sid$_=" . 'y' x 4000 } 2 .. 9) . '; b=' . 'z' x 3000
--- upstream_json eval
saw('a=1; b=' . 'z' x 3000)

=== F2: a body goes upstream whole
--- config
session_hide on;
--- request eval
"POST /\n" . 'sid=T; ' x 20000
--- more_headers
Cookie: sid=T
--- upstream_json eval
sub { my ($up) = @_; my @cookies = $up->headers('Cookie'); length $up->{body} >= 139_990 && !@cookies or 'another body, or a Cookie' }

=== F2: with a session that is created in this request
--- config
session_hide on;
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /get"]
--- upstream_json eval
[saw(), sub { $_[0]->header('X-User') eq 'ann' && !$_[0]->headers('Cookie') or 'not hidden' }]

=== F2: the chunks of a long session, in any order among others
--- config
session_hide on;
session_compression_threshold 0;
location /long { session_set v "$http_x_v"; return 204; }
location /see  { proxy_set_header X-Len "$session_data_v"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /long", "GET /see", "GET /see"]
--- more_headers eval
['X-V: ' . 'v' x 9000, 'Cookie: a=1', 'Cookie: sid9=stray; sid1=mine']
--- error_code eval
[204, 200, 200]
--- upstream_json eval
[undef, map { my $left = $_; sub { my ($up) = @_; length $up->header('X-Len') == 9000 && $up->header('Cookie') eq $left or join '|', $up->headers('Cookie') } } 'a=1', 'sid1=mine']

=== F10: the vector with what a browser never sends
--- rig: B2
--- config
session_storage cookie;
session_hide on;
session_audience my_application;
session_idling_timeout 0;
session_rolling_timeout 0;
session_absolute_timeout 0;
session_map_header X-Q quote;
location /x { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request
GET /x
--- more_headers eval
"Cookie: session=$::vector; Path=/; SameSite=Lax; HttpOnly"
--- upstream_json eval
sub { my ($up) = @_; ($up->header('Cookie') // '-') eq 'Path=/; SameSite=Lax; HttpOnly' && $up->header('X-Q') =~ /^Lorem/ or $up->header('Cookie') }
