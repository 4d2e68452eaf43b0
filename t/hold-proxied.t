# A proxied response whose cookies went into the jar waits until the storage has the session, and arrives as if it had not waited:
# byte for byte, but for the Set-Cookie lines. Two servers with the same locations: one keeps a jar in a Redis that takes its
# time, the other has no session. What is held while a remember key is stretched is in hold.t.
use lib 't/lib';
use SessT 'no_plan';

use IO::Select;
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(sleep time);

use SessT::Response;
use SessT::Servers;

require './t/asking.pl';
rig 'none';
timeout 10;
workers(1);    # so that its memory can be looked at
our $patience = $ENV{TEST_NGINX_USE_VALGRIND} ? 100 : 15;
own_sections 'on_error', 'patience';

our $redis = SessT::Servers->redis;
our $proxy = SessT::Servers->proxy($redis);
use constant LATENCY => 'delay 5';

my %port = map { $_ => SessT::Room::expand("\$TEST_NGINX_RAND_PORT_$_") } 1 .. 7;
my %plain_port = (held => $port{1}, straight => $port{2});
my %tls_port   = (held => $port{3}, straight => $port{4});
my %h2_port    = (held => $port{5}, straight => $port{6});

my $locations = <<'END_OF_LOCATIONS';
location /p/      { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /nb/     { proxy_buffering off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /tmpf/   { proxy_buffer_size 4k; proxy_buffers 4 4k; proxy_busy_buffers_size 8k; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /nofile/ { proxy_max_temp_file_size 0; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /keep/   { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://keep/; }
location /unb/    { proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /gz/     { gzip on; gzip_types *; gzip_min_length 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /nbgz/   { gzip on; gzip_types *; gzip_min_length 1; proxy_buffering off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /rate/   { limit_rate 400k; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /quick/  { send_timeout 50ms; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /ranges/ { proxy_force_ranges on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /sub/    { sub_filter 0000001 seven; sub_filter_types *; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /add/    { addition_types *; add_before_body /free; add_after_body /late; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /ssi/    { ssi on; ssi_types *; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /nochunk/ { chunked_transfer_encoding off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /nokeep/ { keepalive_timeout 0; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /headers/ { add_header X-A a always; expires 1h; proxy_hide_header X-Up; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /inter/  { proxy_intercept_errors on; error_page 404 = @named; error_page 403 =200 @named; error_page 500 /small.txt; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /gone/   { error_page 502 = @named; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_7/; }
location @named   { rewrite ^ /?text=named&sc=j=1? break; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /auth/   { auth_request /.yes; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /mirror/ { mirror /free; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /cache/  { proxy_cache c; proxy_cache_key $server_port$request_uri; proxy_cache_valid any 1m; proxy_ignore_headers Set-Cookie Cache-Control; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /store/  { proxy_store $TEST_NGINX_SERVROOT/stored/$server_port/$arg_n; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location /ws/     { proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/; }
location = /.yes  { internal; return 204; }
location = /free  { session off; return 200 "free"; }
location = /late  { session off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?text=late&delay=50; }
location /file/   { internal; alias $TEST_NGINX_HTML_DIR/; }
location /sf/     { internal; sendfile on; tcp_nopush on; alias $TEST_NGINX_HTML_DIR/; }
location /dio/    { internal; directio 512; output_buffers 1 32k; alias $TEST_NGINX_HTML_DIR/; }
location /gzf/    { internal; gzip on; gzip_types *; gzip_min_length 1; alias $TEST_NGINX_HTML_DIR/; }
location = /ret   { internal; return 200 "returned"; }
location = /small.txt { internal; root $TEST_NGINX_HTML_DIR; }
END_OF_LOCATIONS

# The text of $size bytes that the echo sends, too.
sub numbered { my ($size) = @_; return substr join('', map { sprintf "%07d\n", $_ } 0 .. $size / 8), 0, $size }

add_block_preprocessor(sub {
    my ($block) = @_;
    my $on_error = $block->on_error // 'fail';
    my $timeout = $block->patience // '10s';
    my %session = (
        held     => "session start; session_storage s; session_cookie_jar on; session_on_error $on_error;",
        straight => 'session off;',
    );
    my $servers = join '', map { <<"END_OF_SERVER" } sort keys %session;
server {
    listen 127.0.0.1:$plain_port{$_};
    listen 127.0.0.1:$tls_port{$_} ssl;
    listen 127.0.0.1:$h2_port{$_} ssl http2;
    server_name localhost;
    $session{$_}
    access_log logs/$_.log lines;
    port_in_redirect off;
    absolute_redirect off;
$locations
}
END_OF_SERVER
    $block->set_value(http_config => <<"END_OF_HTTP");
log_format lines '\$request|\$status|\$sent_http_content_type|\$request_completion';
session_backend s redis { server 127.0.0.1:@{[$proxy->port]}; timeout $timeout; connect_timeout $timeout; pool_size 8; }
session_secret test-secret;
session_cookie_name proxy-session;
session_stale_ttl 10m;
upstream keep { server 127.0.0.1:\$TEST_NGINX_ECHO_PORT; keepalive 4; }
proxy_cache_path \$TEST_NGINX_SERVROOT/cache keys_zone=c:1m;
ssl_certificate \$TEST_NGINX_CERT;
ssl_certificate_key \$TEST_NGINX_CERT_KEY;
large_client_header_buffers 4 32k;
client_max_body_size 30m;
$servers
END_OF_HTTP
    $block->set_value(config => "location = /plain { return 200 plain; }\n");
    $block->set_value(request => 'GET /plain') unless defined $block->request;
    $block->set_value(user_files => [['small.txt', numbered(500)], ['big.txt', numbered(3_000_000)], ['empty.txt', '']]);
    $proxy->fault(LATENCY);
});

# --- talking ---

sub connection {
    my ($server, $bytes, %how) = @_;
    return send_bytes($how{tls} ? $tls_port{$server} : $plain_port{$server}, $bytes, %how);
}

# A path with what the upstream is to answer, and a cookie for the jar.
sub up { my ($location, @arguments) = @_; return "/$location/?" . join '&', @arguments, 'sc=j=1;%20Path=/' }

# A session whose jar has another value of the cookie.
sub session {
    my $text = answer(connection('held', request(GET => '/p/?text=x&sc=j=0;%20Path=/')));
    return $text =~ /^Set-Cookie: (proxy-session=[^;]+)/m ? $1 : 'none=none';
}

# --- comparing ---

# Without what may differ: the date, expiry, and what holds cookies.
sub even {
    my ($text) = @_;
    $text =~ s/^(Date|Expires): [^\r\n]*/$1/mgi;
    $text =~ s/^Set-Cookie: [^\n]*\n//mgi;
    $text =~ s/^Cache-Control: no-cache="Set-Cookie"\r\n//mgi;
    $text =~ s/\b0{13}\d{7}\b/boundary/g;
    return $text;
}

# The responses of a stream: heads as they are, bodies without their chunks, and not compressed: where those end depends on time.
sub responses {
    my ($bytes, @methods) = @_;
    my @responses;
    for my $method (@methods) {
        last unless length $bytes;
        my $response = SessT::Response->parse($bytes, closed => 1, head_request => $method eq 'HEAD');
        push @responses, join "\n", map({ "interim $_" } @{ $response->{interim} }), $response->{head}, plain_body($response),
            $response->{complete} ? 'complete' : 'cut';
        substr $bytes, 0, $response->{length}, '';
    }
    return even(join "\n----\n", @responses, length $bytes ? "left: $bytes" : ());
}

sub plain_body {
    my ($response) = @_;
    return $response->{body} unless ($response->header('Content-Encoding') // '') eq 'gzip' && length $response->{body};
    gunzip(\$response->{body}, \my $plain) or return "no gzip: $GunzipError";
    return $plain;
}

sub lines_of { my ($pattern, $text) = @_; my $count = () = $text =~ /$pattern/g; return $count }

# Both servers get the same; the held one three times at once. `held`: how many of the responses have cookies for the jar;
# `straight`: how many of them have those without a jar, if not as many.
sub same {
    my ($name, $requests, %how) = @_;
    my @methods = map { $_->[0] } @$requests;
    my $cookie = $how{cookie} ? $how{cookie}->() : undef;
    my $bytes = $how{raw} // join '', map { my ($method, $path, %with) = @$_; request($method, $path, cookie => $cookie, %with) } @$requests;
    my (%got, %raw);
    for my $server (qw(straight held)) {
        my @sockets = map { connection($server, $bytes, %how) } 1 .. ($server eq 'held' ? 3 : 1);
        sleep $how{pause} if $how{pause};
        $raw{$server} = [map { answer($_) } @sockets];
        $got{$server} = [map { responses($_, @methods) } @{ $raw{$server} }];
    }
    my ($expected) = @{ $got{straight} };
    my @wrong = grep { $_ ne $expected } @{ $got{held} };
    ok !@wrong, $name or diag first_difference($expected, $wrong[0]);
    my $due = $how{held} // @$requests;
    my ($set, @kept) = (lines_of(qr/^Set-Cookie: j=/mi, $raw{straight}[0]), map { lines_of(qr/^Set-Cookie: proxy-session=/mi, $_) } @{ $raw{held} });
    is "$set: @kept", "@{[$how{straight} // $due]}: $due $due $due", "$name: $due of the responses had cookies, and had to wait";
    is lines_of(qr/^Set-Cookie: j=/mi, join '', @{ $raw{held} }), 0, "$name: which do not reach the client";
    return;
}

sub first_difference {
    my ($expected, $got) = @_;
    my $at = (($expected ^ $got) =~ /\A(\0*)/)[0];
    my $from = length($at) > 200 ? length($at) - 200 : 0;
    return sprintf "%d bytes, not %d; from %d:\n%s\n--- expected:\n%s", length $got, length $expected, $from, substr($got, $from, 1500), substr $expected, $from, 1500;
}

sub logged {
    my ($server) = @_;
    my %seen = map { s/boundary=\d+//r => 1 } grep { !/sc=j=0/ } split /\n/, SessT::Room::slurp(server_root() . "/logs/$server.log");
    return join "\n", sort keys %seen;
}

# A line may come a little after its response.
sub same_logs {
    my $end = time + $patience;
    sleep 0.1 until logged('held') eq logged('straight') || time > $end;
    my ($held, $straight) = map { logged($_) } qw(held straight);
    ok $held eq $straight, 'the access logs agree' or diag first_difference($straight, $held);
    return;
}

# --- the cases ---

my @ranges = ('0-9', '1000-99999', '-5', '0-9,20-29');
my @gzip = (headers => ['Accept-Encoding: gzip']);

sub proxied {
    my (%how) = @_;
    my $over = ($how{tls} ? ' over TLS' : '') . ($how{cookie} ? ' with a session' : '');
    for my $location (qw(p nb tmpf nofile keep unb)) {
        same("$location: $_->[0]$over", [[GET => up($location, @$_[1 .. $#$_])]], %how) for
            ['small', 'text=small'], ['empty', 'size=0'], ['200 kB', 'size=200000'], ['chunked', 'size=200000', 'framing=chunked'],
            ['until closed', 'size=50000', 'framing=close'], ['parts', 'size=5000', 'parts=5', 'pause=10'], ['late', 'size=100', 'parts=2', 'pause=100', 'framing=length'],
            ['204', 'st=204'], ['302', 'text=moved', 'st=302', 'rh=Location:%20/elsewhere'], ['404', 'text=none', 'st=404'], ['500', 'text=oops', 'st=500'],
            ['304', 'st=304', 'rh=ETag:%20%22a%22'], ['cut', 'size=100', 'framing=close', 'rh=Content-Length:%201000'];
        same("$location: HEAD $_->[0]$over", [[HEAD => up($location, @$_[1 .. $#$_])]], %how) for ['small', 'text=small'], ['200 kB', 'size=200000'], ['204', 'st=204'];
        same("$location: HTTP/1.0 $_->[0]$over", [[GET => up($location, @$_[1 .. $#$_]), version => '1.0']], %how) for ['small', 'text=small'], ['parts', 'size=5000', 'parts=5', 'pause=10'];
        same("$location: POST$over", [[POST => up($location, 'text=x'), body => 'b' x 300_000]], %how);
    }
    return;
}

sub filters {
    my (%how) = @_;
    my $over = ($how{tls} ? ' over TLS' : '') . ($how{cookie} ? ' with a session' : '');
    for my $location (qw(gz nbgz)) {
        same("$location: $_->[0]$over", [[GET => up($location, @$_[1 .. $#$_]), @gzip]], %how) for
            ['small', 'text=small'], ['200 kB', 'size=200000'], ['parts', 'size=5000', 'parts=5', 'pause=10'], ['404', 'text=none', 'st=404'];
        same("$location: HEAD$over", [[HEAD => up($location, 'size=200000'), @gzip]], %how);
        same("$location: not wanted$over", [[GET => up($location, 'size=200000')]], %how);
    }
    same("$_$over", [[GET => up($_, 'size=5000')]], %how) for qw(sub add nochunk nokeep headers auth mirror quick);
    same("$_ in parts$over", [[GET => up($_, 'size=5000', 'parts=5', 'pause=10')]], %how) for qw(sub add nochunk headers);
    same("limit_rate$over", [[GET => up('rate', 'size=100000')]], %how);
    my $page = 'text=a%20<!--%23%20include%20virtual="/free"%20-->%20b%20<!--%23%20include%20virtual="/late"%20-->%20c';
    same("SSI$over", [[GET => up('ssi', $page)]], %how);
    same("SSI, HEAD$over", [[HEAD => up('ssi', $page)]], %how);
    same("range: $_$over", [[GET => up('ranges', 'size=200000', 'rh=ETag:%20%22a%22'), headers => ["Range: bytes=$_"]]], %how) for @ranges, '300000-';
    same("not modified$over", [[GET => up('p', 'size=5000', 'rh=ETag:%20%22a%22'), headers => ['If-None-Match: "a"']]], %how);
    same("failed condition$over", [[GET => up('p', 'size=5000', 'rh=ETag:%20%22a%22'), headers => ['If-Match: "b"']]], %how);
    same("error page, status $_$over", [[GET => up('inter', "st=$_", 'text=x')]], %how) for 404, 403;
    same("error page of a file$over", [[GET => up('inter', 'st=500', 'text=x')]], %how, held => 0);
    same("upstream gone$over", [[GET => up('gone')]], %how);
    same("cache: $_->[0]$over", [[GET => up('cache', 'n=' . time, @$_[1 .. $#$_])]], %how) for ['small', 'text=small'], ['200 kB', 'size=200000'], ['empty', 'size=0'], ['chunked', 'size=200000', 'framing=chunked'];
    same("cache: range$over", [[GET => up('cache', 'n=' . time, 'size=200000'), headers => ['Range: bytes=5-100']]], %how);
    same("store$over", [[GET => up('store', 'n=' . time, 'size=200000')]], %how);
    return;
}

sub redirected {
    my (%how) = @_;
    my $over = ($how{tls} ? ' over TLS' : '') . ($how{cookie} ? ' with a session' : '');
    for my $location (qw(file sf dio gzf)) {
        my $path = sub { up('p', 'text=x', "rh=X-Accel-Redirect:%20/$location/$_[0]") };
        same("$location: $_$over", [[GET => $path->($_), @gzip]], %how) for qw(small.txt big.txt empty.txt none.txt);
        same("$location: HEAD $_$over", [[HEAD => $path->($_), @gzip]], %how) for qw(small.txt big.txt none.txt);
        same("$location: range $_$over", [[GET => $path->('big.txt'), headers => ["Range: bytes=$_"]]], %how) for @ranges, '4000000-';
        same("$location: $_$over", [[GET => $path->('small.txt'), headers => [$_]]], %how) for 'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT', 'If-None-Match: *';
        # A page of nginx's own takes the place of the file: only a jar has the cookies by then.
        same("$location: failed condition$over", [[GET => $path->('small.txt'), headers => ['If-Match: "zz"']]], %how, straight => 0);
        same("$location: a slow reader$over", [[GET => $path->('big.txt')]], %how, pause => 0.3);
    }
    same("to a return$over", [[GET => up('p', 'text=x', 'rh=X-Accel-Redirect:%20/ret')]], %how);
    same("to a named location$over", [[GET => '/p/?text=x&rh=X-Accel-Redirect:%20@named']], %how);
    return;
}

sub connections {
    my (%how) = @_;
    my $over = $how{tls} ? ' over TLS' : '';
    my @mixed = ([GET => up('p', 'text=x'), keep => 1], [GET => '/free', keep => 1], [HEAD => up('p', 'size=1000'), keep => 1], [GET => up('p', 'st=204'), keep => 1],
        [POST => up('nb', 'text=x', 'st=404'), keep => 1, body => 'b' x 5000], [GET => up('p', 'size=300000', 'framing=chunked'), keep => 1],
        [GET => up('p', 'text=x', 'rh=X-Accel-Redirect:%20/sf/big.txt'), keep => 1], [GET => up('gz', 'size=5000'), keep => 1, @gzip], [GET => '/free', keep => 1], [GET => up('nb', 'st=302')]);
    same("pipelined$over", \@mixed, %how, held => 8);
    same("the last not held$over", [[GET => up('p', 'st=404'), keep => 1], [GET => '/free']], %how, held => 1);
    same("HTTP/1.0 keepalive$over", [[GET => up('p', 'text=x'), version => '1.0', headers => ['Connection: keep-alive']], [GET => up('p', 'st=204'), version => '1.0']], %how);
    my @ws = ("Host: localhost", 'Upgrade: echo', 'Connection: Upgrade', '', '');
    same("an upgrade$over", [[GET => '']], %how, raw => join "\r\n", "GET @{[up('ws', 'up=1')]} HTTP/1.1", @ws, "hello\nquit\n");
    same("an upgrade, much in flight$over", [[GET => '']], %how, raw => join "\r\n", "GET @{[up('ws', 'up=1')]} HTTP/1.1", @ws, 'x' x 300_000 . "\nquit\n");
    same("no upgrade after all$over", [[GET => up('ws', 'text=x')]], %how);
    return;
}

# The same paths on one HTTP/2 connection, all at once.
sub streams {
    my @paths = (up('p', 'text=x'), up('p', 'size=0'), up('p', 'st=204'), up('p', 'st=302'), up('p', 'st=404', 'text=x'), up('nb', 'size=5000', 'parts=5', 'pause=10'), up('p', 'size=3000000'),
        up('nb', 'size=3000000'), up('p', 'text=x', 'rh=X-Accel-Redirect:%20/sf/big.txt'), up('inter', 'st=404'), up('cache', 'size=200000'), '/free', up('keep', 'size=200000', 'framing=chunked'));
    my %got;
    for my $server (qw(held straight)) {
        my $urls = join ' ', map { "-o '" . html_dir() . "/$server.$_' 'https://127.0.0.1:$h2_port{$server}$paths[$_]'" } 0 .. $#paths;
        my $codes = `curl --silent --no-progress-meter --insecure --globoff --http2 --parallel --max-time $patience --write-out '%{url_effective} %{http_code} %{size_download}\\n' $urls`;
        $codes =~ s{^https://[^/]*}{}mg;
        $got{$server} = join "\n", sort split /\n/, $codes;
        $got{$server} .= "\n" . join "\n", map { SessT::Room::slurp(html_dir() . "/$server.$_") // '' } 0 .. $#paths;
    }
    ok $got{held} eq $got{straight}, 'status, size and body of each stream' or diag first_difference($got{straight}, $got{held});
    like $got{held}, qr{ 200 3000000$}m, 'all of a large one';
    return;
}

sub heads {
    for my $case ([GET => up('p', 'text=x')], [HEAD => up('p', 'size=1000')], [GET => up('p', 'st=204')], [GET => up('p', 'st=304')], [GET => up('nb', 'size=1000', 'parts=3')],
        [GET => up('p', 'rh=X-Accel-Redirect:%20/file/small.txt')], [GET => up('inter', 'st=404')]) {
        my ($method, $path) = @$case;
        my $how = $method eq 'HEAD' ? '--head' : '';
        my %got = map { $_ => scalar `curl --silent --include --insecure --globoff --http2 $how --max-time $patience 'https://127.0.0.1:$h2_port{$_}$path'` } qw(straight held);
        is even($got{held}), even($got{straight}), "HTTP/2: $method $path";
        like $got{held}, qr/^set-cookie: proxy-session=/mi, "HTTP/2: $method $path has been held";
        unlike $got{held}, qr/^set-cookie: j=/mi, "HTTP/2: $method $path keeps the jar's cookie";
    }
    return;
}

# --- the storage fails ---

my @may_fail = (up('p', 'text=x'), up('p', 'size=0'), up('p', 'size=3000000'), up('nb', 'size=3000000'), up('nb', 'size=50000', 'parts=30', 'pause=50'), up('p', 'size=50000', 'parts=30', 'pause=50'),
    up('p', 'st=204'), up('p', 'st=304'), up('p', 'st=302'), up('p', 'st=404'), up('gz', 'size=200000'), up('p', 'rh=X-Accel-Redirect:%20/sf/big.txt'), up('inter', 'st=404'), up('cache', 'size=200000'),
    up('keep', 'size=200000', 'framing=chunked'), up('ssi', 'text=<!--%23%20include%20virtual="/late"%20-->'), up('sub', 'size=5000'), up('tmpf', 'size=3000000'), up('store', 'n=failed', 'size=200000'));

# The storage is there again, which the worker may notice a little later.
sub recovers {
    my ($what, %how) = @_;
    $proxy->fault(LATENCY);
    my ($end, $text) = (time + $patience, '');
    until (($text = answer(connection('held', request(GET => up('p', 'text=fine')), %how))) =~ /\AHTTP\/1\.1 200 / || time > $end) { sleep 0.1 }
    like $text, qr/^Set-Cookie: proxy-session=.*fine\z/ms, $what;
    return;
}

sub expect_503 {
    my (%how) = @_;
    my $over = ($how{tls} ? ' over TLS' : '') . " [$how{fault}]";
    $proxy->fault($how{fault});
    my @cases = ((map { [GET => $_] } @may_fail), map { [HEAD => $_] } @may_fail[0, 2, 6]);
    my @sockets = map { connection('held', request(@$_, keep => 1, @gzip) . request(GET => '/free'), %how) } @cases;
    for my $i (0 .. $#cases) {
        my ($method, $path) = @{ $cases[$i] };
        my $text = answer($sockets[$i]);
        my $first = SessT::Response->parse($text, closed => 1, head_request => $method eq 'HEAD');
        my $whole = $method eq 'HEAD' ? $first->{body} eq '' : $first->{body} =~ m{\A<html>.*503 Service.*</html>\r\n\z}s;
        is $first->{code}, 503, "$method $path$over: replaced";
        ok $whole && $first->{complete}, "$method $path$over: by the whole page" or diag substr $text, 0, 1000;
        is scalar($first->set_cookies), 0, "$method $path$over: without cookies";
        like substr($text, $first->{length}), qr/\AHTTP\/1\.1 200 .*\r\n\r\nfree\z/s, "$method $path$over: and the connection goes on";
    }
    recovers("all is well afterwards$over", %how);
    return;
}

sub expect_503_of_upgrades {
    $proxy->fault('hang');
    my $text = answer(connection('held', join "\r\n", "GET @{[up('ws', 'up=1')]} HTTP/1.1", 'Host: localhost', 'Upgrade: echo', 'Connection: Upgrade', '', ''));
    like $text, qr/\AHTTP\/1\.1 503 /, 'an upgrade: 503';
    unlike $text, qr/101 Switching|^Set-Cookie/m, 'and nothing of the upgrade';
    $proxy->fault(LATENCY);
    return;
}

# Where the location says so, the response arrives, with neither a session nor the upstream's cookies.
sub expect_pass {
    $proxy->fault('hang');
    for my $path (@may_fail) {
        my %got = map { $_ => answer(connection($_, request(GET => $path))) } qw(straight held);
        my %is = map { $_ => responses($got{$_}, 'GET') } keys %got;
        ok $is{held} eq $is{straight}, "$path: arrives" or diag first_difference($is{straight}, $is{held});
        is lines_of(qr/^Set-Cookie:/mi, $got{held}), 0, "$path: without cookies";
    }
    $proxy->fault(LATENCY);
    return;
}

# --- the client or nginx leaves ---

my @leave = (up('p', 'text=x'), up('p', 'size=3000000'), up('nb', 'size=3000000'), up('nb', 'size=50000', 'parts=30', 'pause=20'), up('p', 'st=204'), up('p', 'st=404'), up('gz', 'size=200000'),
    up('p', 'rh=X-Accel-Redirect:%20/sf/big.txt'), up('ssi', 'text=<!--%23%20include%20virtual="/late"%20-->'), up('cache', 'size=200000'), up('inter', 'st=404'), up('tmpf', 'size=3000000'));

sub leaving {
    $proxy->fault('delay 150');
    for my $how ({}, { tls => 1 }) {
        for my $pause (0, 0.05, 0.14, 0.3) {
            my @close = map { connection('held', request(GET => $_), %$how) } @leave;
            my @reset = map { connection('held', request(HEAD => $_, keep => 1) . request(GET => $_), %$how) } @leave;
            setsockopt $_, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) for @reset;
            sleep $pause;
            CORE::close $_ for @close, @reset;
        }
    }
    my $ws = connection('held', join "\r\n", "GET @{[up('ws', 'up=1')]} HTTP/1.1", 'Host: localhost', 'Upgrade: echo', 'Connection: Upgrade', '', 'hello');
    sleep 0.05;
    CORE::close $ws;
    my $half = connection('held', request(GET => $leave[0]));
    shutdown $half, 1;
    answer($half);
    recovers('others are served');
    return;
}

# And they leave where the storage never answers.
sub leaving_for_good {
    $proxy->fault('hang');
    my @sockets = map { connection('held', request(GET => $_)) } @leave;
    sleep 0.2;
    CORE::close $_ for @sockets;
    sleep 1;
    recovers('others are served');
    return;
}

sub master { return SessT::Room::slurp(server_root() . '/logs/nginx.pid') =~ /(\d+)/ ? $1 : die 'no pid' }

sub waiting_while {
    my ($signal) = @_;
    $proxy->fault('delay 400');
    my @paths = (up('p', 'text=whole'), up('p', 'size=3000000'), up('nb', 'size=50000', 'parts=30', 'pause=30'), up('p', 'st=404'), up('p', 'st=204'), up('p', 'rh=X-Accel-Redirect:%20/sf/big.txt'));
    my @waiting = map { connection('held', request(GET => $_)) } @paths;
    sleep 0.2;    # until all were read: what nginx has only accepted it may close
    kill $signal => master();
    my @got = map { answer($_) } @waiting;
    $proxy->fault(LATENCY);
    return @got;
}

sub expect_all_of {
    my ($what, @got) = @_;
    is scalar(grep { /^Set-Cookie: proxy-session=/m } @got), 6, "$what: all responses arrive";
    is join(' ', map { my $response = SessT::Response->parse($_, closed => 1); $response->{complete} ? length $response->{body} : 'cut' } @got[0, 1, 2, 5]), '5 3000000 50000 3000000', "$what: and are whole";
    return;
}

# --- large bodies, and time ---

sub worker_memory {
    my ($worker) = split ' ', `ps -o pid= --ppid @{[master()]}`;
    return SessT::Room::slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+) kB/m ? $1 : die 'no VmRSS';
}

# Ten bodies of 10 MB wait for the storage: in the upstream, not in nginx.
sub back_pressure {
    my ($location) = @_;
    answer(connection('held', request(GET => up($location, 'text=warm'))));
    my ($before, $log) = (worker_memory(), server_root() . '/logs/error.log');
    my $said = length SessT::Room::slurp($log);
    $proxy->fault('delay 1000');
    my @sockets = map { connection('held', request(GET => up($location, 'size=10000000'))) } 1 .. 10;
    sleep 0.8;
    cmp_ok worker_memory() - $before, '<', 10_000, "$location: memory while held, in kB";
    unlike substr(SessT::Room::slurp($log), $said), qr/temporary file/, "$location: and no file for it";
    my $body = numbered(10_000_000);
    my @wrong = grep { my $response = SessT::Response->parse(answer($_), closed => 1); $response->{code} ne '200' || $response->{body} ne $body } @sockets;
    is scalar(@wrong), 0, "$location: all arrive, and whole";
    $proxy->fault(LATENCY);
    return;
}

# The seconds until the first byte of the body and until the end.
sub timed {
    my ($path, $cookie) = @_;
    my ($start, $text, $first) = (time, '', undef);
    my $socket = connection('held', request(GET => $path, cookie => $cookie));
    while (IO::Select->new($socket)->can_read($patience)) {
        sysread $socket, $text, 65536, length $text or last;
        $first //= time - $start if $text =~ /\r\n\r\n./s;
    }
    return ($first // 1000, time - $start, $text);
}

sub first_byte {
    my ($location) = @_;
    my $cookie = session();
    $proxy->fault('delay 30');
    my $path = "/$location/?size=80000&parts=4&pause=500&sc=";
    my ($first, $last, $text) = timed($path . 'j=0;%20Path=/', $cookie);
    cmp_ok $first, '<', 0.4, "$location: nothing changed, the first byte is there at once";
    cmp_ok $last, '>', 1.4, "$location: the rest as it comes";
    unlike $text, qr/^Set-Cookie/m, "$location: and nothing was saved";
    ($first, $last, $text) = timed($path . 'j=new;%20Path=/', $cookie);
    cmp_ok $first, '<', 0.9, "$location: changed, it waits for the storage, not for the end";
    cmp_ok $last, '>', 1.4, "$location: the rest as it comes";
    like $text, qr/^Set-Cookie: proxy-session=/m, "$location: and it was saved";
    # A server that cannot store does not matter to who has nothing to store.
    $redis->ask('CONFIG', 'SET', 'maxmemory', '1');
    ($first, $last, $text) = timed($path . 'j=0;%20Path=/', $cookie);
    $redis->ask('CONFIG', 'SET', 'maxmemory', '0');
    like $text, qr/\AHTTP\/1\.1 200 /, "$location: a read-only storage does for it";
    cmp_ok $first, '<', 0.4, "$location: and it does not wait there, either";
    $proxy->fault(LATENCY);
    return;
}

run_tests();
__DATA__

=== proxied in every way
--- init
main::proxied();
main::same_logs();

=== proxied in every way, over TLS
--- init
main::proxied(tls => 1);
main::same_logs();

=== proxied in every way, with a session that changes
--- init
main::proxied(cookie => \&main::session);
main::same_logs();

=== the filters behind
--- init
main::filters();
main::same_logs();

=== the filters behind, over TLS
--- init
main::filters(tls => 1);
main::same_logs();

=== the filters behind, with a session that changes
--- init
main::filters(cookie => \&main::session);
main::same_logs();

=== redirected inside nginx
--- init
main::redirected();
main::same_logs();

=== redirected inside nginx, over TLS
--- init
main::redirected(tls => 1);
main::same_logs();

=== several requests on a connection, and upgrades
--- init
main::connections();
main::connections(tls => 1);
main::same_logs();

=== HTTP/2: many streams on a connection
--- init
main::streams() for 1 .. 3;

=== HTTP/2: heads
--- init
main::heads();

=== the storage fails while responses are held: each is replaced by 503
--- patience: 500ms
--- init
main::expect_503(fault => $_) for 'hang', 'cut 0', 'reset 0', 'refuse';

=== the storage fails while responses are held, over TLS
--- patience: 500ms
--- init
main::expect_503(fault => 'hang', tls => 1);

=== the storage fails while an upgrade is held
--- patience: 500ms
--- init
main::expect_503_of_upgrades();

=== the storage fails, and the location lets pass: the response as it is, without cookies
--- patience: 300ms
--- on_error: pass
--- init
main::expect_pass();

=== clients that leave while their responses are held
--- init
main::leaving();

=== clients that leave while their responses are held by a storage that never answers
--- patience: 500ms
--- init
main::leaving_for_good();

=== a reload while responses are held
--- init
main::expect_all_of('reload', main::waiting_while('HUP'));

=== nginx quits while responses are held
--- check eval
sub { main::expect_all_of('quit', main::waiting_while('QUIT')); 1 }

=== nginx stops at once while responses are held
--- check eval
sub { main::waiting_while('TERM'); 1 }

=== 10 MB wait in the upstream
--- init
main::back_pressure($_) for qw(p nb);

=== J37: the first byte of a stream
--- init
main::first_byte($_) for qw(nb p);
