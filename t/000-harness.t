# The harness itself, with plain nginx.
use lib 't/lib';
use SessT 'no_plan';

use File::Temp qw(tempdir);
use Time::HiRes qw(sleep time);

use SessT::Gateway;

our @protocols = qw(fastcgi uwsgi scgi);
our $gateways = join '', map { "location /$_ { ${_}_pass 127.0.0.1:@{[SessT::Gateway::start($_)]}; @{[SessT::Gateway::params($_)]} }\n" } @protocols;

repeat_each(2);
run_tests();

# --- a check that does not hold fails, and what fails is named ---

fails('status',       "--- request\nGET /\n--- error_code: 404\n",                          qr/status/);
fails('a 5xx',        "--- request\nGET /500\n",                                            qr/status/);
fails('body',         "--- request\nGET /text\n--- response_body\nother\n",                 qr/body/);
fails('body_like',    "--- request\nGET /text\n--- response_body_like: other\n",            qr/response_body_like/);
fails('body_unlike',  "--- request\nGET /text\n--- response_body_unlike: text\n",           qr/response_body_unlike/);
fails('a header',     "--- request\nGET /text\n--- response_headers\nX-A: 2\n",             qr/header X-A/);
fails('no header',    "--- request\nGET /text\n--- response_headers\n! X-A\n",              qr/no header X-A/);
fails('header_like',  "--- request\nGET /text\n--- response_headers_like\nX-A: [2-9]\n",    qr/header X-A/);
fails('raw headers',  "--- request\nGET /text\n--- raw_response_headers_like: X-B\n",       qr/raw_response_headers_like/);
fails('raw unlike',   "--- request\nGET /text\n--- raw_response_headers_unlike: X-A\n",     qr/raw_response_headers_unlike/);
fails('error_log',    "--- request\nGET /text\n--- error_log\nnever said\n",                qr/error_log has never said/);
fails('no_error_log', "--- request\nGET /gone\n--- error_code: 404\n--- no_error_log\n[error]\n", qr/error_log lacks/);
fails('must_die',     "--- must_die\n",                                                     qr/must die, but it runs/);
fails('a start',      "--- config\nnonsense;\n--- request\nGET /\n",                        qr/nginx starts/);
fails('check',        "--- request\nGET /text\n--- check eval\nsub { 'not this' }\n",       qr/check/);
fails('check, false', "--- request\nGET /text\n--- check eval\nsub { 0 }\n",                qr/check/);
fails('capture',      "--- request\nGET /text\n--- capture eval\n[{ a => qr/(none)/ }]\n",  qr/nothing to capture as a/);
fails('a timeout',    "--- request\nGET /slow\n--- timeout: 0.1\n--- error_code eval\n''\n", qr/no whole response/);
fails('a reload',     "--- reload eval\n['nonsense;']\n--- request\nGET /text\n--- error_log\n[emerg]\n",           qr/refused the new configuration/);
fails('a dead worker', "--- before eval\nsub { kill_worker() }\n--- request\nGET /text\n",  qr/nothing at alert/);
fails('json',         "--- request\nGET /text\n--- upstream_json eval\nsub { 1 }\n",        qr/upstream_json/);

like child(block("--- request eval\n[1, \n")), qr/an `eval` section does not run/, 'a broken eval section ends the test';
like child(block("--- request eval\n['GET /', 'GET /']\n--- error_code: 200\n")), qr/has to be a list/,
    'one expectation for several requests ends the test';
like child(block("--- request eval\n['GET /', 'GET /']\n--- error_code eval\n[200]\n")), qr/has 1 items for 2 requests/,
    'a list that is too short ends the test';
like child(block("--- request\nGET /\n--- respons_body\nnot looked at\n")), qr/no such section: respons_body/,
    'a section that does not exist ends the test';
like child(block("--- request\nGET /text\n")), qr/^1\.\.1\nstatus 0\n\z/m, 'a child that does well passes';

# --- nothing stays behind ---

for my $way ('die "on purpose"', 'kill TERM => $$', 'kill KILL => $$') {
    my $note = tempdir(CLEANUP => 1) . '/note';
    child(block("--- before eval\nsub { leave_note('$note'); $way; sleep 5 }\n--- request\nGET /\n"));
    my ($pid, $root) = split ' ', SessT::Room::slurp($note);
    ok $pid && gone_soon($pid, $root), "no nginx and no directory after: $way";
}

sub gone_soon {
    my ($pid, $root) = @_;
    my $end = time + 5;
    while (time < $end) {
        return 1 if !kill(0 => $pid) && !-e $root;
        sleep 0.02;
    }
    return 0;
}

sub fails {
    my ($what, $sections, $name) = @_;
    my $output = child(block($sections));
    my @failed = $output =~ /^not ok \d+ - (.*)/mg;
    ok @failed == 1 && $failed[0] =~ $name, "fails: $what" or diag $output;
}

sub block {
    my ($sections) = @_;
    my $config = <<'END';
--- config
location = /text { add_header X-A 1; return 200 "text\n"; }
location = /500  { return 500; }
location = /slow { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?delay=500; }
END
    return "=== THE BLOCK\n" . ($sections =~ /^--- config/m ? '' : $config) . $sections;
}

# Runs a block in a test file of its own; what it wrote and how it ended.
sub child {
    my ($block) = @_;
    my $directory = tempdir(CLEANUP => 1);
    SessT::Room::spew("$directory/child.t", <<'END' . $block);
use lib 't/lib';
use SessT 'no_plan';
use Time::HiRes qw(sleep);
sub pid { SessT::Room::slurp(server_root() . '/logs/nginx.pid') =~ /(\d+)/ ? $1 : die 'no pid' }
sub leave_note { SessT::Room::spew($_[0], pid() . ' ' . server_root()) }
sub kill_worker {
    my ($worker) = split ' ', `ps -o pid= --ppid @{[pid()]}`;
    kill SEGV => $worker;
    sleep 0.2;
}
run_tests();
__DATA__
END
    local $ENV{SESST_HARNESS} = 'own';
    delete local @ENV{ grep { /^TEST_NGINX_(?!BINARY|LOAD_MODULES)/ } keys %ENV };
    my $output = `$^X $directory/child.t 2>&1`;
    return "${output}status $?\n";
}

__DATA__

=== files and defaults
--- config
--- user_files
>>> a.txt
at $TEST_NGINX_SERVER_PORT
--- request
GET /a.txt
--- response_headers
Content-Type: text/plain
! Set-Cookie
--- response_body eval
"at $ENV{TEST_NGINX_SERVER_PORT}\n"
--- no_error_log
[error]

=== a block without config goes on with the nginx there is
--- request
GET /
--- response_body_like: It works!

=== an unknown directive
--- config
    not_a_directive on;
--- must_die
--- error_log
unknown directive "not_a_directive"

=== an unknown directive, with the exit status
--- config
    not_a_directive on;
--- must_die: 1
--- error_log eval
qr/\[emerg\].*not_a_directive/

=== a rig's session lines need the module
--- rig: B2
--- skip_eval: 2: $ENV{TEST_NGINX_LOAD_MODULES}
--- must_die
--- error_log
unknown directive "session"

=== the echo upstream shows what it got
--- rig: plain
--- config
    location /http11 { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /a?b=%20c", "POST /p\nsome body", "GET /http11"]
--- more_headers eval
["X-Two: 2\nX-One: 1\nx-two: again", "Content-Type: text/x", "X-Bytes: \xc3\xa4\"\\"]
--- response_headers eval
[("Content-Type: application/json") x 3]
--- upstream_json eval
[sub {
    my ($up) = @_;
    return 'method' if $up->{method} ne 'GET';
    return 'uri' if $up->{uri} ne '/a?b=%20c';
    my @names = grep { /^x-/i } map { $_->[0] } @{ $up->{headers} };
    return "@names" if "@names" ne 'X-Two X-One x-two';
    return join(',', $up->headers('X-Two')) eq '2,again' || 'values';
}, sub {
    my ($up) = @_;
    return $up->{method} eq 'POST' && $up->{body} eq 'some body' && $up->header('content-length') == 9 || 'body';
}, sub {
    my ($up) = @_;
    return $up->header('X-Bytes') eq "\xc3\xa4\"\\" || 'bytes';
}]

=== query arguments steer the echo upstream
--- rig: plain
--- request eval
["GET /?sc=a%3D1%3B%20Path%3D/&sc=b=2&rh=X-A:+1", "GET /?st=404", "HEAD /?rh=X-A:%202", "GET /?st=204", "GET /?text=hello",
 "GET /?delay=120", "GET / HTTP/1.0"]
--- error_code eval
[200, 404, 200, 204, 200, 200, 200]
--- raw_response_headers_like eval
[qr/^X-A: 1\r\nSet-Cookie: a=1; Path=\/\r\nSet-Cookie: b=2\r$/m, "", "X-A: 2", "", "", "", ""]
--- response_body eval
[undef, undef, "", "", "hello", undef, undef]
--- check eval
[sub {
    my ($res) = @_;
    my $cookie = $res->set_cookie('a');
    return $cookie->{value} eq '1' && $cookie->{attr}{path} eq '/' && $res->set_cookies == 2 || 'cookies';
}, undef, undef, undef, undef, sub { $_[0]{seconds} >= 0.12 or 'no delay' }]

=== bodies of a size, in parts, with another end
--- rig: plain
--- request eval
["GET /?size=1000003", "GET /?text=abcdefg&parts=3&pause=100", "GET /?text=abc&framing=close", "GET /?size=0", "HEAD /?size=9&parts=2", "GET /?st=204&parts=3"]
--- error_code eval
[200, 200, 200, 200, 200, 204]
--- response_body_like eval
['\A0000000\n0000001\n.*\n0124999\n012\z', '\Aabcdefg\z', '\Aabc\z', '\A\z', '\A\z', '\A\z']
--- check eval
[sub { length $_[0]{body} == 1_000_003 or 'length' }, sub { $_[0]{seconds} >= 0.2 or 'no pauses' }]

=== framing, trailers, and one more than the request says, asked directly
--- config
--- raw_requests eval
[map { "GET $_ HTTP/1.1\r\nHost: x\r\nX-n: 41\r\nConnection: close\r\n\r\n" } '/?text=abcde&parts=2&rt=X-T:%201&rt=x-u:2', '/?text=abc&framing=length', '/?text=abc&framing=close', '/?count=n&count=m']
--- port eval
[('$TEST_NGINX_ECHO_PORT') x 4]
--- response_headers eval
["Transfer-Encoding: chunked\n! Content-Length", "Content-Length: 3", "! Content-Length\n! Transfer-Encoding", 'X-Session-Data: {"n":42}, {"m":1}']
--- response_body eval
["abcde", "abc", "abc", undef]
--- check eval
[sub { $_[0]{trailers} eq "X-T: 1\r\nx-u:2\r\n" or "trailers: $_[0]{trailers}" }]

=== trailers come through where nginx passes them
--- rig: plain
--- skip_nginx: 2: < 1.27.2
--- config
location /t { proxy_http_version 1.1; proxy_pass_trailers on; proxy_set_header TE trailers; proxy_set_header Connection TE; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request
GET /t?text=abc&rt=X-T:%20the-trailer
--- more_headers
TE: trailers
--- response_body chomp
abc
--- check eval
sub { $_[0]{trailers} eq "X-T: the-trailer\r\n" or "trailers: $_[0]{trailers}" }

=== the echo upstream asked directly: interim response, keepalive, chunked body
--- config
--- raw_requests eval
["GET /?early=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
 "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
--- port eval
['$TEST_NGINX_ECHO_PORT', '$TEST_NGINX_ECHO_PORT']
--- check eval
[sub { "@{ $_[0]{interim} }" =~ m{\AHTTP/1.1 103 .*Link: }s or 'no 103' }, sub { $_[0]->header('Connection') eq 'keep-alive' or 'closed' }]
--- upstream_json eval
[undef, sub { $_[0]{body} eq 'abc' or 'body' }]

=== echo upstreams of other protocols
--- rig: plain
--- config eval
$::gateways
--- request eval
[map { ("GET /$_?rh=X-A:1&sc=a=b&st=404", "POST /$_?a=1\nbody", "HEAD /$_?rh=X-A:2", "GET /$_?size=200000") } @::protocols]
--- more_headers eval
[("X-B: 7\nX-Long: " . 'y' x 300) x 12]
--- error_code eval
[(404, 200, 200, 200) x 3]
--- response_headers eval
[("X-A: 1\nSet-Cookie: a=b", "", "X-A: 2", "") x 3]
--- upstream_json eval
[(undef, sub {
    my ($up) = @_;
    return 'request' if "$up->{method} $up->{uri} $up->{body}" !~ m{\APOST /\w+\?a=1 body\z};
    $up->header('HTTP_X_B') eq '7' && length $up->header('HTTP_X_LONG') == 300 or 'variables';
}, undef, undef) x 3]
--- check eval
[(undef, undef, undef, sub { length $_[0]{body} == 200_000 or 'length' }) x 3]

=== an upgraded connection
--- config
    location / {
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
        proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
    }
--- raw_request eval
["GET /?up=1 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", "hello\nquit\n"]
--- raw_request_middle_delay: 0.1
--- error_code: 101
--- check eval
sub { $_[0]{body} eq "hello\nquit\n" or "got <$_[0]{body}>" }

=== one jar for the block
--- config
    location = /in  { add_header Set-Cookie "s=1; Path=/"; add_header Set-Cookie "t=2; Path=/deep"; return 200; }
    location = /out { add_header Set-Cookie "s=; Max-Age=0"; return 200; }
    location = /old { add_header Set-Cookie "t=; Expires=Thu, 01 Jan 1998 00:00:00 GMT"; return 200; }
    location / { return 200 "$http_cookie"; }
--- cookie_jar
--- request eval
["GET /", "GET /in", "GET /", "GET /out", "GET /", "GET /old", "GET /"]
--- more_headers eval
["", "", "Cookie: own=0", "", "", "", ""]
--- response_body eval
["", "", "own=0; t=2; s=1", "", "t=2", "", ""]

=== a jar for each client, one without
--- config
    location = /in { add_header Set-Cookie "who=$arg_u"; return 200; }
    location / { return 200 "$http_cookie"; }
--- cookie_jar eval
['a', 'b', 'a', 'b', '-']
--- request eval
["GET /in?u=ann", "GET /in?u=bob", "GET /", "GET /", "GET /"]
--- response_body eval
["", "", "who=ann", "who=bob", ""]

=== jars kept from the block before
--- config
    location / { return 200 "$http_cookie"; }
--- cookie_jar eval
['b', 'a']
--- jar_mode: keep
--- request eval
["GET /", "GET /"]
--- response_body eval
["who=bob", "who=ann"]

=== a strict jar: path, domain, Secure
--- config
    location = /a/in { add_header Set-Cookie "p=1"; add_header Set-Cookie "q=2; Path=/; Secure"; add_header Set-Cookie "r=3; Domain=example.org; Path=/";
                       add_header Set-Cookie "x=4; Domain=other.org"; return 200; }
    location / { return 200 "$http_cookie"; }
--- cookie_jar: strict
--- tls eval
[1, 1, 0, 0, 0, 0]
--- request eval
["GET /a/in", "GET /a/b", "GET /a/b", "GET /ab", "GET /", "GET /"]
--- more_headers eval
[("Host: example.org") x 4, "Host: www.example.org", "Host: other.org"]
--- response_body eval
["", "p=1; q=2; r=3", "p=1; r=3", "r=3", "r=3", ""]

=== a cookie leaves the jar when its time is over
--- config
    location = /in { add_header Set-Cookie "s=1; Max-Age=1"; return 200; }
    location / { return 200 "$http_cookie"; }
--- cookie_jar
--- sleep_before eval
[0, 0, 1.1]
--- request eval
["GET /in", "GET /", "GET /"]
--- response_body eval
["", "s=1", ""]

=== cookies changed by hand
--- config
    location = /in { add_header Set-Cookie "s=1"; return 200; }
    location / { return 200 "$http_cookie"; }
--- cookie_jar
--- jar_edit eval
sub {
    my ($cookies, $i) = @_;
    $cookies->{s} .= '!' if $i == 1;
    @$cookies{qw(s n)} = ('2', '3') if $i == 2;
    delete $cookies->{s} if $i == 3;
}
--- request eval
["GET /in", "GET /", "GET /", "GET /"]
--- response_body eval
["", "s=1!", "s=2; n=3", "n=3"]

=== captured values in later requests and expectations
--- rig: plain
--- capture eval
[{ tok => qr/^Set-Cookie: (\w+=[^;\r\n]+)/m }, { uri => qr/"uri":"([^"]+)"/ }]
--- request eval
["GET /?sc=s%3Dlonger;%20Path=/", 'GET /$CAPTURED_tok', "POST \$CAPTURED_uri\nbody \${CAPTURED_tok}!"]
--- more_headers eval
["", 'X-T: <$CAPTURED_tok>', '']
--- response_body_like eval
["", 'X-T","<s=longer>', '"uri":"/s=longer"']
--- upstream_json eval
[undef, undef, sub { $_[0]{body} eq 'body ' . captured('tok') . '!' or "got $_[0]{body}" }]
--- no_error_log
$CAPTURED_tok

=== TLS, and beside it the plain port
--- config
    location / { return 200 "$scheme $server_protocol $ssl_server_name"; }
--- tls eval
[1, 0]
--- request eval
["GET /", "GET /"]
--- response_body eval
["https HTTP/1.1 localhost", "http HTTP/1.1 "]

=== HTTP/2, in the clear
--- rig: plain
--- config
    location = /p { return 200 "$server_protocol $request_method $http_x_a $host"; }
--- http2
--- request eval
["GET /p", "POST /echo\nthe body", "HEAD /p", "GET /../x?a=[1]"]
--- more_headers eval
["X-A: 1\nHost: example.org", "Content-Type: text/x", "", ""]
--- response_body eval
["HTTP/2.0 GET 1 example.org", undef, "", undef]
--- error_code eval
[200, 200, 200, 400]
--- upstream_json eval
[undef, sub { $_[0]{body} eq 'the body' && $_[0]->header('Content-Type') eq 'text/x' or 'body' }]

=== HTTP/2 over TLS, with a jar
--- config
    location = /in { add_header Set-Cookie "s=1; Secure"; return 200 "$scheme $server_protocol"; }
    location / { return 200 "$http_cookie"; }
--- http2
--- tls
--- cookie_jar: strict
--- request eval
["GET /in", "GET /"]
--- response_body eval
["https HTTP/2.0", "s=1"]

=== a reload and a restart between requests
--- config
    location / { return 200 "one $pid"; }
--- capture eval
[{ first => qr/one (\d+)/ }, { second => qr/one (\d+)/ }, undef, undef, undef]
--- reload eval
[undef, 1, 'location / { return 200 "two"; }', { http_config => 'map $uri $m { default three; }', config => 'location / { return 200 "$m"; }' }]
--- restart eval
[undef, undef, undef, undef, 'location / { return 200 "four"; }']
--- request eval
[("GET /") x 5]
--- response_body eval
[undef, undef, "two", "three", "four"]
--- check eval
[undef, sub { captured('first') ne captured('second') or 'the same worker' }]

=== one connection for all requests
--- config
    location / { return 200 "$connection_requests"; }
--- keepalive
--- request eval
["GET /", "GET /", "HEAD /", "GET /"]
--- response_body eval
["1", "2", "", "4"]

=== requests at the same time
--- rig: plain
--- parallel
--- request eval
[("GET /?delay=300") x 5]
--- check eval
sub { $_[0]{seconds} < 1.4 or "took $_[0]{seconds} s" }

=== requests in one go on one connection
--- config
    location / { return 200 "$uri $connection_requests"; }
--- pipelined_requests eval
["GET /a", "GET /b", "GET /c"]
--- response_body eval
["/a 1", "/b 2", "/c 3"]

=== a request in packets
--- rig: plain
--- request eval
[["POST /par", "t\nfirst ", { value => "second", delay_before => 0.05 }]]
--- upstream_json eval
sub { $_[0]{uri} eq '/part' && $_[0]{body} eq 'first second' or "got $_[0]{uri} $_[0]{body}" }

=== another address and another port
--- config
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    location / { return 200 "$remote_addr $server_port"; }
--- client_addr eval
["127.0.0.2", undef]
--- port eval
[undef, '$TEST_NGINX_RAND_PORT_1']
--- request eval
["GET /", "GET /"]
--- response_body_like eval
['^127.0.0.2 \d+$', '^127.0.0.1 $TEST_NGINX_RAND_PORT_1$']

=== a client that leaves
--- rig: plain
--- request
GET /?delay=400
--- timeout: 0.1
--- abort
--- ignore_response

=== a large body while nginx already answers
--- config
    location / { client_max_body_size 1k; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
"POST /\n" . 'x' x 300_000
--- error_code_like: ^413$
--- error_log
client intended to send too large body: 300000 bytes

=== code of the block
--- config
    location / { root $TEST_NGINX_HTML_DIR; }
--- init
$main::told = 'init';
--- before eval
sub { SessT::Room::spew(html_dir() . '/told.txt', $main::told) }
--- request
GET /told.txt
--- response_body chomp
init

=== skipped by its own condition
--- config
--- skip_eval: 1: 1
--- request
GET /never
--- error_code: 500

=== skipped by nginx's version
--- config
--- skip_nginx: 1: >= 1.0.0: every nginx there is
--- request
GET /never
--- error_code: 500
