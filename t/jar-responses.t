# The cookie jar takes an upstream's cookies from every kind of response, and no kind brings them to the client.
use lib 't/lib';
use SessT 'no_plan';

require './t/talk.pl';

rig 'B4';
timeout 10;

# What a location needs to hand on an upgrade.
our $upgrade = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;';

# Steps that bring a cookie named after their number, then a look at all of them.
sub each_keeps {
    my (@steps) = @_;
    my $names = join '; ', map { "c$_=$_" } 1 .. @steps;
    return join "\n", (map { "$steps[$_ - 1] <- c$_=$_; Path=/" } 1 .. @steps), "/ => $names";
}

# That a body of numbered lines is whole.
sub numbered {
    my ($res) = @_;
    my $size = length $res->{body};
    return $res->{body} eq substr(join('', map { sprintf "%07d\n", $_ } 0 .. $size / 8), 0, $size) || 'the body is broken';
}

sub of_size { my ($size) = @_; return sub { length $_[0]{body} == $size ? numbered(@_) : length($_[0]{body}) . " bytes, not $size" } }

sub gunzipped {
    my ($size) = @_;
    return sub {
        my ($res) = @_;
        require IO::Uncompress::Gunzip;
        return 'not compressed' unless ($res->header('Content-Encoding') // '') eq 'gzip';
        IO::Uncompress::Gunzip::gunzip(\$res->{body}, \my $plain) or return 'no gzip';
        return length $plain == $size || length($plain) . " bytes, not $size";
    };
}

sub cached { my ($status) = @_; return sub { ($_[0]->header('X-Cache') // '') eq $status or 'X-Cache: ' . ($_[0]->header('X-Cache') // '-') } }

run_tests();
__DATA__

=== every status
--- talk eval
each_keeps(map { "/?st=$_ [$_]" } 200, 201, 204, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 409, 410, 418, 429, 500, 502, 503, 504)
--- check eval
[(\&saved) x 21, \&silent]

=== every status to HEAD
--- talk eval
each_keeps(map { "HEAD /?st=$_ [$_]" } 200, 204, 302, 304, 404, 500)
--- check eval
[(\&saved) x 6, \&silent]
--- response_body_like eval
[(qr/\A\z/) x 6, ""]

=== every method
--- talk eval
each_keeps(map { "$_ /" } qw(GET POST PUT PATCH DELETE OPTIONS))
--- check eval
[(\&saved) x 6, \&silent]

=== the rest of the response is untouched
--- config
location /plain { session off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[map { "GET $_?text=body&rh=X-A:%201&rh=X-A:%202&rh=ETag:%20%22e%22&rh=Vary:%20Cookie&rh=Link:%20x&sc=A=a;Path=/&rh=X-B:%203&sc=B=b;Path=/" } '/plain', '/']
--- check eval
my $plain;
[map { my $i = $_; sub {
    my ($res) = @_;
    my $rest = join "\n", grep { !/^(?:Set-Cookie|Date):/ && $_ ne 'Cache-Control: no-cache="Set-Cookie"' } split /\r\n/, $res->{head};
    $plain = $rest if $i == 0;
    $rest eq $plain && $res->{body} eq 'body' or "$rest\n--\n$plain";
} } 0, 1]

=== a response that saves is not for caches, one that only loses its Set-Cookie lines stays as it is
--- talk
/?rh=Cache-Control:%20max-age=60         <- A=a; Path=/
/?rh=Cache-Control:%20max-age=60         <- A=a; Path=/
/                                        <- A=b; Path=/
/                                        <- A=b; Path=/
--- check eval
[
    sub { join(', ', $_[0]->headers('Cache-Control')) =~ /no-cache="Set-Cookie"/ && saved(@_) },
    sub { join(', ', $_[0]->headers('Cache-Control')) eq 'max-age=60' && silent(@_) },
    sub { join(', ', $_[0]->headers('Cache-Control')) eq 'no-cache="Set-Cookie"' && saved(@_) },
    sub { !$_[0]->headers('Cache-Control') && silent(@_) },
]

=== J27: early hints first, then 404
--- skip_nginx: 14: < 1.29.0
--- config
early_hints 1;
--- talk
/?early=1&st=404 [404]                   <- E=e; Path=/
/?early=1                                => E=e
--- check eval
[sub { "@{ $_[0]{interim} }" =~ /103/ && "@{ $_[0]{interim} }" !~ /Cookie/i && saved(@_) }, \&silent]

=== J28: an upgrade takes cookies, and its frames go through; the handshake has the jar's cookies by path
--- http_config eval
"server { listen 127.0.0.1:\$TEST_NGINX_RAND_PORT_1; session off; location / { $::upgrade add_header X-Seen \$http_cookie always; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; } }"
--- config eval
"location /ws { $::upgrade proxy_pass http://127.0.0.1:\$TEST_NGINX_RAND_PORT_1; }"
--- cookie_jar
--- raw_requests eval
[
    "GET /?sc=A=a;Path=/ws&sc=B=b;Path=/other HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
    "GET /ws/chat?up=1&sc=W=w;Path=/ HTTP/1.1\r\nHost: app.test\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhello\nquit\n",
    "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
    "GET /ws/chat?up=1 HTTP/1.1\r\nHost: app.test\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nquit\n",
]
--- error_code eval
[200, 101, 200, 101]
--- response_body_like eval
["", qr/\Ahello\nquit\n\z/, "", qr/\Aquit\n\z/]
--- response_headers eval
["", "X-Seen: A=a", "", "X-Seen: A=a; W=w"]
--- check eval
[\&saved, sub { all_of(only_own(), \&saved)->(@_) }, \&silent, \&silent]

=== J28: the same with the session on a server
--- http_config eval
"session_backend s shm { size 1m; }"
--- config eval
"session_storage s; location /ws { $::upgrade proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }"
--- cookie_jar
--- raw_requests eval
[
    "GET /ws?up=1&sc=W=w;Path=/ HTTP/1.1\r\nHost: app.test\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhello\nquit\n",
    "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
    "GET /ws?up=1&sc=W=w;Path=/ HTTP/1.1\r\nHost: app.test\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nagain\nquit\n",
]
--- error_code eval
[101, 200, 101]
--- response_body_like eval
[qr/\Ahello\nquit\n\z/, qr/"W=w"/, qr/\Aagain\nquit\n\z/]
--- check eval
[sub { all_of(only_own(), \&saved)->(@_) }, \&silent, \&silent]

=== streams: parts with pauses, with every framing
--- talk eval
each_keeps(map { "/?size=80000&parts=4&pause=50&framing=$_" } qw(length chunked close))
--- check eval
[((map { my $check = $_; sub { all_of(\&saved, $check)->(@_) } } of_size(80000)) x 3), \&silent]

=== streams: unbuffered
--- config
proxy_buffering off;
--- talk eval
each_keeps(map { "/?size=80000&parts=4&pause=50&framing=$_" } qw(length chunked close))
--- check eval
[((map { my $check = $_; sub { all_of(\&saved, $check)->(@_) } } of_size(80000)) x 3), \&silent]

=== streams: trailers pass, Set-Cookie lines among them do not
--- config
location /trailers { proxy_http_version 1.1; proxy_pass_trailers on; proxy_set_header TE trailers; proxy_set_header Connection TE; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- skip_nginx: 8: < 1.27.2
--- talk
/trailers?text=hello&rh=Trailer:%20X-T&rt=X-T:%20tail&rt=Set-Cookie:%20T=t     <- A=a; Path=/
/                              => A=a
--- response_body eval
["hello", undef]
--- check eval
[sub { $_[0]{trailers} =~ /X-T: tail/ && $_[0]{trailers} !~ /Set-Cookie/i && saved(@_) or "trailers: $_[0]{trailers}" }, \&silent]

=== bodies: empty, small, 1 MB
--- talk eval
each_keeps(map { "/?size=$_" } 0, 1, 100, 8000, 1000000)
--- check eval
[(map { my $check = of_size($_); sub { all_of(\&saved, $check)->(@_) } } 0, 1, 100, 8000, 1000000), \&silent]
--- response_body_like eval
["", qr/\A0\z/, ("") x 4]

=== gzip
--- config
gzip on;
gzip_types text/plain;
gzip_http_version 1.0;
gzip_proxied any;
--- talk eval
each_keeps('/?size=50000', '/?size=50000&parts=4&pause=20', '/?size=50000&framing=close')
--- more_headers
Accept-Encoding: gzip
--- check eval
[(map { my $check = gunzipped(50000); sub { all_of(\&saved, $check)->(@_) } } 1 .. 3), \&silent]

=== HTTP/1.0
--- cookie_jar
--- request eval
["GET /?size=8000&sc=A=a HTTP/1.0", "GET /?size=8000&parts=3&sc=B=b HTTP/1.0", "GET / HTTP/1.0"]
--- check eval
[(map { my $check = of_size(8000); sub { all_of(only_own(), \&saved, $check)->(@_) } } 1, 2), \&silent]
--- upstream_json eval
[undef, undef, sees('A=a; B=b')]

=== HTTP/2
--- http2
--- talk eval
each_keeps('/?size=80000', '/?size=80000&parts=4&pause=20', 'HEAD /', '/?st=204 [204]', '/?st=304 [304]', '/?st=404 [404]', '/?st=302 [302]')
--- check eval
[(map { my $check = of_size(80000); sub { all_of(\&saved, $check)->(@_) } } 1, 2), (\&saved) x 5, \&silent]

=== HTTP/2 over TLS
--- http2
--- talk eval
each_keeps(map { "https://app.test$_" } '/?size=80000', '/?size=80000&parts=4&pause=20', '/?st=204 [204]')
--- check eval
[(map { my $check = of_size(80000); sub { all_of(\&saved, $check)->(@_) } } 1, 2), \&saved, \&silent]

=== TLS
--- talk eval
each_keeps(map { "https://app.test$_" } '/?size=80000', '/?size=1000000', '/?st=404 [404]')
--- check eval
[(map { my $check = of_size($_); sub { all_of(\&saved, $check)->(@_) } } 80000, 1000000), \&saved, \&silent]

=== requests with bodies
--- config
location /unbuffered { proxy_request_buffering off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["POST /?sc=A=a;Path=/\n" . 'b' x 200_000, "POST /unbuffered?sc=B=b;Path=/\n" . 'b' x 200_000, "PUT /?st=204&sc=C=c;Path=/\nx", "GET /"]
--- error_code eval
[200, 200, 204, 200]
--- check eval
[(sub { all_of(only_own(), \&saved)->(@_) }) x 3, \&silent]
--- upstream_json eval
[(sub { length $_[0]{body} == 200_000 or length $_[0]{body} }) x 2, undef, sees('A=a; B=b; C=c')]

=== several users on one connection
--- keepalive
--- talk
ann: /?st=204 [204]            <- A=ann
bob: /                         <- A=bob
eve: /                         => none
ann: HEAD /                    <- B=ann
bob: /                         => A=bob
ann: /?size=8000&parts=2       <- C=ann
ann: /                         => A=ann; B=ann; C=ann
bob: /                         => A=bob

=== pipelined
--- pipelined_requests eval
["GET /?sc=A=a", "GET /?st=204&sc=B=b", "GET /?size=8000&parts=2&sc=C=c", "GET /?st=404&sc=D=d"]
--- error_code eval
[200, 204, 200, 404]
--- raw_response_headers_like eval
[(qr/^Set-Cookie: proxy-session=/m) x 4]
--- raw_response_headers_unlike eval
[(qr/^Set-Cookie: [A-D]=/m) x 4]

=== redirects of nginx itself: proxy_redirect is none of ours
--- config
location /app/ { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; proxy_redirect http://internal.test/ /app/; }
--- talk
/app/?st=302&rh=Location:%20http://internal.test/next [302]    <- A=a; Path=/
/app/next                      => A=a
--- raw_response_headers_like eval
[qr{^Location: http://app\.test:?\d*/app/next\r$}m, ""]

=== X-Accel-Redirect: to a file, to a location that answers itself, to another upstream, to a named location
--- config
location /files/ { internal; alias $TEST_NGINX_HTML_DIR/; }
location = /return { internal; return 200 "returned"; }
location = /second { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?sc=second=2; }
location @named { rewrite ^ /?sc=named=3? break; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- user_files
>>> file.txt
0123456789
--- talk
/?rh=X-Accel-Redirect:%20/files/file.txt           <- file=1; Path=/
/?rh=X-Accel-Redirect:%20/files/file.txt [206]     <- range=1; Path=/
/?rh=X-Accel-Redirect:%20/files/none [404]         <- none=1; Path=/
/?rh=X-Accel-Redirect:%20/return                   <- return=1; Path=/
/?rh=X-Accel-Redirect:%20/second                   <- first=1; Path=/
/?rh=X-Accel-Redirect:%20@named                    <- before=1; Path=/
/                              => file=1; range=1; none=1; return=1; first=1; second=2; before=1; named=3
--- more_headers eval
["", "Range: bytes=2-4", ("") x 5]
--- response_body_like eval
[qr/\A0123456789\n?\z/, qr/\A234\z/, "", qr/\Areturned\z/, ("") x 3]
--- check eval
[(\&saved) x 6, \&silent]

=== error pages: the page's cookies are kept, those of the failed answer reach nobody
--- config
proxy_intercept_errors on;
error_page 404 = @page;
error_page 500 /static.txt;
location @page { rewrite ^ /?sc=page=1? break; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /static.txt { root $TEST_NGINX_HTML_DIR; }
--- user_files
>>> static.txt
sorry
--- request eval
["GET /?st=404&sc=failed=1;Path=/", "GET /?st=500&sc=failed=1;Path=/", "GET /"]
--- cookie_jar
--- error_code eval
[200, 500, 200]
--- check eval
[sub { all_of(only_own(), \&saved)->(@_) }, only_own(), undef]
--- upstream_json eval
[undef, undef, sub { ($_[0]->header('Cookie') // '') =~ /\bpage=1\b/ or 'Cookie: ' . ($_[0]->header('Cookie') // 'none') }]

=== gRPC
--- http_config
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 http2;
    session off;
    location / { add_header Set-Cookie "G=g; Path=/"; add_header X-Seen "[$http_cookie]"; return 200 "rpc"; }
}
--- config
location /rpc { grpc_pass grpc://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- talk
/                              <- A=a; Path=/
/rpc
/rpc
--- response_headers eval
["", "X-Seen: [A=a]", "X-Seen: [A=a; G=g]"]
--- check eval
[\&saved, \&saved, \&silent]

=== sub_filter, addition and SSI behind the jar
--- config
location /sub { sub_filter 0000001 seven; sub_filter_types *; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /add { addition_types *; add_after_body /tail; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /ssi { ssi on; ssi_types *; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /tail { session off; return 200 "tail"; }
--- talk eval
each_keeps('/sub?size=24', '/add?size=8', '/ssi?text=' . encoded('[<!--# include virtual="/tail" -->]'))
--- response_body eval
["0000000\nseven\n0000002\n", "0000000\ntail", "[tail]", undef]
--- check eval
[(\&saved) x 3, \&silent]

=== a cache: a response whose cookies went into a jar is not stored
--- http_config
proxy_cache_path $TEST_NGINX_SERVROOT/cache1 keys_zone=c:1m;
--- config
proxy_cache c;
proxy_cache_key $uri;
proxy_cache_valid any 1m;
proxy_ignore_headers Set-Cookie Cache-Control Vary;
add_header X-Cache $upstream_cache_status;
--- talk
ann: /page                     <- A=ann; Path=/
bob: /page                     <- A=bob; Path=/
eve: /other                    => none
ann: /page?second              => A=ann
eve: /page                     => A=ann
bob: /mine                     => A=bob
--- check eval
[(map { my $check = cached('MISS'); sub { all_of(\&saved, $check)->(@_) } } 1, 2, 3), cached('MISS'), cached('HIT'), cached('MISS')]

=== a cache: what was stored before there was a jar is stripped, and goes into nobody's jar
--- http_config
proxy_cache_path $TEST_NGINX_SERVROOT/cache2 keys_zone=c:1m;
--- config
proxy_cache c;
proxy_cache_key key;
proxy_cache_valid 200 1s;
proxy_cache_use_stale http_500 updating;
proxy_ignore_headers Set-Cookie Cache-Control Vary;
add_header X-Cache $upstream_cache_status;
location /fill { session off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /page { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=$http_x_st; }
location /look { proxy_cache off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar eval
[undef, 'ann', 'ann', 'bob', 'bob']
--- sleep_before eval
[0, 0, 0, 2.1, 0]
--- request eval
["GET /fill?sc=F=f;Path=/", "GET /page", "GET /look", "GET /page", "GET /look"]
--- more_headers
X-St: 500
--- check eval
[
    sub { $_[0]->header('Set-Cookie') =~ /^F=f; ?Path=\/$/ or 'not even filled' },
    sub { all_of(only_own(), cached('HIT'))->(@_) }, only_own(),
    sub { all_of(only_own(), cached('STALE'))->(@_) }, only_own(),
]
--- upstream_json eval
[undef, undef, sees('none'), undef, sees('none')]

=== a cache: revalidated
--- http_config
proxy_cache_path $TEST_NGINX_SERVROOT/cache3 keys_zone=c:1m;
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    session off;
    location / {
        if ($http_if_none_match) { add_header Set-Cookie "N=n; Path=/"; return 304; }
        add_header ETag '"e"';
        add_header Set-Cookie "F=f; Path=/";
        return 200 "page";
    }
}
--- config
proxy_cache c;
proxy_cache_key key;
proxy_cache_valid 200 1s;
proxy_cache_revalidate on;
proxy_ignore_headers Set-Cookie Cache-Control Vary;
add_header X-Cache $upstream_cache_status;
location /fill { session off; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
location /page { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
location /look { proxy_cache off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar eval
[undef, 'ann', 'ann']
--- sleep_before eval
[0, 2.1, 0]
--- request eval
["GET /fill", "GET /page", "GET /look"]
--- check eval
[sub { $_[0]->header('Set-Cookie') =~ /^F=f; ?Path=\/$/ or 'not even filled' }, sub { all_of(only_own(), cached('REVALIDATED'))->(@_) }, only_own()]
--- upstream_json eval
[undef, undef, sees('none')]

=== a cache: by default nginx stores no response with Set-Cookie, and shares one without
--- http_config
proxy_cache_path $TEST_NGINX_SERVROOT/cache4 keys_zone=c:1m;
--- config
proxy_cache c;
proxy_cache_key $uri;
proxy_cache_valid any 1m;
add_header X-Cache $upstream_cache_status;
--- talk
ann: /page                     <- A=ann; Path=/
bob: /page                     <- A=bob; Path=/
ann: /plain                    => A=ann
bob: /plain                    => A=ann
--- check eval
[cached('MISS'), cached('MISS'), cached('MISS'), cached('HIT')]

=== proxy_store keeps the body only
--- config
location /store/ { proxy_store $TEST_NGINX_SERVROOT/stored$uri; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- talk
/store/a?size=8000             <- A=a; Path=/
/                              => A=a
--- check eval
[sub { all_of(\&saved, of_size(8000))->(@_) }, sub { SessT::Room::slurp(server_root() . '/stored/store/a') =~ /\A0000000\n.{7992}\z/s or 'what is stored' }]

=== an upstream that breaks off: what came is kept
--- config
proxy_buffering off;
--- talk
/?size=100&framing=close&rh=Content-Length:%201000    <- A=a
/                              => A=a
--- check eval
[sub { !$_[0]{complete} && saved(@_) }, \&silent]

=== an upstream that is not there: 502, the session is as it was
--- config
location /gone { proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- talk
/                              <- A=a; Path=/
/gone [502]
/                              => A=a
--- check eval
[\&saved, \&silent, \&silent]
