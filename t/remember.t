# Group R: the remember cookie. The stretching of its key must not keep other requests waiting, whoever leaves meanwhile.
use lib 't/lib';
use SessT 'no_plan';

use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(sleep time);

rig 'B2';
timeout 30;
workers(1);    # the requests beside a stretched key go to the very worker that stretches it

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(config => ($block->config // '') . <<'END');
location = /show  { return 200 "$session_status [$session_data_user] [$session_remember]"; }
location = /read  { session open; session_remember off; return 200 "$session_status [$session_data_user]"; }
location = /plain { session off; return 200 "plain"; }
END
});

sub names { join ' ', sort map { $_->{name} . ($_->{value} eq '' ? '=' : '') } $_[0]->set_cookies }
sub silent { names(@_) eq '' or names(@_) }
sub both   { names(@_) eq 'remember session' or names(@_) }

# Seconds from the response's Date to a cookie's Expires.
sub lifetime {
    my ($res, $name) = @_;
    require HTTP::Date;
    my $cookie = $res->set_cookie($name) // return 'no cookie';
    return 'no Expires' unless $cookie->{attr}{expires};
    return HTTP::Date::str2time($cookie->{attr}{expires}) - HTTP::Date::str2time($res->header('Date'));
}

# Max-Age within a second of what is expected, and Expires with it.
sub lives {
    my ($res, $name, $seconds) = @_;
    my $max_age = $res->set_cookie($name)->{attr}{'max-age'} // return "$name: no Max-Age";
    return "$name: Max-Age=$max_age" if $max_age > $seconds || $max_age < $seconds - 2;
    my $expires = lifetime($res, $name);
    return "$name: Expires is $expires s ahead, Max-Age $max_age" if abs($expires - $max_age) > 2;
    return 1;
}

sub connection {
    my ($bytes) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ENV{TEST_NGINX_SERVER_PORT}) or die "connect: $!";
    print {$socket} $bytes =~ s/\n/\r\n/gr;
    $socket->flush;
    return $socket;
}

sub get {
    my ($path, @cookies) = @_;
    return join '', "GET $path HTTP/1.1\nHost: localhost\nConnection: close\n", (map { "Cookie: $_\n" } @cookies), "\n";
}

sub answer {
    my ($socket) = @_;
    my $text = '';
    while (IO::Select->new($socket)->can_read(10)) { sysread $socket, $text, 65536, length $text or last }
    return $text;
}

sub waits { !IO::Select->new($_[0])->can_read(0) }

# While $request waits for its key, plain requests are answered at once. Returns what the first got.
sub stays_quick {
    my ($what, $request) = @_;
    my $start = time;
    my $slow = connection($request);
    sleep 0.03;
    my @seconds;
    while (waits($slow)) {
        my $asked = time;
        my $plain = answer(connection(get('/plain')));
        my $took = time - $asked;
        push @seconds, $took if waits($slow);
        $plain =~ /plain\z/ or return fail("$what: the plain request gets no answer: $plain");
    }
    my $text = answer($slow);
    @seconds = sort { $a <=> $b } @seconds;
    my $all = time - $start;
    cmp_ok scalar @seconds, '>=', 3, "$what: several plain requests are answered meanwhile";
    # All but the slowest tenth: the machine has other things to do as well.
    my $slowest = $seconds[int 0.9 * $#seconds] // 99;
    cmp_ok $slowest, '<', 0.05, "$what: a plain request takes less than 50 ms" or diag "@seconds, of $all";
    return $text;
}

sub master { SessT::Room::slurp(server_root() . '/logs/nginx.pid') =~ /(\d+)/ ? $1 : die 'no pid' }

run_tests();
__DATA__

=== R1: nothing is remembered by default
--- request
GET /set?u=ann
--- check eval
sub { names(@_) eq 'session' or names(@_) }

=== R2: both cookies, each with its life
--- config
session_remember on;
--- request
GET /set?u=ann
--- check eval
sub {
    my ($res) = @_;
    my $session = $res->set_cookie('session');
    return 'the session has a life' if exists $session->{attr}{expires} || exists $session->{attr}{'max-age'};
    return names($res) if names($res) ne 'remember session';
    return 'one id for both' if substr($session->{value}, 4, 40) eq substr($res->set_cookie('remember')->{value}, 4, 40);
    lives($res, 'remember', 604800);
}

=== R2: the attributes are those of the session cookie
--- tls
--- config
session_remember on;
session_cookie_prefix __Host-;
session_cookie_same_site Strict;
session_cookie_priority High;
session_remember_cookie_name keep;
session_remember_timeout 1h;
--- request
GET /set?u=ann
--- check eval
sub {
    my ($res) = @_;
    my $session = $res->set_cookie('__Host-session')->{line};
    my $remember = $res->set_cookie('__Host-keep')->{line};
    s/^[^;]*// for $session, $remember;
    return "$session / $remember" unless $remember =~ s/; Expires=[^;]*; Max-Age=3600$//;
    return "$session / $remember" if $session ne $remember;
    $session eq '; Path=/; SameSite=Strict; Priority=High; Secure; HttpOnly' or $session;
}

=== R2: the life is the smaller of the rolling and what is left of the absolute limit, at most 400 days
--- config
session_remember on;
location = /rolling  { session_remember_rolling_timeout 10m; session_set a 1; return 204; }
location = /absolute { session_remember_absolute_timeout 5m; session_set a 1; return 204; }
location = /long     { session_remember_rolling_timeout 2y; session_remember_absolute_timeout 2y; session_set a 1; return 204; }
location = /onlyabs  { session_remember_rolling_timeout 0; session_set a 1; return 204; }
location = /onlyroll { session_remember_absolute_timeout 0; session_set a 1; return 204; }
--- request eval
[map { "GET /$_" } qw(rolling absolute long onlyabs onlyroll)]
--- error_code eval
[(204) x 5]
--- check eval
[sub { lives($_[0], 'remember', 600) }, sub { lives($_[0], 'remember', 300) }, sub { lives($_[0], 'remember', 34560000) },
    sub { lives($_[0], 'remember', 2592000) }, sub { lives($_[0], 'remember', 604800) }]

=== a session that is gone is made anew from the remember cookie, with a new id
--- cookie_jar
--- config
session_remember on;
--- request eval
["GET /set?u=ann", "GET /show", "GET /show", "GET /show", "GET /get"]
--- capture eval
[{ first => qr/^Set-Cookie: session=([^;]+)/m, keep => qr/^Set-Cookie: remember=([^;]+)/m }, undef,
    { second => qr/^Set-Cookie: session=([^;]+)/m, keep2 => qr/^Set-Cookie: remember=([^;]+)/m }, undef, undef]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i == 2 || $i == 4 }
--- response_body_like eval
["", qr/\Aopen \[ann\] \[1\]\z/, qr/\Aremembered \[ann\] \[1\]\z/, qr/\Aopen \[ann\] \[1\]\z/, qr/"X-User","ann"/]
--- check eval
[\&both, \&silent, sub {
    return names(@_) if names(@_) ne 'remember session';
    return 'the same session' if captured('first') eq captured('second');
    return 'the same remember cookie' if captured('keep') eq captured('keep2');
    lives($_[0], 'remember', 604800);
}, \&silent, \&both]

=== a refused or expired session is made anew as well, and not cleared
--- cookie_jar
--- config
session_remember on;
location = /short { session_idling_timeout 1s; session_touch_threshold 0; return 200 "$session_status [$session_data_user]"; }
--- request eval
["GET /set?u=ann", "GET /show", "GET /short"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{session} = 'made-up' if $i == 1 }
--- sleep_before eval
[0, 0, 2.1]
--- response_body_like eval
["", qr/\Aremembered \[ann\]/, qr/\Aremembered \[ann\]/]
--- check eval
\&both

=== a good session without the audience is not replaced by what is remembered
--- cookie_jar
--- config
session_remember on;
location = /b { session_audience b; return 200 "$session_status [$session_data_user]"; }
--- request eval
["GET /set?u=ann", "GET /b"]
--- response_body_like eval
["", qr/\Ano-audience \[\]/]
--- check eval
[\&both, \&silent]

=== the remember cookie holds all audiences
--- cookie_jar
--- config
session_remember on;
location = /a { session_audience a; session_set user ann; return 204; }
location = /b { session_audience b; session_set user bob; return 204; }
location = /show/a { session_audience a; return 200 "$session_status [$session_data_user]"; }
location = /show/b { session_audience b; return 200 "$session_status [$session_data_user]"; }
location = /show/c { session_audience c; return 200 "$session_status [$session_data_user]"; }
--- request eval
["GET /a", "GET /b", "GET /show/a", "GET /show/b", "GET /show/c"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i == 2 || $i == 4 }
--- error_code eval
[204, 204, 200, 200, 200]
--- response_body_like eval
["", "", qr/\Aremembered \[ann\]/, qr/\Aopen \[bob\]/, qr/\Ano-audience \[\]/]

=== R4: a bad remember cookie is no session, and is expired
--- config
session_remember on;
location = /pass { session_cookie_clear_invalid off; return 200 "$session_status"; }
--- request eval
["GET /show", "GET /show", "GET /pass", "GET /set?u=ann"]
--- more_headers eval
["Cookie: remember=made-up", "Cookie: session=made-up; remember=made-up", "Cookie: remember=made-up", "Cookie: remember=made-up"]
--- response_body_like eval
[qr/\Amissing \[\]/, qr/\Abad-format \[\]/, qr/\Amissing/, ""]
--- check eval
[sub { names(@_) eq 'remember=' or names(@_) }, sub { names(@_) eq 'remember= session=' or names(@_) }, \&silent, \&both]

=== where nothing is remembered the cookie of that name is the application's
--- config
session_hide on;
--- request eval
["GET /show", "GET /set?u=ann", "GET /out"]
--- more_headers
Cookie: remember=me
--- error_code eval
[200, 200, 204]
--- response_body_like eval
[qr/\Amissing/, "", ""]
--- check eval
[\&silent, sub { names(@_) eq 'session' or names(@_) }, \&silent]

=== R5: whoever does not want to be remembered is not, whatever another location says
--- cookie_jar
--- config
location = /ask { session_remember $arg_r; session_set user $arg_u; return 204; }
location = /on  { session_remember on; session_set user $arg_u; return 200 "$session_remember"; }
--- request eval
["GET /ask?r=off&u=1", "GET /on?u=2", "GET /ask?r=0&u=3", "GET /on?u=4", "GET /ask?u=5", "GET /ask?r=yes&u=6", "GET /on?u=7", "GET /ask?u=8",
    "GET /ask?r=off&u=9", "GET /on?u=10"]
--- error_code eval
[204, 200, 204, 200, 204, 204, 200, 204, 204, 200]
--- check eval
my $session = sub { names(@_) eq 'session' or names(@_) };
[$session, $session, $session, $session, $session, \&both, \&both, \&both, sub { names(@_) eq 'remember= session' or names(@_) }, $session]

=== R5: a new session without an answer is not remembered, and an answer without a change is not asked
--- cookie_jar
--- config
location = /ask { session_remember $arg_r; session_set user $arg_u; return 204; }
--- request eval
["GET /ask?u=1", "GET /ask?u=1&r=yes", "GET /ask?u=2", "GET /ask?u=3&r=1"]
--- error_code eval
[(204) x 4]
--- check eval
[(sub { names(@_) eq 'session' or names(@_) }), \&silent, (sub { names(@_) eq 'session' or names(@_) }), \&both]

=== R6: the absolute limit counts from the login, renewals included; the rolling limit from when the cookie was set
--- config
session_remember on;
location = /absolute { session_remember_absolute_timeout 4s; session_set user ann if=$arg_in; return 200 "$session_status [$session_data_user]"; }
location = /rolling  { session_remember_rolling_timeout 4s; session_set user ann if=$arg_in; return 200 "$session_status [$session_data_user]"; }
--- request eval
["GET /absolute?in=1", "GET /rolling?in=1", "GET /absolute", "GET /rolling", "GET /absolute", "GET /rolling", "GET /rolling"]
--- sleep_before eval
[0, 0, 2.6, 0, 2.6, 0, 0]
--- capture eval
my $remember = sub { +{ $_[0] => qr/^Set-Cookie: (remember=[^;]+)/m } };
[$remember->('a1'), $remember->('r1'), $remember->('a2'), $remember->('r2'), (undef) x 3]
--- more_headers eval
["", "", map { "Cookie: \$CAPTURED_$_" } qw(a1 r1 a2 r2 r1)]
--- response_body eval
[("missing []") x 2, ("remembered [ann]") x 2, "missing []", "remembered [ann]", "missing []"]
--- check eval
[(sub { lives($_[0], 'remember', 4) }) x 2, sub { lives($_[0], 'remember', 2) }, sub { lives($_[0], 'remember', 4) },
    sub { names(@_) eq 'remember=' or names(@_) }, \&both, sub { names(@_) eq 'remember=' or names(@_) }]

=== destroy and the last logout end what is remembered
--- cookie_jar
--- config
session_remember on;
location = /logout { session logout; return 204; }
location = /other  { session_audience b; session_set b 1; return 204; }
location = /up     { session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /set?u=ann", "GET /out", "GET /show", "GET /set?u=ann", "GET /logout", "GET /show", "GET /set?u=ann", "GET /up", "GET /show",
    "GET /set?u=ann", "GET /other", "GET /logout", "GET /show"]
--- error_code eval
[200, 204, 200, 200, 204, 200, 200, 200, 200, 200, 204, 204, 200]
--- check eval
my $ended = sub { names(@_) eq 'remember= session=' or names(@_) };
[\&both, $ended, \&silent, \&both, $ended, \&silent, \&both, $ended, \&silent, \&both, \&both, \&both, \&silent]

=== destroy ends somebody who is only remembered, also where remembering is off
--- cookie_jar
--- config
location = /in  { session_remember on; session_set user ann; return 204; }
location = /bye { session_remember off; session destroy; return 204; }
--- request eval
["GET /in", "GET /out", "GET /in", "GET /bye"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i == 1 }
--- error_code eval
[(204) x 4]
--- check eval
[\&both, sub { names(@_) =~ /remember=/ or names(@_) }, \&both, sub { names(@_) eq 'remember= session=' or names(@_) }]

=== open remembers too, off does not
--- cookie_jar
--- config
session_remember on;
location = /open { session open; return 200 "$session_status [$session_data_user]"; }
location = /off  { session off; return 200 "$session_status [$session_data_user]"; }
--- request eval
["GET /set?u=ann", "GET /off", "GET /read", "GET /open", "GET /open"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i < 4 }
--- response_body_like eval
["", qr/\Aoff \[\]/, qr/\Amissing \[\]/, qr/\Aremembered \[ann\]/, qr/\Aopen \[ann\]/]
--- check eval
[\&both, \&silent, \&silent, \&both, \&silent]

=== a renewal renews what is remembered, a touch does not
--- cookie_jar
--- config
session_remember on;
location = /touch { session_touch_threshold 0; return 204; }
location = /renew { session_renew_after 1s; return 204; }
--- request eval
["GET /set?u=ann", "GET /touch", "GET /renew"]
--- sleep_before eval
[0, 1.1, 1]
--- error_code eval
[200, 204, 204]
--- check eval
[\&both, sub { names(@_) eq 'session' or names(@_) }, sub { names(@_) eq 'remember session' ? lives($_[0], 'remember', 604800) : names(@_) }]

=== somebody remembered under an old key is under the new one after that
--- cookie_jar
--- config
session_remember on;
session_secret old;
--- request eval
["GET /set?u=ann", "GET /show", "GET /show", "GET /show"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i }
--- reload eval
my $rest = "session_remember on;\nlocation = /show { return 200 \"\$session_status [\$session_data_user]\"; }\n";
[undef, "session_secret new; session_secret_fallbacks old; $rest", "session_secret new; $rest", "session_secret newer; $rest"]
--- response_body_like eval
["", qr/\Aremembered \[ann\]/, qr/\Aremembered \[ann\]/, qr/\Amissing \[\]/]

=== R8: each safety opens what it made, and no other
--- cookie_jar
--- config
session_remember on;
location = /in/none   { session_remember_safety None; session_set user n; return 204; }
location = /in/low    { session_remember_safety Low; session_set user l; return 204; }
location = /in/medium { session_remember_safety Medium; session_set user m; return 204; }
location = /in/high   { session_remember_safety High; session_set user h; return 204; }
location = /in/very   { session_remember_safety "Very High"; session_set user v; return 204; }
location = /at/none   { session_remember_safety None; return 200 "$session_status [$session_data_user]"; }
location = /at/low    { session_remember_safety Low; return 200 "$session_status [$session_data_user]"; }
location = /at/medium { session_remember_safety Medium; return 200 "$session_status [$session_data_user]"; }
location = /at/high   { session_remember_safety High; return 200 "$session_status [$session_data_user]"; }
location = /at/very   { session_remember_safety "Very High"; return 200 "$session_status [$session_data_user]"; }
--- timeout: 20
--- request eval
our @levels = qw(none low medium high very);
[map { my $in = $_; ("GET /in/$in", (map { "GET /at/$_" } grep { $_ ne $in && ($_ ne 'very' || $in eq 'none') } @levels), "GET /at/$in") } @levels]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session}; $main::made = $cookies->{remember} if $cookies->{remember}; $cookies->{remember} = $main::made if $main::made }
--- error_code eval
our @levels;
[map { my $in = $_; (204, (map { 200 } grep { $_ ne $in && ($_ ne 'very' || $in eq 'none') } @levels), 200) } @levels]
--- response_body_like eval
our @levels;
[map { my $in = $_; ("", (map { qr/\Amissing \[\]\z/ } grep { $_ ne $in && ($_ ne 'very' || $in eq 'none') } @levels), qr/\Aremembered \[@{[substr $in, 0, 1]}\]\z/) } @levels]

=== R8: the worker goes on while a Very High key is stretched
--- config
session_remember on;
session_remember_safety "Very High";
location = /in/proxy  { session_set user ann; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /in/return { session_set user ann; return 200 "hello"; }
--- init
my $proxied = stays_quick('saved before the content', get('/in/proxy'));
like $proxied, qr/^Set-Cookie: remember=[\w-]+/m, 'saved before the content: remembered';
like $proxied, qr/"\/in\/proxy"/, 'saved before the content: the whole answer';
my $returned = stays_quick('saved behind the content', get('/in/return'));
like $returned, qr/^Set-Cookie: remember=[\w-]+/m, 'saved behind the content: remembered';
like $returned, qr/hello\z/, 'saved behind the content: the whole answer';
my ($cookie) = $returned =~ /^Set-Cookie: (remember=[^;]+)/m;
my $opened = stays_quick('opened', get('/show', $cookie));
like $opened, qr/remembered \[ann\] \[1\]\z/, 'opened: the session';
--- request
GET /plain

=== R8: several keys at the same time
--- config
session_remember on;
session_remember_safety High;
location = /in/proxy  { session_set user $arg_u; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /in/return { session_set user $arg_u; return 200 "$arg_u"; }
--- parallel
--- timeout: 15
--- request eval
[map { $_ % 2 ? "GET /in/proxy?u=$_" : "GET /in/return?u=$_" } 1 .. 12]
--- check eval
[map { my $u = $_; sub { names($_[0]) eq 'remember session' && $_[0]{body} =~ /u=$u"|\A$u\z/ or $_[0]{head} } } 1 .. 12]

=== R8: on HTTP/2, TLS and with a body
--- http2
--- tls eval
[1, 0]
--- config
session_remember on;
session_remember_safety High;
location = /in/proxy  { session_set user ann; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[("POST /in/proxy\n" . 'b' x 50000) x 2]
--- check eval
\&both
--- upstream_json eval
sub { length $_[0]{body} == 50000 or 'the body' }

=== R8: a body that comes while the key is stretched
--- config
session_remember on;
session_remember_safety High;
location = /in/proxy  { session_set user ann; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- raw_request eval
["POST /in/proxy HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 30\r\n\r\n", "0123456789", "0123456789", "0123456789"]
--- raw_request_middle_delay: 0.02
--- upstream_json eval
sub { $_[0]->{body} eq '0123456789' x 3 or $_[0]->{body} }
--- check eval
\&both

=== R8: a body that comes behind the content
--- config
session_remember on;
session_remember_safety High;
location = /in/proxy  { session_set user ann; return 200 "x"; }
--- raw_request eval
["POST /in/proxy HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 30\r\n\r\n", "0123456789", "0123456789", "0123456789"]
--- raw_request_middle_delay: 0.02
--- check eval
\&both

=== R8: clients that leave while their keys are stretched, and others who need not wait for them
--- config
session_remember on;
session_remember_safety "Very High";
location = /in/proxy  { session_set user ann; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /in/return { session_set user ann; return 200 "hello"; }
--- init
my $start = time;
my ($cookie) = answer(connection(get('/in/return'))) =~ /^Set-Cookie: (remember=[^;]+)/m;
$main::alone = time - $start;
for my $request ((get('/in/proxy')) x 6, get('/in/return'), get('/show', $cookie), "HEAD /in/return HTTP/1.0\n\n",
    "POST /in/proxy HTTP/1.1\nHost: x\nContent-Length: 100\n\nhalf") {
    my $socket = connection($request);
    sleep 0.05;
    close $socket;
    my $reset = connection($request);
    setsockopt $reset, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
    sleep 0.02;
    close $reset;
}
--- request eval
["GET /plain", "GET /set?u=ann"]
--- check eval
[undef, sub { $_[0]{seconds} < 5 * $main::alone + 1 or "$_[0]{seconds} s, alone $main::alone s" }]

=== R8: a reload while a key is stretched: the response arrives
--- config
session_remember on;
session_remember_safety "Very High";
location = /in/proxy  { session_set user ann; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /in/return { session_set user ann; return 200 "hello"; }
--- init
my ($cookie) = answer(connection(get('/in/return'))) =~ /^Set-Cookie: (remember=[^;]+)/m;
my @waiting = map { connection($_) } get('/in/proxy'), get('/in/return'), get('/show', $cookie);
sleep 0.1;
kill HUP => master();
like answer($waiting[0]), qr/^Set-Cookie: remember=.*"\/in\/proxy"/ms, 'reload: before the content';
like answer($waiting[1]), qr/^Set-Cookie: remember=.*hello\z/ms,         'reload: behind the content';
like answer($waiting[2]), qr/^Set-Cookie: remember=.*remembered \[ann\] \[1\]\z/ms, 'reload: opened';
--- request
GET /plain

=== R8: nginx is asked to quit while a key is stretched: the response arrives
--- config
session_remember on;
session_remember_safety "Very High";
location = /in/proxy  { session_set user ann; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /in/return { session_set user ann; return 200 "hello"; }
--- request
GET /in/return
--- check eval
sub {
    my ($res) = @_;
    my ($cookie) = $res->{head} =~ /^Set-Cookie: (remember=[^;]+)/m or return 'no cookie';
    my @waiting = map { connection($_) } get('/in/proxy'), get('/in/return'), get('/show', $cookie);
    sleep 0.1;
    kill QUIT => master();
    like answer($waiting[0]), qr/^Set-Cookie: remember=.*"\/in\/proxy"/ms, 'quit: before the content';
    like answer($waiting[1]), qr/^Set-Cookie: remember=.*hello\z/ms,         'quit: behind the content';
    like answer($waiting[2]), qr/^Set-Cookie: remember=.*remembered \[ann\] \[1\]\z/ms, 'quit: opened';
    1;
}

=== R8: nginx is told to stop at once while a key is stretched
--- config
session_remember on;
session_remember_safety "Very High";
location = /in/proxy  { session_set user ann; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /in/return { session_set user ann; return 200 "hello"; }
--- request
GET /plain
--- check eval
sub {
    my @waiting = map { connection($_) } get('/in/proxy'), get('/in/return');
    sleep 0.1;
    kill TERM => master();
    answer($_) for @waiting;
    1;
}
