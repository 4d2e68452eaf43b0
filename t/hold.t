# A response that is held back while a remember key is stretched arrives as if it had not been held: byte for byte, but for
# the date and the tokens. Two servers with the same locations: the key of one is stretched on another thread (Medium, and
# High where it must take its time), that of the other is there at once (None).
use lib 't/lib';
use SessT 'no_plan';

use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(sleep time);

use SessT::Response;

require './t/asking.pl';
rig 'none';
timeout 10;
our $patience = $ENV{TEST_NGINX_USE_VALGRIND} ? 100 : 10;
own_sections 'slow';    # the block wants keys that take long

my %port = map { $_ => SessT::Room::expand("\$TEST_NGINX_RAND_PORT_$_") } 1 .. 6;
my %plain_port = (held => $port{1}, straight => $port{2});
my %tls_port   = (held => $port{3}, straight => $port{4});
my %h2_port    = (held => $port{5}, straight => $port{6});

# The locations of both servers. The text of /big is 2^18 times 8 bytes.
my $locations = <<'END';
set $big xxxxxxx.;
location = /in      { session_set user ann; return 204; }
location = /in/a    { session_audience a; session_set x 1; return 204; }
location = /in/b    { session_audience b; session_set y 2; return 204; }
location = /out/b   { session_audience b; session logout; return 200 "bye"; }
location = /out/b/e { session_audience b; session logout; return 403; }
location = /free    { session off; return 200 "free"; }

location = /200     { session_set user ann; return 200 "some text"; }
location = /empty   { session_set user ann; return 200 ""; }
location = /204     { session_set user ann; return 204; }
location = /301     { session_set user ann; return 301 /there; }
location = /302     { session_set user ann; return 302 http://example.org/; }
location = /304     { session_set user ann; return 304; }
location = /308     { session_set user ann; return 308 /there; }
location = /404     { session_set user ann; return 404; }
location = /418     { session_set user ann; return 418 "teapot"; }
location = /500     { session_set user ann; return 500; }
location = /444     { session_set user ann; return 444; }
location = /redir   { session_set user ann; rewrite ^ /there redirect; }
location = /last    { session_set user ann; rewrite ^ /200 last; }
location = /if      { session_set user ann; if ($arg_x) { return 200 "x is $arg_x"; } return 404; }
location = /headers { session_set user ann; add_header X-A a; add_header X-Id "[$session_status]"; expires 1h; return 200 "text"; }
location = /type    { session_set user ann; default_type application/json; return 200 '{"a":1}'; }
location = /gzip    { session_set user ann; gzip on; gzip_types text/plain; gzip_min_length 1; return 200 "$big$big$big$big$big$big$big$big"; }
location = /gzbig   { session_set user ann; gzip on; gzip_types text/plain; set $b $big$big$big$big$big$big$big$big; set $c $b$b$b$b$b$b$b$b; return 200 $c$c$c$c$c$c$c$c; }
location = /ssi     { session_set user ann; ssi on; ssi_types text/plain; return 200 'a <!--# include virtual="/free" --> b <!--# echo var="arg_x" --> c'; }
location = /sub     { session_set user ann; sub_filter text word; sub_filter_types *; return 200 "text and text"; }
location = /add     { session_set user ann; addition_types *; add_before_body /free; add_after_body /free; return 200 "[between]"; }
location = /nochunk { session_set user ann; chunked_transfer_encoding off; ssi on; ssi_types *; return 200 'a <!--# echo var="arg_x" --> c'; }
location = /nokeep  { session_set user ann; keepalive_timeout 0; return 200 "no more"; }
location = /timeout { session_set user ann; send_timeout 10ms; session_remember_safety %SLOW%; return 200 "in time"; }
location = /rate    { session_set user ann; limit_rate 20k; return 200 "text"; }
location = /large   { session_set user ann; set $b $big$big$big$big$big$big$big$big; set $c $b$b$b$b$b$b$b$b; set $d $c$c$c$c$c$c$c$c; set $e $d$d$d$d$d$d$d$d;
                      set $f $e$e$e$e$e$e$e$e; return 200 $f$f$f$f$f$f$f$f; }
location = /err/404 { session_set user ann; error_page 404 /404.txt; return 404; }
location = /err/=   { session_set user ann; error_page 404 =200 /404.txt; return 404; }
location = /err/ret { session_set user ann; error_page 404 = /200; return 404; }
location = /err/up  { session_set user ann; error_page 404 = /up; return 404; }
location = /err/nam { session_set user ann; error_page 404 = @named; return 404; }
location = /err/url { session_set user ann; error_page 404 =302 http://example.org/; return 404; }
location @named     { session_set user bob; return 200 "named"; }
location = /up      { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?text=up; }
location = /inter   { session_set user ann; proxy_intercept_errors on; error_page 404 = @named; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=404; }
location = /interre { proxy_intercept_errors on; error_page 404 = /200; proxy_pass "http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=404&rh=X-Up:%201"; }
location = /accel   { session off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=X-Accel-Redirect:%20/200&sc=a=1; }
location = /accel2  { session_set user eve; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=X-Accel-Redirect:%20@named&sc=a=1; }
location = /asked   { auth_request /.no; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /.no     { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=403; }
location = /proxy   { session_set user ann; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?text=proxied; }
location = /file    { session_set user ann; alias $TEST_NGINX_HTML_DIR/404.txt; }
location = /deny    { deny all; }
location = /deny/p  { deny all; error_page 403 /404.txt; }
location = /deny/n  { deny all; error_page 403 = @named; }
location = /deny/r  { deny all; error_page 403 = /there; }
location = /there   { return 200 "there"; }
location = /basic   { auth_basic x; auth_basic_user_file $TEST_NGINX_HTML_DIR/404.txt; }
location = /need    { session_require $session_data_none error=403; }
location = /404.txt { root $TEST_NGINX_HTML_DIR; }
END

add_block_preprocessor(sub {
    my ($block) = @_;
    my $servers = '';
    for my $server (qw(held straight)) {
        my $slow = $server eq 'held' ? 'High' : 'None';
        my $safety = $server eq 'held' && !defined $block->slow ? 'Medium' : $slow;
        my $there = $locations =~ s/%SLOW%/$slow/gr;
        $servers .= <<"END";
server {
    listen 127.0.0.1:$plain_port{$server};
    listen 127.0.0.1:$tls_port{$server} ssl;
    listen 127.0.0.1:$h2_port{$server} ssl http2;
    server_name localhost;
    session_remember_safety $safety;
    access_log logs/$server.log lines;
    port_in_redirect off;
    absolute_redirect off;
$there
}
END
    }
    $block->set_value(http_config => <<"END");
log_format lines '\$request|\$status|\$body_bytes_sent|\$bytes_sent|\$sent_http_content_type|\$request_completion';
session start;
session_secret test-secret;
session_remember on;
ssl_certificate \$TEST_NGINX_CERT;
ssl_certificate_key \$TEST_NGINX_CERT_KEY;
large_client_header_buffers 4 32k;
$servers
END
    $block->set_value(config => "location = /plain { return 200 plain; }\n");
    $block->set_value(request => 'GET /plain') unless defined $block->request;
    $block->set_value(user_files => ">>> 404.txt\nthe page\n");
});

# --- talking ---

sub connection {
    my ($server, $bytes, %how) = @_;
    return send_bytes($how{tls} ? $tls_port{$server} : $plain_port{$server}, $bytes, %how);
}

# The cookies a server's responses have set in the order of the paths.
sub cookies_of {
    my ($server, @paths) = @_;
    my %cookie;
    for my $path (@paths) {
        my $line = join '; ', map { "$_=$cookie{$_}" } sort keys %cookie;
        my $text = answer(connection($server, request(GET => $path, cookie => $line)));
        $cookie{$1} = $2 while $text =~ /^Set-Cookie: (\w+)=([^;]+)/mg;
    }
    return \%cookie;
}

# --- comparing ---

# What may differ: the date, and what is random.
sub even {
    my ($text) = @_;
    $text =~ s/^(Date: )[^\r]*/$1/mgi;
    $text =~ s/\b(session2?|remember2?)=([\w-]{100,})/"$1=" . 'x' x length $2/ge;
    $text =~ s/(Expires=)\w\w\w, \d\d \w\w\w 20[^;]*/$1/g;
    $text =~ s/^(Expires: )[^\r]*/$1/mgi;
    return $text;
}

# The responses of a stream: heads as they are, bodies without their chunks.
sub responses {
    my ($bytes, @methods) = @_;
    my @responses;
    for my $method (@methods) {
        last unless length $bytes;
        my $response = SessT::Response->parse($bytes, closed => 1, head_request => $method eq 'HEAD');
        push @responses, join "\n", map({ "interim $_" } @{ $response->{interim} }), $response->{head}, $response->{body},
            $response->{complete} ? 'complete' : 'cut';
        substr $bytes, 0, $response->{length}, '';
    }
    return even(join "\n----\n", @responses, length $bytes ? "left: $bytes" : ());
}

# Both servers get the same; the held one three times at once, to have requests wait for each other.
sub same {
    my ($name, $requests, %how) = @_;
    my @methods = map { $_->[0] } @$requests;
    my %got;
    for my $server (qw(straight held)) {
        my $bytes = join '', map { my ($method, $path, %with) = @$_; $with{cookie} = $with{cookie}->($server) if ref $with{cookie}; request($method, $path, %with) } @$requests;
        $bytes = $how{raw} if defined $how{raw};
        my @sockets = map { connection($server, $bytes, %how) } 1 .. ($server eq 'held' ? 3 : 1);
        sleep $how{pause} if $how{pause};
        $got{$server} = [map { responses(answer($_), @methods) } @sockets];
    }
    my ($expected) = @{ $got{straight} };
    my @wrong = grep { $_ ne $expected } @{ $got{held} };
    ok !@wrong, $name or diag substr("straight:\n$expected\nheld:\n$wrong[0]", 0, 4000);
    my $remembered = () = $expected =~ /^Set-Cookie: remember=x/mg;
    my $due = $how{held} // 1;
    is $remembered, $due, "$name: $due of the responses had to wait";
}

# Remember cookies of either server; each is good as often as wanted.
my (%one, %two);
sub prepare {
    for my $server (qw(held straight)) {
        $one{$server} = 'remember=' . cookies_of($server, '/in')->{remember};
        my $cookie = cookies_of($server, '/in/a', '/in/b');
        $two{$server} = join '; ', map { "$_=$cookie->{$_}" } qw(session remember);
    }
}
sub remembered { $one{ $_[0] } }
sub in_both    { $two{ $_[0] } }

sub master { SessT::Room::slurp(server_root() . '/logs/nginx.pid') =~ /(\d+)/ ? $1 : die 'no pid' }

my @answers = qw(/200 /empty /204 /301 /302 /304 /308 /404 /418 /500 /redir /last /if?x=1 /if /headers /type /sub /timeout /rate /nokeep
    /err/ret /err/nam /err/url /inter /interre /accel /accel2 /proxy /file);

sub answers {
    my (%how) = @_;
    my $over = $how{tls} ? ' over TLS' : '';
    same("$_$over", [[GET => $_]], %how) for @answers;
    same("HEAD $_$over", [[HEAD => $_]], %how) for @answers;
    same("HTTP/1.0 $_$over", [[GET => $_, version => '1.0']], %how) for qw(/200 /204 /404 /ssi?x=1 /large /gzip);
    same("$_, where nothing is stored$over", [[GET => $_]], %how, held => 0) for qw(/err/404 /err/= /err/up /there);
    same("$_ refused$over", [[GET => $_, cookie => \&remembered]], %how) for qw(/deny /basic /need /asked /deny/p /deny/n /deny/r);
    same("HEAD $_ refused$over", [[HEAD => $_, cookie => \&remembered]], %how) for qw(/deny /basic /deny/p);
    same("$_: one of two audiences$over", [[GET => $_, cookie => \&in_both]], %how) for qw(/out/b /out/b/e);
    same("$_ remembered$over", [[GET => $_, cookie => \&remembered]], %how) for qw(/there /404.txt);
}

sub bodies {
    my (%how) = @_;
    my $over = $how{tls} ? ' over TLS' : '';
    my @gzip = (headers => ['Accept-Encoding: gzip']);
    same("gzip$over", [[GET => '/gzip', @gzip]], %how);
    same("gzip, longer$over", [[GET => '/gzbig', @gzip]], %how);
    same("gzip, HEAD$over", [[HEAD => '/gzip', @gzip]], %how);
    same("gzip, not wanted$over", [[GET => '/gzip']], %how);
    same("SSI$over", [[GET => '/ssi?x=1']], %how);
    same("SSI, HEAD$over", [[HEAD => '/ssi?x=1']], %how);
    same("addition$over", [[GET => '/add']], %how);
    same("no chunks$over", [[GET => '/nochunk?x=1']], %how);
    same("large$over", [[GET => '/large']], %how);
    same("large, a slow reader$over", [[GET => '/large']], %how, pause => 0.5);
    same("range$over", [[GET => '/200', headers => ['Range: bytes=2-4']]], %how);
    same("range of a file$over", [[GET => '/file', headers => ['Range: bytes=2-4']]], %how);
    same("no such range$over", [[GET => '/file', headers => ['Range: bytes=100-']]], %how);
    same("not modified$over", [[GET => '/200', headers => ['If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT', 'If-None-Match: *']]], %how);
    same("POST$over", [[POST => '/200', body => 'b' x 300_000]], %how);
    same("POST, expecting$over", [[POST => '/200', body => 'b' x 30_000, headers => ['Expect: 100-continue']]], %how);
    same("POST in chunks$over", [[POST => '/200']], %how, raw => "POST /200 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
}

sub connections {
    my (%how) = @_;
    my $over = $how{tls} ? ' over TLS' : '';
    my @mixed = ([GET => '/200', keep => 1], [GET => '/free', keep => 1], [HEAD => '/404', keep => 1], [GET => '/204', keep => 1],
        [POST => '/418', keep => 1, body => 'b' x 5000], [GET => '/proxy', keep => 1], [GET => '/large', keep => 1], [GET => '/ssi?x=2', keep => 1], [GET => '/302']);
    same("pipelined$over", \@mixed, %how, held => 8);
    same("pipelined, the last not held$over", [[GET => '/404', keep => 1], [GET => '/free']], %how, held => 1);
    same("HTTP/1.0 keepalive$over", [[GET => '/200', version => '1.0', headers => ['Connection: keep-alive']], [GET => '/204', version => '1.0']], %how, held => 2);
    same("closed by nginx without a word$over", [[GET => '/444']], %how, held => 0);
}

# The same paths on one HTTP/2 connection, all at once.
sub streams {
    my @paths = qw(/200 /empty /204 /302 /404 /headers /gzip /ssi?x=1 /large /proxy /err/404 /err/ret /free /out/b /deny);
    my %got;
    for my $server (qw(held straight)) {
        my $urls = join ' ', map { "-o '" . html_dir() . "/$server.$_' 'https://127.0.0.1:$h2_port{$server}$paths[$_]'" } 0 .. $#paths;
        my $codes = `curl --silent --no-progress-meter --insecure --http2 --parallel --max-time $patience --write-out '%{url_effective} %{http_code} %{size_download}\\n' $urls`;
        $codes =~ s{^https://[^/]*}{}mg;
        $got{$server} = join "\n", sort split /\n/, $codes;
        $got{$server} .= "\n" . join "\n", map { SessT::Room::slurp(html_dir() . "/$server.$_") // '' } 0 .. $#paths;
    }
    is $got{held}, $got{straight}, 'status, size and body of each stream';
    like $got{held}, qr{^/large 200 2097152$}m, 'all of a large one';
}

# What the access logs say of the two servers: the same lines.
sub same_logs {
    my %lines;
    for my $server (qw(held straight)) {
        my %seen = map { $_ => 1 } grep { !m{^GET /in} } split /\n/, SessT::Room::slurp(server_root() . "/logs/$server.log");
        $lines{$server} = join "\n", sort keys %seen;
    }
    is $lines{held}, $lines{straight}, 'the access logs agree';
}

run_tests();
__DATA__

=== every way to answer
--- init
prepare();
answers();
same_logs();

=== every way to answer, over TLS
--- init
prepare();
answers(tls => 1);
same_logs();

=== bodies and the filters behind
--- init
prepare();
bodies();
same_logs();

=== bodies and the filters behind, over TLS
--- init
bodies(tls => 1);

=== several requests on a connection
--- init
connections();
connections(tls => 1);
same_logs();

=== HTTP/0.9
--- init
my %got = map { $_ => answer(connection($_, "GET /200\r\n")) } qw(held straight);
is $got{held}, $got{straight}, 'HTTP/0.9';
is $got{held}, 'some text', 'HTTP/0.9: the body';

=== HTTP/2: many streams on a connection
--- init
streams();

=== HTTP/2: heads, one after another
--- http2
--- tls
--- port eval
[map { ('$TEST_NGINX_RAND_PORT_6', '$TEST_NGINX_RAND_PORT_5') } 1 .. 8]
--- request eval
[map { ($_) x 2 } "GET /200", "HEAD /200", "GET /204", "GET /404", "GET /302", "POST /proxy\nbody", "GET /err/ret", "HEAD /404"]
--- error_code eval
[map { ($_) x 2 } 200, 200, 204, 404, 302, 200, 200, 404]
--- check eval
sub {
    my ($res, $i) = @_;
    my $is = even("$res->{head}\n$res->{body}");
    return 'not remembered' unless $is =~ /^set-cookie: remember=x/mi;
    if ($i % 2 == 0) { $main::straight = $is; return 1 }
    $is eq $main::straight or "straight: $main::straight held: $is";
}

=== clients that leave while their responses are held
--- slow
--- init
prepare();
for my $how ({}, { tls => 1 }) {
    for my $path ('/200', '/204', '/large', '/gzbig', '/ssi?x=1', '/404', '/deny') {
        for my $pause (0, 0.03) {
            my $close = connection('held', request(GET => $path, cookie => remembered('held')), %$how);
            my $reset = connection('held', request(HEAD => $path, cookie => in_both('held')), %$how);
            setsockopt $reset, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
            sleep $pause;
            CORE::close $_ for $close, $reset;
        }
    }
}
# half closed: the client has no more to say, and nginx says no more to it
my $half = connection('held', request(GET => '/200'));
shutdown $half, 1;
answer($half);
like answer(connection('held', request(GET => '/200'))), qr/some text\z/, 'others are served';

=== pipelined requests of a client that leaves
--- slow
--- init
for (1 .. 5) {
    my $socket = connection('held', join '', map { request(GET => $_, keep => 1) } qw(/200 /404 /free /large /204));
    sleep 0.03 * $_;
    CORE::close $socket;
}
like answer(connection('held', request(GET => '/200'))), qr/some text\z/, 'others are served';

=== a reload while responses are held
--- slow
--- init
for my $tls (0, 1) {
    my @waiting = map { connection('held', request(GET => $_), tls => $tls) } qw(/200 /large /ssi?x=1 /404 /204) x 2;
    sleep 0.1;    # until all were read: what nginx has only accepted it may close
    kill HUP => master();
    my @got = map { answer($_) } @waiting;
    is scalar(grep { /^Set-Cookie: remember=/m } @got), 10, 'reload: all responses arrive';
    is length($got[1] =~ s/.*?\r\n\r\n//sr), 2**21, 'reload: and are whole';
}

=== nginx quits while responses are held
--- slow
--- check eval
sub {
    my @waiting = map { connection('held', request(GET => $_)) } qw(/200 /large /ssi?x=1 /404 /204) x 2;
    sleep 0.1;
    kill QUIT => master();
    my @got = map { answer($_) } @waiting;
    is scalar(grep { /^Set-Cookie: remember=/m } @got), 10, 'quit: all responses arrive';
    is length($got[1] =~ s/.*?\r\n\r\n//sr), 2**21, 'quit: and are whole';
    1;
}

=== nginx stops at once while responses are held
--- slow
--- check eval
sub {
    my @waiting = map { connection('held', request(GET => $_)) } qw(/200 /large /ssi?x=1 /404 /204) x 2;
    sleep 0.02;
    kill TERM => master();
    answer($_) for @waiting;
    1;
}
