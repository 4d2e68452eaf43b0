# The cookie jar: an upstream's own cookies stay in the session, and come back to it by domain, path, time and order. What kinds
# of responses bring them is in jar-responses.t, many requests at a time in jar-parallel.t.
use lib 't/lib';
use SessT 'no_plan';

use HTTP::Date qw(str2time);

use SessT::Servers;

require './t/talk.pl';
require './t/refused.pl';

rig 'B4';
add_block_preprocessor(sub { my ($block) = @_; workers($block->worker_count // 2) });
own_sections('worker_count');

our $redis = SessT::Servers->redis('--appendonly', 'yes');

our %storage = (
    cookie => '',
    shm    => 'session_backend s shm { size 1m; }',
    redis  => 'session_backend s redis { server 127.0.0.1:' . $redis->port . '; timeout 500ms; connect_timeout 500ms; }',
);

# The steps of a conversation for each row of a table, whose columns they name as sprintf does.
sub rows { my ($steps, @rows) = @_; return join "\n", map { sprintf $steps, ref $_ ? @$_ : $_ } @rows }

# What a login, use and logout look like wherever the session is kept.
our $walk = <<'END_OF_WALK';
/                              <- A=a; Path=/           <- B=b; Path=/deep
/                              => A=a
/deep/page                     => B=b; A=a
/set?u=ann                     <- C=c; Path=/
/get                           => A=a; C=c
/                              <- A=new; Path=/         <- C=; Path=/; Max-Age=0
/deep                          => B=b; A=new
eve: /deep                     => none
/out [204]
/deep                          => none
END_OF_WALK

refused('another word', 'session_cookie_jar yes;', qr/invalid value "yes".*"on", "off"/);
refused('no word', 'session_cookie_jar;', qr/invalid number of arguments/);
refused('two words', 'session_cookie_jar on off;', qr/invalid number of arguments/);
refused('twice', "session_cookie_jar on;\nsession_cookie_jar on;", qr/duplicate/);
refused('in a location', 'location /a { session_cookie_jar 1; }', qr/invalid value "1"/, names => 'session_cookie_jar');
refused('no number', 'session_cookie_jar_max many;', qr/"many"/);
refused('a negative number', 'session_cookie_jar_max -1;', qr/"-1"/);
refused('a number with a unit', 'session_cookie_jar_max 5k;', qr/"5k"/);
refused('a variable', 'session_cookie_jar_max $arg_n;', qr/"\$arg_n"/);
refused('twice', "session_cookie_jar_max 5;\nsession_cookie_jar_max 5;", qr/duplicate/);
refused('no size', 'session_cookie_jar_size large;', qr/"large"/);
refused('a negative size', 'session_cookie_jar_size -1k;', qr/"-1k"/);
refused('no such unit', 'session_cookie_jar_size 5x;', qr/"5x"/);
refused('twice', "session_cookie_jar_size 1k;\nsession_cookie_jar_size 2k;", qr/duplicate/);
refused('no name', 'session_cookie_jar_pass;', qr/invalid number of arguments/);
refused('an empty name', 'session_cookie_jar_pass lang "";', qr/""|empty/);
refused('a variable as a name', 'session_cookie_jar_pass $arg_name;', qr/"\$arg_name"/);
refused($_, qq{session_cookie_jar_pass "$_";}, qr/"\Q$_\E"/) for 'a b', 'a;b', 'a=b', 'a,b';
refused('a key of the module', qq{$_->[0] $_->[1];}, qr/./) for (
    ['session_set', "\"\x01jar\" x"], ['session_unset', "\"\x01jar\""], ['session_map_header', "X-Jar \"\x01jar\""], ['session_map_header', "X-Jar \"\x01jar.0\""]);
refused('a key of the module in a variable', "session_var \$jar \"\x01jar\";", qr/./, section => 'http_config');

add_refused();
run_tests();
__DATA__

=== J1: an upstream that asks for its cookie, sets it and redirects to itself gets it back
--- http_config
map $http_cookie $has_cookie { default 0; "~(?:^|; )backend-cookie=x(?:;|$)" 1; }
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    session off;
    absolute_redirect off;
    location / {
        if ($has_cookie = 0) { add_header Set-Cookie backend-cookie=x; return 307 $request_uri; }
        proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
    }
}
--- config
location /app { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- talk
/app/page [307]
/app/page                      => backend-cookie=x
/app/page                      => backend-cookie=x
--- check eval
[\&saved, \&silent, \&silent]

=== J2: an upstream that sets nothing: exactly the session's cookie, and nothing goes upstream
--- talk
/                              => none
/                              => none
--- check eval
[sub { my @set = $_[0]->set_cookies; "@{[map { $_->{name} } @set]}" eq 'proxy-session' or 'not exactly proxy-session' }, \&silent]

=== J3: without jar and session the upstream's cookie is the browser's
--- config
session_cookie_jar off;
session off;
--- passed: backend-cookie
--- talk
/                              <- backend-cookie=x; Path=/; HttpOnly
/                              => backend-cookie=x
--- check eval
[sub { join('|', $_[0]->headers('Set-Cookie')) eq 'backend-cookie=x; Path=/; HttpOnly' or join '|', $_[0]->headers('Set-Cookie') }, \&silent]

=== J3: with a session, but without the jar, too
--- config
session_cookie_jar off;
--- passed: backend-cookie
--- request eval
["GET /?sc=backend-cookie=x"]
--- raw_response_headers_like eval
qr/^Set-Cookie: backend-cookie=x\r$/m

=== J3: with the jar on, but the session off or bypassed, too; the jar takes and gives nothing
--- config
session_bypass $arg_n;
location /off { session off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- passed: O N
--- talk
/                              <- J=j; Path=/
ann: /off                      <- O=o; Path=/; HttpOnly
ann: /?n=1                     <- N=n; Path=/
/off                           <- O=o; Path=/
/?n=1                          <- N=n; Path=/
/                              => O=o; N=n; J=j
--- check eval
[
    \&saved,
    sub { join('|', $_[0]->headers('Set-Cookie')) eq 'O=o; Path=/; HttpOnly' or join '|', $_[0]->headers('Set-Cookie') },
    sub { join('|', $_[0]->headers('Set-Cookie')) eq 'N=n; Path=/' or join '|', $_[0]->headers('Set-Cookie') },
    sub { join('|', $_[0]->headers('Set-Cookie')) eq 'O=o; Path=/' or join '|', $_[0]->headers('Set-Cookie') },
    sub { join('|', $_[0]->headers('Set-Cookie')) eq 'N=n; Path=/' or join '|', $_[0]->headers('Set-Cookie') },
    \&silent,
]

=== J3: where sessions are off or bypassed, the jar's cookies do not go upstream
--- config
session_bypass $arg_n;
location /off { session off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- talk
/                              <- J=secret; Path=/
/off
/?n=1
/?n=0                          => J=secret
--- response_body_unlike eval
["", ("J=secret") x 2, ""]

=== J4: the session's cookie is as configured, and not sent again
--- config
session_cookie_max_age 12h;
--- talk
/                              <- A=a; Path=/
/                              => A=a
/                              <- A=a; Path=/
--- check eval
[sub {
    my ($res) = @_;
    my $cookie = $res->set_cookie('proxy-session') or return 'no cookie';
    my $attr = $cookie->{attr};
    return 'attributes: ' . $cookie->{line} if ($attr->{path} // '') ne '/' || !exists $attr->{httponly} || ($attr->{'max-age'} // '') ne '43200';
    abs(str2time($attr->{expires}) - time - 43200) <= 2 or 'Expires';
}, \&silent, \&silent]

=== J5: the session's cookie goes out of the line, the jar's come behind the rest
--- capture eval
[{ token => qr/^Set-Cookie: proxy-session=([^;]+)/m }]
--- request eval
["GET /?sc=b=2", "GET /", "GET /", "GET /", "GET /", "GET /", "GET /"]
--- more_headers eval
['', 'Cookie: a=1; proxy-session=$CAPTURED_token; c=3', 'Cookie: proxy-session=$CAPTURED_token; a=1', 'Cookie: a=1; proxy-session=$CAPTURED_token',
    'Cookie: proxy-session=$CAPTURED_token', 'Cookie: a="x; y"; proxy-session=$CAPTURED_token; =v;  w', 'Cookie: proxy-session=$CAPTURED_token; remember=R; proxy-session2=x; z=1']
--- upstream_json eval
[undef, map { sees($_) } 'a=1; c=3; b=2', 'a=1; b=2', 'a=1; b=2', 'b=2', 'a="x; y"; =v;  w; b=2', 'z=1; b=2']

=== J5: several Cookie lines
--- capture eval
[{ token => qr/^Set-Cookie: proxy-session=([^;]+)/m }]
--- request eval
["GET /?sc=b=2", "GET /", "GET /", "GET /", "GET /"]
--- more_headers eval
['', "Cookie: a=1\nCookie: proxy-session=\$CAPTURED_token; c=3", "Cookie: proxy-session=\$CAPTURED_token\nCookie: c=3", "Cookie: a=1\nCookie: proxy-session=\$CAPTURED_token",
    "Cookie: b=evil; proxy-session=\$CAPTURED_token\nCookie: b=worse; c=3; b=worst"]
--- upstream_json eval
[undef, map { sees($_) } 'a=1; c=3; b=2', 'c=3; b=2', 'a=1; b=2', 'c=3; b=2']

=== HTTP/2: cookies in crumbs
--- http2
--- tls eval
[0, 0, 1, 0]
--- capture eval
[{ token => qr/^Set-Cookie: proxy-session=([^;]+)/mi }]
--- request eval
["GET /?sc=b=2", ("GET /") x 3]
--- more_headers eval
['', "Cookie: a=1\nCookie: proxy-session=\$CAPTURED_token\nCookie: c=3", "Cookie: b=evil\nCookie: proxy-session=\$CAPTURED_token\nCookie: b=worse; c=3", 'Cookie: proxy-session=$CAPTURED_token']
--- upstream_json eval
[undef, map { sees($_) } 'a=1; c=3; b=2', 'c=3; b=2', 'b=2']

=== the jar wins over the client's cookies of the same name, where it has one for the request
--- talk
/                              <- b=2; Path=/sub
/sub                           => x=1; bb=3; B=4; b=2
/                              => b=evil; x=1; b=worse; bb=3; B=4
new: /sub                      => b=evil; x=1; b=worse; bb=3; B=4
--- more_headers
Cookie: b=evil; x=1; b=worse; bb=3; B=4

=== $http_cookie and $cookie_NAME agree with what the upstream sees
--- config
location /vars {
    proxy_set_header X-Line "$http_cookie";
    proxy_set_header X-B    "$cookie_b";
    proxy_set_header X-Own  "[$http_x_none]";
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
location /own { proxy_set_header Cookie "$http_cookie; z=9"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- talk
/                              <- b=2; Path=/
/vars                          => a=1; b=2
/own                           => a=1; b=2; z=9
--- more_headers
Cookie: a=1
--- upstream_json eval
[undef, sub { ($_[0]->header('X-Line') // '') eq 'a=1; b=2' && ($_[0]->header('X-B') // '') eq '2' or ($_[0]->header('X-Line') // '-') . ' ' . ($_[0]->header('X-B') // '-') }, undef]

=== J7: a path holds itself and what is below
--- talk
/                              <- A=a; path=/some/path
/some/path                     => A=a
/some/path?query=/             => A=a
/some/path/                    => A=a
/some/path/foo                 => A=a
/some/path/foo/bar/            => A=a
/some                          => none
/some/                         => none
/some/paths                    => none
/some/pat                      => none
/other/some/path               => none
/SOME/PATH                     => none
/                              => none

=== J7: a path that ends with a slash
--- talk
/                              <- A=a; Path=/some/
/some/                         => A=a
/some/path                     => A=a
/some                          => none
/somewhere                     => none

=== J7: the path is the client's own, raw, whatever nginx makes of it
--- config
location /outside/ { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/inside/; }
location /old      { rewrite ^/old(.*) /new$1 break; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- talk
/outside/page                  <- A=a
/outside/other                 => A=a
/inside/other                  => none
/old/page                      <- B=b
/old/                          => B=b
/new/                          => none
/a%20b/page                    <- C=c
/a%20b/                        => C=c

=== J8: without a path it is the folder of the request
--- talk eval
rows(qq{%1\$s: %2\$s <- A=a\n%1\$s: %3\$s => A=a\n%1\$s: %4\$s => %5\$s\n},
    [1, '/some/path/index.html', '/some/path',  '/some/', 'none'],
    [2, '/some/path/',           '/some/path/', '/some',  'none'],
    [3, '/some/path?to=/x/y',    '/some/',      '/x',     'none'],
    [4, '/abc',                  '/any/thing',  '/',      'A=a'],
    [5, '/',                     '/any/thing',  '/',      'A=a'])

=== J8: a path that is none is as no path
--- talk
1: /some/path/page             <- A=a; Path
1: /some/path                  => A=a
1: /some                       => none
2: /some/path/page             <- A=a; Path=
2: /some/path                  => A=a
2: /some                       => none
3: /some/path/page             <- A=a; Path=relative/path
3: /some/path                  => A=a
3: /some                       => none
4: /some/path/page             <- A=a; Path=/other; Path=/some
4: /some                       => A=a
4: /other                      => none

=== J9: longer paths come first, then older cookies
--- talk
/                              <- p1=1; Path=/      <- p2=2; Path=/a      <- p3=3; Path=/a/b      <- p4=4; Path=/a/b/c
/                              <- q4=4; Path=/a/b/c <- q3=3; Path=/a/b    <- q2=2; Path=/a        <- q1=1; Path=/
/a/b/c                         => p4=4; q4=4; p3=3; q3=3; p2=2; q2=2; p1=1; q1=1
/a/b                           => p3=3; q3=3; p2=2; q2=2; p1=1; q1=1
/a                             => p2=2; q2=2; p1=1; q1=1
/                              => p1=1; q1=1
+1.1 /                         <- p1=new; Path=/    <- p4=new; Path=/a/b/c
/a/b/c/d                       => p4=new; q4=4; p3=3; q3=3; p2=2; q2=2; p1=new; q1=1
/                              <- p1=; Path=/; Max-Age=0
/                              <- p1=again; Path=/
/                              => q1=1; p1=again

=== J9: one name on several paths is several cookies
--- talk
/                              <- A=root; Path=/    <- A=deep; Path=/a/b   <- A=mid; Path=/a
/a/b                           => A=deep; A=mid; A=root
/a                             => A=mid; A=root
/a/b                           <- A=; Path=/a; Max-Age=0
/a/b                           => A=deep; A=root

=== J10: a domain is the host or above it
--- talk
1: //www.example.com/          <- A=a; Domain=example.com
1: //www.example.com/          => A=a
1: //example.com/              => A=a
1: //other.example.com/        => A=a
1: //deep.other.example.com/   => A=a
1: //notexample.com/           => none
1: //example.com.evil.org/     => none
2: //www.example.com/          <- A=a; Domain=.example.com
2: //www.example.com/          => A=a
2: //example.com/              => A=a
3: //www.example.com/          <- A=a; Domain=EXAMPLE.com
3: //WWW.Example.COM/          => A=a
3: //example.com/              => A=a
4: //www.example.com/          <- A=a; Domain=www.example.com
4: //www.example.com/          => A=a
4: //below.www.example.com/    => A=a
4: //example.com/              => none

=== J10: refused domains
--- talk eval
rows(qq{c%1\$s: //www.example.com/  <- A=a; Domain=%2\$s  <- B=b\nc%1\$s: //www.example.com/ => B=b\nc%1\$s: //%3\$s/ => none\n},
    [1, 'foreign.com', 'foreign.com'], [2, 'ample.com', 'ample.com'], [3, 'example.com.', 'example.com'], [4, '.', 'com'], [5, '..', 'com'],
    [6, '..example.com', 'example.com'], [7, 'http://example.com', 'example.com'], [8, 'http://www.example.com/', 'example.com'],
    [9, 'example.com:80', 'example.com'], [10, 'example.com:', 'example.com'], [11, 'child.www.example.com', 'child.www.example.com'],
    [12, 'www.example.com.org', 'www.example.com.org'], [13, 'com', 'com'], [14, '.com', 'com'], [15, 'example.com/', 'example.com'],
    [16, 'example.com?a', 'example.com'], [17, '/', 'example.com'], [18, '*.example.com', 'example.com'], [19, '127.0.0.1', '127.0.0.1'], [20, 'example com', 'example.com'])

=== J10: an empty domain is none, the last of several counts
--- talk
1: //www.example.com/          <- A=a; Domain=
1: //www.example.com/          => A=a
1: //example.com/              => none
2: //www.example.com/          <- A=a; Domain=foreign.com; Domain=example.com
2: //example.com/              => A=a
3: //www.example.com/          <- A=a; Domain=example.com; Domain=foreign.com
3: //www.example.com/          => none
3: //example.com/              => none

=== J10: each level of a deep host
--- talk
//a.b.c.example.com/           <- A=a; Domain=.a.b.c.example.com  <- B=b; Domain=.b.c.example.com  <- C=c; Domain=.c.example.com  <- D=d; Domain=.example.com
//a.b.c.example.com/           => A=a; B=b; C=c; D=d
//b.c.example.com/             => B=b; C=c; D=d
//c.example.com/               => C=c; D=d
//example.com/                 => D=d
//x.example.com/               => D=d

=== J11: a public suffix shares nothing
--- talk
1: //some.co.uk/               <- A=a; Domain=co.uk        <- B=b; Domain=.co.uk
1: //some.co.uk/               => none
1: //other.co.uk/              => none
1: //co.uk/                    => none
2: //co.uk/                    <- A=a; Domain=co.uk
2: //co.uk/                    => A=a
2: //some.co.uk/               => none
3: //me.github.io/             <- A=a; Domain=github.io
3: //you.github.io/            => none
3: //me.github.io/             => none
4: //www.some.co.uk/           <- A=a; Domain=some.co.uk
4: //some.co.uk/               => A=a
5: //some.example/             <- A=a; Domain=example
5: //some.example/             => none
6: //localhost/                <- A=a; Domain=localhost    <- B=b
6: //localhost/                => A=a; B=b
6: //app.localhost/            => none

=== J12: an address has nothing below
--- talk
1: //1.2.3.4/                  <- A=a
1: //1.2.3.4/                  => A=a
1: //9.1.2.3.4/                => none
1: //1.2.3.5/                  => none
2: //1.2.3.4/                  <- A=a; Domain=.1.2.3.4     <- B=b; Domain=3.4     <- C=c; Domain=.3.4
2: //1.2.3.4/                  => none
3: //1.2.3.4/                  <- A=a; Domain=1.2.3.4
3: //1.2.3.4/                  => A=a
3: //x.1.2.3.4/                => none
4: //[2001:db8::1]/            <- A=a
4: //[2001:db8::1]/            => A=a
4: //[2001:db8::2]/            => none

=== J13: ports do not matter
--- config
listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
--- port eval
[undef, '$TEST_NGINX_RAND_PORT_1', undef, '$TEST_NGINX_RAND_PORT_1', undef]
--- talk
//app.test:8001/               <- A=a
//app.test:8002/               => A=a
//app.test/                    => A=a
//app.test/                    <- B=b; Domain=app.test
//app.test:8001/               => A=a; B=b

=== J14: an end in the past deletes, Max-Age goes before Expires
--- talk eval
my ($past, $future) = ('Expires=Sun, 06 Nov 1994 08:49:37 GMT', 'Expires=Sun, 06 Nov 2044 08:49:37 GMT');
rows(join("\n", 'c%1$s: / <- A=old; Path=/ <- B=b; Path=/', 'c%1$s: / => A=old; B=b', 'c%1$s: / <- A=new; Path=/; %2$s', 'c%1$s: / => %3$s', ''),
    [1, 'Max-Age=-1', 'B=b'], [2, 'Max-Age=0', 'B=b'], [3, $past, 'B=b'], [4, "Max-Age=0; $future", 'B=b'], [5, "$future; Max-Age=-5", 'B=b'],
    [6, "Max-Age=5; $past", 'A=new; B=b'], [7, "$past; Max-Age=60", 'A=new; B=b'], [8, 'Max-Age=x', 'A=new; B=b'], [9, 'Max-Age=', 'A=new; B=b'],
    [10, 'Max-Age=5x', 'A=new; B=b'], [11, "Max-Age=x; $past", 'B=b'], [12, $future, 'A=new; B=b'], [13, 'Expires=tomorrow', 'A=new; B=b'],
    [14, 'Expires=Sunday, 06-Nov-94 08:49:37 GMT', 'B=b'], [15, 'Expires=Sun Nov  6 08:49:37 1994', 'B=b'], [16, 'max-age=0', 'B=b'],
    [17, 'Max-Age=99999999999999999999', 'A=new; B=b'], [18, 'Max-Age=-99999999999999999999', 'B=b'], [19, 'Max-Age=0; Max-Age=60', 'A=new; B=b'])

=== J14: what deletes a cookie is its name, domain and path
--- talk
//www.app.test/                <- A=a; Path=/x
//www.app.test/x               => A=a
//www.app.test/x               <- A=; Path=/; Max-Age=0                     <- A=; Path=/x; Domain=app.test; Max-Age=0     <- a=; Path=/x; Max-Age=0
//www.app.test/x               => A=a
//other.app.test/x             <- A=; Path=/x; Max-Age=0
//www.app.test/x               => A=a
//www.app.test/x               <- A=; Path=/x; Max-Age=0
//www.app.test/x               => none

=== J15: cookies leave on their second, the others stay
--- http_config
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    session off;
    location /3 { expires 3s; add_header Set-Cookie "A=3; Path=/; Max-Age=3"; add_header Set-Cookie "B=3; Path=/; Expires=$sent_http_expires"; return 200 x; }
    location /5 { expires 5s; add_header Set-Cookie "C=5; Path=/; Max-Age=5"; add_header Set-Cookie "D=5; Path=/; Expires=$sent_http_expires"; return 200 x; }
}
--- config
location /in/ { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/; }
--- talk
/in/3
/in/5
/                              <- E=e; Path=/
+1.3 /                         => A=3; B=3; C=5; D=5; E=e
+2 /                           => C=5; D=5; E=e
+2.2 /                         => E=e

=== J17: set, update, drop Secure, delete: step by step
--- talk
https://www.host.test/         <- A=1      <- B=2; Secure      <- C=3; HttpOnly      <- D=4; Secure; HttpOnly
//www.host.test/               => A=1; C=3
https://www.host.test/         => A=1; B=2; C=3; D=4
//www.host.test/               <- A=w      <- C=y; HttpOnly
https://www.host.test/         => A=w; B=2; C=y; D=4
//www.host.test/               <- B=plain  <- D=x; Secure
https://www.host.test/         => A=w; B=2; C=y; D=4
https://www.host.test/         <- B=xx     <- D=zz; HttpOnly
//www.host.test/               => A=w; B=xx; C=y; D=zz
//www.host.test/               <- A=; Max-Age=-1               <- D=; Max-Age=0
//www.host.test/               => B=xx; C=y
//www.host.test/               <- B=; Path=/x; Max-Age=0
https://www.host.test/         => B=xx; C=y
//www.host.test/               <- B=; Expires=Thu, 01 Jan 1970 00:00:00 GMT
//www.host.test/               => C=y
//www.host.test/               <- A=domain; Domain=host.test
//www.host.test/               <- A=own
//www.host.test/               => C=y; A=domain; A=own
//host.test/                   => A=domain
//www.host.test/               <- A=; Domain=host.test; Max-Age=0
//www.host.test/               => C=y; A=own
//www.host.test/               <- C=; Max-Age=0                <- A=; Max-Age=0
//www.host.test/               => none

=== J18: two hosts, one zone
--- server_name: a.zone.test b.zone.test
--- talk
//a.zone.test/                 <- own=a    <- shared=1; Domain=zone.test
//b.zone.test/                 => shared=1
//b.zone.test/                 <- own=b
//a.zone.test/                 => own=a; shared=1
//b.zone.test/                 => shared=1; own=b
//zone.test/                   => shared=1
//elsewhere.test/              => none
//b.zone.test/                 <- own=; Max-Age=0              <- shared=; Max-Age=0
//b.zone.test/                 => shared=1
//a.zone.test/                 => own=a; shared=1
//b.zone.test/                 <- own=; Domain=a.zone.test; Max-Age=0
//elsewhere.test/              <- shared=; Domain=zone.test; Max-Age=0
//a.zone.test/                 => own=a; shared=1
//b.zone.test/                 <- shared=2; Domain=zone.test
//a.zone.test/                 => own=a; shared=2
//b.zone.test/                 <- shared=; Domain=zone.test; Max-Age=0
//a.zone.test/                 => own=a

=== J19: the zone has room for two of three: the first is gone with its jar, and comes back as a new client
--- http_config
session_backend s shm { size 1m; max_sessions 2; }
--- config
session_storage s;
--- talk
1: /                           <- A=one
2: /                           <- A=two
3: /                           <- A=three
2: /                           => A=two
3: /                           => A=three
1: /                           => none
1: /                           => none
--- check eval
[\&saved, \&saved, \&saved, \&silent, \&silent, \&saved, \&silent]

=== J19: use refreshes
--- http_config
session_backend s shm { size 1m; max_sessions 2; }
--- config
session_storage s;
--- talk
2: /                           <- A=two
3: /                           <- A=three
2: /                           => A=two
1: /                           <- A=one
2: /                           => A=two
1: /                           => A=one
3: /                           => none
--- check eval
[\&saved, \&saved, \&silent, \&saved, \&silent, \&silent, \&saved]

=== J21: an empty session cookie is none, and two such clients share nothing
--- request eval
["GET /?sc=A=ann", "GET /?sc=B=bob", "GET /", "GET /", "GET /", "GET /"]
--- capture eval
[{ ann => qr/^Set-Cookie: (proxy-session=[^;]+)/m }, { bob => qr/^Set-Cookie: (proxy-session=[^;]+)/m }]
--- more_headers eval
['Cookie: proxy-session=', 'Cookie: proxy-session=', 'Cookie: proxy-session=', 'Cookie: proxy-session', 'Cookie: $CAPTURED_ann', 'Cookie: $CAPTURED_bob']
--- upstream_json eval
[map { sees($_) } ('none') x 4, 'A=ann', 'B=bob']
--- check eval
[(\&saved) x 4, \&silent, sub { captured('ann') ne captured('bob') && silent(@_) }]

=== J22: four workers, and a reload between requests
--- worker_count: 4
--- http_config
session_backend s shm { size 1m; }
--- config
session_storage s;
--- talk
/                              <- A=a
/                              => A=a
/                              => A=a
/                              <- B=b
/                              => A=a; B=b
/                              => A=a; B=b
--- reload eval
[undef, undef, 1, undef, undef, 1]

=== J22: a session in the cookie survives a restart
--- config
session_storage cookie;
--- talk
/                              <- A=a
/                              => A=a
--- restart eval
[undef, 1]

=== J23: 51 cookies: the oldest goes
--- config
proxy_buffer_size 32k;
proxy_buffers 8 32k;
proxy_busy_buffers_size 64k;
--- talk eval
my $all = join '; ', map { "c$_=$_" } 2 .. 51;
join "\n", '/ ' . join('', map { " <- c$_=$_" } 1 .. 50), "/ => c1=1; $all" =~ s/; c51=51//r, '/ <- c51=51', "/ => $all",
    '2: / ' . join('', map { " <- c$_=$_" } 1 .. 51), "2: / => $all"
--- error_log eval
[qr/\[warn\].*session: .*jar/]

=== J23: a cookie of 20 kB, and one of 5 kB are ignored, those beside them are not
--- config
proxy_buffer_size 64k;
proxy_buffers 8 64k;
proxy_busy_buffers_size 128k;
--- talk eval
join "\n", '/ <- A=a <- B=' . ('x' x 20000) . ' <- C=c', '/ => A=a; C=c', '/ <- A=' . ('y' x 5000), '/ => A=a; C=c', '/ <- C=' . ('z' x 4000), '/ => A=a; C=' . ('z' x 4000)
--- error_log eval
[qr/\[info\].*session: .*too large/]
--- no_error_log
[error]

=== J23: session_cookie_jar_max
--- config
session_cookie_jar_max 2;
location /more { session_cookie_jar_max 3; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- talk
/                              <- A=a; Path=/           <- B=b; Path=/
/                              => A=a; B=b
/                              <- A=new; Path=/
/                              <- C=c; Path=/
/                              => B=b; C=c
/                              <- B=; Path=/; Max-Age=0 <- D=d; Path=/
/                              => C=c; D=d
/more                          <- E=e; Path=/
/                              => C=c; D=d; E=e
/                              <- F=f; Path=/           <- G=g; Path=/
/                              => F=f; G=g
--- error_log eval
[qr/\[warn\].*session: .*jar/]

=== J23: cookies that have expired make room first
--- config
session_cookie_jar_max 2;
--- talk
/                              <- A=a                   <- B=b; Max-Age=1
+2.1 /                         <- C=c
/                              => A=a; C=c
--- no_error_log
[warn]

=== J23: session_cookie_jar_size
--- config
session_cookie_jar_size 200;
location /large { session_cookie_jar_size 1k; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- talk eval
my %v = map { $_ => "$_=" . $_ x 60 } qw(A B C);
join "\n", map { s/%(\w)/$v{$1}/gr } '/ <- %A; Path=/ <- %B; Path=/', '/ => %A; %B', '/ <- %C; Path=/', '/ => %B; %C', '/ <- D=' . 'x' x 250, '/ => %B; %C',
    '/large <- %A; Path=/', '/ => %B; %C; %A'
--- error_log eval
[qr/\[warn\].*session: .*jar/, qr/\[info\].*session: .*too large/]

=== a jar larger than session_max_data is not kept: the old session stays valid
--- config
session_max_data 300;
--- talk eval
join "\n", '/ <- A=a', '/ => A=a', '/ <- B=' . 'x' x 1000, '/ => A=a'
--- check eval
[\&saved, \&silent, \&silent, \&silent]
--- error_log
[error]

=== J30: lines that are no cookies are stripped and ignored
--- talk eval
rows(qq{/ <- A=a <- %1\$s <- B=b\n/ => A=a; B=b\n}, 'novalue', '=noname', ' =noname', '=', ';', '; Path=/', "C=c\x01c", "C=\x7f", "C\x02=c", "C=c; Path=/\x03", '  ', "C\xff=c", "C=\xff\xfe")

=== J30: odd cookies are kept as they are
--- talk eval
rows(qq{c%1\$s: / <- %2\$s\nc%1\$s: / => %3\$s\n}, [1, 'A="a b"', 'A="a b"'], [2, 'A=', 'A='], [3, 'A=a=b=c', 'A=a=b=c'], [4, '  A  =  a  ; Path=/', 'A=a'],
    [5, 'A=a,b', 'A=a,b'], [6, "A=\xc3\xa4\xc3\xb6", "A=\xc3\xa4\xc3\xb6"], [7, 'A=a; Unknown=x; Another', 'A=a'], [8, 'A b=c', 'A b=c'],
    [9, 'A=a;Path=/;;', 'A=a'], [10, 'A.-_!#$%=a', 'A.-_!#$%=a'], [11, 'A=<b>\\"\'{}', 'A=<b>\\"\'{}'], [12, 'A=a; SameSite=Strict', 'A=a'])

=== J30: Secure, SameSite=None and the prefixes ask for TLS
--- talk
/                              <- S=s; Secure           <- N=n; SameSite=None     <- __Secure-A=a                <- __Host-B=b; Path=/
/                              => none
https://app.test/              => none
https://app.test/              <- S=s; Secure           <- N=n; SameSite=None     <- __Secure-A=a                <- __Host-B=b; Path=/; Secure; Domain=app.test
https://app.test/              => S=s
https://app.test/              <- N=n; SameSite=None; Secure  <- __Secure-A=a; Secure  <- __Host-B=b; Path=/; Secure
https://app.test/              => S=s; N=n; __Secure-A=a; __Host-B=b
/                              => none

=== J31: session_cookie_jar_pass: those named reach the browser unchanged, others not
--- config
session_cookie_jar_pass lang theme;
location /own   { session_cookie_jar_pass other; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /below { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- passed: lang theme other
--- talk
/                              <- lang=de; Path=/x; Max-Age=60; SameSite=Strict    <- S=s; Path=/    <- theme=dark; Path=/
/                              => lang=de; theme=dark; S=s
/below                         <- theme=light           <- Lang=x                  <- langs=y
/below                         => lang=de; theme=light; S=s; Lang=x; langs=y
/own                           <- other=o; Path=/       <- lang=jar; Path=/
/own                           => theme=light; other=o; S=s; Lang=x; langs=y; lang=jar
--- check eval
[
    sub { join('|', grep { !/^proxy-session/ } $_[0]->headers('Set-Cookie')) eq 'lang=de; Path=/x; Max-Age=60; SameSite=Strict|theme=dark; Path=/' or join '|', $_[0]->headers('Set-Cookie') },
    \&silent,
    sub { join('|', grep { !/^proxy-session/ } $_[0]->headers('Set-Cookie')) eq 'theme=light' or join '|', $_[0]->headers('Set-Cookie') },
    \&silent,
    sub { join('|', grep { !/^proxy-session/ } $_[0]->headers('Set-Cookie')) eq 'other=o; Path=/' or join '|', $_[0]->headers('Set-Cookie') },
    undef,
]
--- jar_edit eval
[(undef) x 5, sub { delete $_[0]{lang} }]

=== J31: a passed cookie alone saves nothing
--- config
session_create lazy;
session_cookie_jar_pass lang;
--- passed: lang
--- talk
/                              <- lang=de
/                              => lang=de
--- check eval
[sub { join('|', $_[0]->headers('Set-Cookie')) eq 'lang=de' or join '|', $_[0]->headers('Set-Cookie') }, \&silent]

=== J31: the session's own cookies cannot be passed
--- config
session_cookie_jar_pass proxy-session remember proxy-session2;
--- talk
/
/                              <- proxy-session=x       <- remember=y             <- proxy-session2=z
/                              => none
--- check eval
[\&saved, \&silent, \&silent]

=== J32: no line of the log shows a cookie's value or a whole id
--- http_config
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    session off;
    location / {
        add_header Set-Cookie "kept=hunter2-kept";
        add_header Set-Cookie "foreign=hunter2-foreign; Domain=foreign.test";
        add_header Set-Cookie "suffix=hunter2-suffix; Domain=test";
        add_header Set-Cookie "secure=hunter2-secure; Secure";
        add_header Set-Cookie "hunter2-noname";
        add_header Set-Cookie "=hunter2-emptyname";
        add_header Set-Cookie "control=hunter2-";
        add_header Set-Cookie "proxy-session=hunter2-own";
        add_header Set-Cookie "large=hunter2-$big$big$big$big$big$big$big$big$big";
        add_header Set-Cookie "a=hunter2-a; Path=/a";
        add_header Set-Cookie "b=hunter2-b; Path=/b";
        add_header Set-Cookie "c=hunter2-c; Path=/c";
        return 200 x;
    }
}
map x $big { default hunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2xhunter2x; }
--- config
session_cookie_jar_max 2;
proxy_buffer_size 32k;
proxy_buffers 8 32k;
proxy_busy_buffers_size 64k;
location /in/ { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/; }
location /tight/ { session_max_data 10; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/; }
--- talk
/in/
/in/
/tight/
eve: /tight/
--- error_log eval
[qr/\[info\].*session: .*Domain/, qr/\[info\].*session: .*no name/, qr/\[warn\].*session: .*jar/]
--- no_error_log eval
["hunter2", qr/session: .*[\w-]{43}/]

=== J33: the jar ends with the session
--- config
session_absolute_timeout 2s;
--- talk
/                              <- A=a
/                              => A=a
+3.1 /                         => none
/                              => none
--- check eval
[\&saved, \&silent, \&saved, \&silent]

=== J34: a cookie of the session's name is the client's own: the upstream can neither set nor see it
--- talk
/
/                              <- proxy-session=evil; Path=/   <- proxy-session2=evil    <- proxy-session9=evil    <- remember=evil   <- A=a; Path=/
/                              <- proxy-session=; Path=/; Max-Age=0
/                              => A=a
/                              <- Proxy-Session=other          <- proxy-session10=other
/                              => A=a; Proxy-Session=other; proxy-session10=other
--- check eval
[\&saved, sub { saved($_[0]) =~ /^\d+$/ && $_[0]->set_cookie('proxy-session')->{value} ne 'evil' or 'the session is the upstream\'s' }, \&silent, \&silent, undef, \&silent]

=== J34: and alone it makes no session
--- config
session_create lazy;
--- talk
/                              <- proxy-session=evil; Path=/   <- remember=evil; Path=/
/                              => none
--- check eval
[\&silent, \&silent]

=== J36: the path after proxy_cookie_path is what matches
--- config
proxy_cookie_path /app/ /;
--- talk
/                              <- A=a; Path=/app/         <- B=b; Path=/app/deep      <- C=c; Path=/apps
/deep                          => B=b; A=a
/app/                          => A=a
/apps                          => C=c; A=a

=== J36: the domain after proxy_cookie_domain, the flags after proxy_cookie_flags
--- config
proxy_cookie_domain internal.test $host;
proxy_cookie_flags S secure;
proxy_cookie_flags N nosecure;
--- talk
//www.app.test/                <- A=a; Domain=internal.test   <- B=b; Domain=www.internal.test   <- N=n; Secure
//www.app.test/                => A=a; N=n
//x.www.app.test/              => A=a
https://www.app.test/          <- S=s
https://www.app.test/          => A=a; N=n; S=s
//www.app.test/                => A=a; N=n

=== what nginx adds itself comes later and is the client's
--- config
location /add { add_header Set-Cookie "added=x; Path=/"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- passed: added
--- talk
/add                           <- A=a; Path=/
/                              => added=x; A=a
--- check eval
[sub { (grep { $_ eq 'added=x; Path=/' } $_[0]->headers('Set-Cookie')) == 1 && saved(@_) }, undef]

=== the jar is in the session, but not among its data
--- config
location = /json   { return 200 $session_json; }
location = /forget { session_unset all; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /both   { session_set user $arg_u; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- talk
/both?u=ann                    <- A=a; Path=/
/json
/both?u=ann                    => A=a
/forget                        => A=a
/json
/                              => A=a
--- check eval
[\&saved, sub { $_[0]{body} eq '{"user":"ann"}' or $_[0]{body} }, \&silent, \&saved, sub { $_[0]{body} eq '{}' or $_[0]{body} }, \&silent]

=== a key of the module is out of reach for control headers
--- config
session_control on;
location = /json { return 200 $session_json; }
--- talk eval
my $header = sub { 'rh=' . encoded(qq(X-Session-Data: $_[0])) };
join "\n", '/ <- A=a; Path=/', '/?' . $header->('{"x":1,"\u0001jar":[]}'), '/ => A=a', '/?' . $header->('{"\u0001jar":null}'), '/ => A=a', '/json'
--- check eval
[\&saved, (\&silent) x 4, sub { $_[0]{body} eq '{}' or $_[0]{body} }]
--- error_log
X-Session-Data

=== a jar for each audience
--- config
location /a { session_audience a; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /b { session_audience b; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /out/a { session_audience a; session logout; return 204; }
--- talk
/a                             <- A=a; Path=/
/b                             <- A=b; Path=/             <- B=b; Path=/
/a                             => A=a
/b                             => A=b; B=b
/out/a [204]
/a                             => none
/b                             => A=b; B=b

=== session_create lazy: a session begins with the first cookie that is kept
--- config
session_create lazy;
--- talk
/                              => none
/                              <- novalue                 <- A=a; Domain=foreign.test
/                              <- A=; Max-Age=0
/                              <- A=a
/                              => A=a
/                              <- A=; Max-Age=0
/                              => none
--- check eval
[(\&silent) x 3, \&saved, \&silent, \&saved, \&silent]

=== a session is saved only when the jar changed
--- talk
/                              <- A=a; Path=/; Max-Age=1000
/                              <- A=a; Path=/
/                              <- A=a; Path=/
/                              <- B=; Max-Age=0
/                              <- novalue
/                              <- A=b; Path=/
/                              <- A=c; Path=/             <- A=b; Path=/
/                              => A=b
--- check eval
[\&saved, \&saved, \&silent, \&silent, \&silent, \&saved, undef, undef]

=== open and start: open keeps cookies too, and renews nothing
--- config
session_renew_after 1s;
location /open { session open; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- talk
/open                          <- A=a; Path=/
/open                          => A=a
+2.1 /open                     => A=a
/                              => A=a
/open                          <- B=b; Path=/
/                              => A=a; B=b
--- check eval
[\&saved, \&silent, \&silent, \&saved, \&saved, undef]

=== a renewal keeps the jar, and both are one save
--- config
session_renew_after 1s;
--- talk
/                              <- A=a
+2.1 /                         <- B=b
/                              => A=a; B=b
--- check eval
[\&saved, \&saved, \&silent]

=== logout and destroy take nothing more, and strip all the same
--- config
location = /logout { session logout; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /end    { session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- talk
/                              <- A=a; Path=/
/logout                        <- B=b; Path=/
/                              => none
/                              <- A=a; Path=/
/end                           <- B=b; Path=/
/                              => none
--- check eval
[\&saved, \&ended, undef, undef, \&ended, undef]

=== a tampered session cookie: its jar is not opened, a new one begins
--- talk
/                              <- A=a
/                              => none
/                              <- B=b
/                              => B=b
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{'proxy-session'} =~ s/(.)\z/$1 eq 'A' ? 'g' : 'A'/e if $i == 1 }

=== refused requests change nothing
--- config
location /need { session_require $session_data_user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /deny { deny all; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- talk
/                              <- A=a; Path=/
/need [401]                    <- A=evil; Path=/
/deny [403]                    <- A=evil; Path=/
/                              => A=a
--- check eval
[\&saved, \&silent, \&silent, \&silent]

=== auth_request: the subrequest has the jar's cookies, not the session's, and sets none
--- http_config
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    session off;
    location / { add_header X-Cookie "$http_cookie"; add_header Set-Cookie "fromsub=1; Path=/"; return 204; }
}
--- config
location = /page  { auth_request /.auth; auth_request_set $seen $upstream_http_x_cookie; proxy_set_header X-Sub $seen; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /.auth { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; proxy_pass_request_body off; proxy_set_header Content-Length ""; }
--- talk
/                              <- A=a; Path=/
/page                          <- B=b; Path=/
--- upstream_json eval
[undef, sub { my ($up) = @_; ($up->header('Cookie') // '') =~ /^A=a(?:; fromsub=1)?$/ && ($up->header('X-Sub') // '') eq 'A=a' or join '|', map { $up->header($_) // '-' } qw(Cookie X-Sub) }]

=== SSI: includes have the jar's cookies, those of their page too; what they set is too late and does not reach the client
--- config
ssi on;
ssi_types text/plain;
location = /page { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /inc  { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/inc?sc=late=1; }
--- request eval
["GET /?sc=A=a;Path=/", 'GET /page?sc=B=b;Path=/&text=' . encoded('[<!--# include virtual="/inc" -->]'), "GET /"]
--- cookie_jar
--- response_body_like eval
["", qr/\A\[\{.*\["Cookie","A=a; B=b"\]/s, ""]
--- check eval
[\&saved, sub { my @set = map { $_->{name} } $_[0]->set_cookies; "@set" eq 'proxy-session' or "@set" }, \&silent]

=== hide and jar: the token and the remember cookie stay with nginx, another session's cookie does not
--- config
session_remember on;
session_remember_safety None;
--- talk
/                              <- A=a; Path=/
/                              => session=other; A=a
--- more_headers eval
["", "Cookie: session=other"]
--- passed: remember

=== storages: in the cookie
--- config
# the default
--- talk eval
$::walk

=== storages: shared memory
--- http_config eval
$::storage{shm}
--- config
session_storage s;
--- talk eval
$::walk

=== storages: redis
--- http_config eval
$::storage{redis}
--- config
session_storage s;
--- talk eval
$::walk

=== storages: a large jar in the cookie, in pieces
--- talk eval
my %v = map { $_ => "$_=" . join '', map { substr 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', int(rand 62), 1 } 1 .. 2500 } qw(A B C);
join "\n", map { s/%(\w)/$v{$1}/gr } '/ <- %A', '/ <- %B', '/ <- %C', '/ => %A; %B; %C', '/ <- A=; Max-Age=0 <- B=; Max-Age=0', '/ => %C'

=== storage down, fail: 503, and no cookie of the upstream reaches the client
--- http_config eval
$::storage{redis}
--- config
session_storage s;
--- talk
/                              <- A=a; Path=/
/ [503]                        <- B=b; Path=/
new: / [503]                   <- B=b; Path=/
/                              => A=a
--- before eval
[undef, sub { $::redis->stop }, undef, sub { $::redis->start; sleep 1 }]
--- check eval
[\&saved, \&silent, \&silent, \&silent]

=== storage down, pass: the jar neither gives nor takes, but strips
--- http_config eval
$::storage{redis}
--- config
session_storage s;
session_on_error pass;
--- talk
/                              <- A=a; Path=/
/                              <- B=b; Path=/
new: /                         <- B=b; Path=/
/                              => A=a
--- before eval
[undef, sub { $::redis->stop }, undef, sub { $::redis->start; sleep 1 }]
--- response_body_unlike eval
["", '"A=a', '"A=a', ""]
--- check eval
[\&saved, \&silent, \&silent, \&silent]

=== storage that reads but does not write: 503, the old session stays
--- http_config eval
$::storage{redis}
--- config
session_storage s;
location /pass { session_on_error pass; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- talk
/                              <- A=a; Path=/
/ [503]                        <- B=b; Path=/
/pass                          <- B=b; Path=/
/                              => A=a
/                              <- B=b; Path=/
/                              => A=a; B=b
--- before eval
[undef, sub { $::redis->ask('CONFIG', 'SET', 'maxmemory', '1') }, undef, undef, sub { $::redis->ask('CONFIG', 'SET', 'maxmemory', '0') }]
--- check eval
[\&saved, \&silent, \&silent, \&silent, \&saved, \&silent]

=== a first visit is one record, however much is stored with it
--- http_config eval
$::storage{redis}
--- config
session_storage s;
--- talk
/set?u=ann                     <- A=a; Path=/
/get                           => A=a
--- before eval
[sub { $::redis->ask('FLUSHALL') }]
--- check eval
[\&saved, sub { $::redis->ask('DBSIZE') eq '1' or $::redis->ask('DBSIZE') . ' records' }]
