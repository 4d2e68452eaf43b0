# nginx-conf/proxy-cookie-sessions.conf does what a proxy that keeps its backends' cookies did: the cases of it.
use lib 't/lib';
use SessT 'no_plan';

use HTTP::Date qw(str2time);
use Time::HiRes qw(time);

require './t/preset.pl';
require './t/talk.pl';
preset('proxy-cookie-sessions.conf');

# 12 h in Max-Age, and in Expires within two seconds.
sub twelve_hours {
    my ($res) = @_;
    my $attr = $res->set_cookie('proxy-session')->{attr};
    my $off = str2time($attr->{expires}) - time - 43_200;
    my $rest = join ' ', map { "$_=$attr->{$_}" } sort grep { $_ ne 'expires' } keys %$attr;
    return $rest eq 'httponly= max-age=43200 path=/ samesite=Lax secure=' && abs $off <= 2 ? 1 : "$rest, Expires off by $off s";
}

# How long the first byte of a body took, and all of it; and the response.
sub seconds_of {
    my ($uri, $cookie) = @_;
    my $socket = opened($uri, "proxy-session=$cookie");
    my ($start, $first, $text) = (time, undef, '');
    while (sysread $socket, $text, 65_536, length $text) {
        $first //= time - $start if $text =~ /\r\n\r\n./s;
    }
    return ($first, time - $start, $text);
}

run_tests();
__DATA__

=== no id is given twice, whichever worker gives it
--- with
- session_secret_file
--- tls: 0
--- port: $TEST_NGINX_RAND_PORT_2
--- parallel
--- request eval
[("GET /") x 60]
--- check eval
my %seen;
[(sub { my $id = substr $_[0]->set_cookie('proxy-session')->{value} // '', 0, 48; length $id == 48 && !$seen{$id}++ or 'an id that was there' }) x 60]

=== L2, L8, L9, J2: the first visit brings exactly one cookie, which is not sent again
--- talk
/                              => none
/                              => none
/                              => none
--- check eval
[\&saved, \&silent, \&silent]

=== D1: the backend's cookie comes back, others do not
--- talk
/                              <- a=1
/                              => a=1
eve: /                         => none

=== L3: a name that somebody made up is nobody's
--- cookie_jar
--- request eval
["GET /", "GET /"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{'proxy-session'} = 'test-session-id' if $i == 0 }
--- check eval
[sub { my ($set) = grep { $_->{name} eq 'proxy-session' } $_[0]->set_cookies; $set && $set->{value} =~ /\AAQ[\w-]{108}\z/ or 'no new session' }, \&silent]

=== L3: and opens nothing afterwards
--- request eval
["GET /?sc=a=1", "GET /"]
--- more_headers
Cookie: proxy-session=test-session-id
--- upstream_json eval
[undef, sub { my ($up) = @_; !defined $up->header('Cookie') or $up->header('Cookie') }]
--- check eval
[\&saved, \&saved]

=== L11, J21: an empty cookie is none, and those who have it share nothing
--- request eval
["GET /?sc=a=1", "GET /", "GET /"]
--- more_headers eval
["Cookie: proxy-session=", "Cookie: proxy-session=", "Cookie: proxy-session"]
--- upstream_json eval
[undef, (sub { my ($up) = @_; ($up->header('Cookie') // '') !~ /a=1/ or $up->header('Cookie') }) x 2]
--- check eval
[\&saved, \&saved, \&saved]

=== L15, J3: without sessions the backend's cookie is the browser's
--- request eval
["GET /static/x?sc=backend-cookie=1", "GET /static/x"]
--- more_headers eval
["Cookie: proxy-session=x; b=2", "Cookie: proxy-session=x; b=2"]
--- upstream_json eval
sub { my ($up) = @_; $up->header('Cookie') eq 'proxy-session=x; b=2' or $up->header('Cookie') }
--- check eval
[sub { my @set = map { "$_->{name}=$_->{value}" } $_[0]->set_cookies; "@set" eq 'backend-cookie=1' or "@set" }, \&silent]

=== C11, J4: twelve hours by Max-Age and Expires alike, and HttpOnly; not sent again
--- talk
/
/
--- check eval
[\&twelve_hours, \&silent]

=== E15, J33: who sends the cookie by hand after its time has another session, and no cookies of before
--- with
session_rolling_timeout 2s;
session_renew_after off;
--- capture eval
[{ token => qr/^Set-Cookie: (proxy-session=[^;]+)/m }, undef, undef]
--- request eval
["GET /?sc=a=1", "GET /", "GET /"]
--- more_headers eval
['', 'Cookie: $CAPTURED_token', 'Cookie: $CAPTURED_token']
--- sleep_before eval
[0, 0, 3.2]
--- upstream_json eval
[undef, sub { ($_[0]->header('Cookie') // '') eq 'a=1' or 'the cookie is lost' }, sub { !defined $_[0]->header('Cookie') or 'the cookie is there' }]
--- check eval
[\&saved, \&silent, \&saved]

=== F2, F3, J5: the session's cookie goes out of the line, the jar's come behind the rest
--- talk
/                              <- b=2; Path=/
/                              => a=1; c=3; b=2
--- more_headers eval
["", "Cookie: a=1; c=3"]

=== F3: nothing is left of a line of nothing else
--- talk
/                              => none
/                              => none

=== J1: a backend that wants its cookie, and redirects to itself to see it
--- talk
/wants?st=307&rh=Location:%20/wants [307] <- backend-cookie=1
/wants                         => backend-cookie=1
--- check eval
[\&saved, \&silent]

=== J19: room for two: the one that was not used for the longest time goes, and comes back as a new client
--- with
session_backend proxy_sessions shm { size 1m; max_sessions 2; }
session_stale_ttl 0;
--- talk
c1: /
c2: /
c3: /
c2: /                          => none
c1: /                          => none
c2: /                          => none
--- check eval
[\&saved, \&saved, \&saved, \&silent, \&saved, \&silent]

=== J19: with the session goes its jar
--- with
session_backend proxy_sessions shm { size 1m; max_sessions 2; }
session_stale_ttl 0;
--- talk
c1: /                          <- a=1
c2: /                          <- a=2
c2: /                          => a=2
c3: /                          <- a=3
c2: /                          => a=2
c3: /                          => a=3
c1: /                          => none
--- check eval
[\&saved, \&saved, \&silent, \&saved, \&silent, \&silent, \&saved]

=== J22: a reload keeps the cookies
--- talk
/                              <- a=1
/                              => a=1
/                              => a=1
--- reload eval
[undef, 1, 1]

=== J22: the state file keeps them over a restart
--- talk
/                              <- a=1
/                              => a=1
--- restart eval
[undef, 1]
--- check eval
[\&saved, \&silent]

=== J23: 51 cookies are one too many
--- request eval
["GET /?" . join('&', map { sprintf 'sc=c%02d=%d', $_, $_ } 1 .. 51), "GET /"]
--- cookie_jar
--- upstream_json eval
[undef, sub { my ($up) = @_; my $sent = () = $up->header('Cookie') =~ /c\d\d=/g; $sent == 50 && $up->header('Cookie') !~ /c01=/ or "$sent cookies" }]
--- check eval
[\&saved, \&silent]
--- error_log eval
[qr/\[warn\].*session: /]

=== J23: a cookie of 20 kB is ignored
--- with
proxy_buffer_size 64k; proxy_buffers 8 64k; large_client_header_buffers 4 64k;
--- request eval
["GET /?sc=a=1&rh=" . 'Set-Cookie:%20big=' . ('x' x 20_000), "GET /"]
--- cookie_jar
--- upstream_json eval
[undef, sub { my ($up) = @_; $up->header('Cookie') eq 'a=1' or 'not a=1 alone' }]
--- check eval
[\&saved, \&silent]

=== J25, J38: many who come for the first time at the same moment: each has one session of its own
--- parallel
--- request eval
[map { "GET /?sc=n=$_&delay=20" } 1 .. 20]
--- check eval
my %seen;
[(sub { my ($set, @more) = $_[0]->set_cookies; $set && !@more && $set->{name} eq 'proxy-session' && !$seen{ $set->{value} }++ or 'not one cookie of its own' }) x 20]

=== J38: ten new clients in a row on one path
--- talk eval
join '', (map { "c$_: /path <- n=$_; Path=/\n" } 1 .. 10), (map { "c$_: / => n=$_\n" } 1 .. 10)
--- check eval
[(\&saved) x 10, (\&silent) x 10]

=== J28: an upgrade: the cookie of the handshake is kept, and those of before go with it
--- with
location = /socket { proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://backend; }
--- raw_requests eval
["GET /socket?up=1&sc=w=1 HTTP/1.1\r\nHost: app\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nquit\r\n"]
--- error_code: 101
--- check eval
sub { my ($res) = @_; $res->{head} =~ /^Set-Cookie: proxy-session=/mi && $res->{head} !~ /^Set-Cookie: w=/mi or $res->{head} }

=== J27: a 103 before the answer does not matter
--- skip_nginx: 15: < 1.29.0: it does not understand a 103
--- talk
/                              <- a=1
/x?early=1&st=404 [404]        <- b=2; Path=/
/                              => a=1; b=2

=== J30: what is no cookie is dropped, whatever is beside it
--- request eval
["GET /?sc=novalue&sc==x&sc=%20&sc=a=1", "GET /"]
--- cookie_jar
--- upstream_json eval
[undef, sub { my ($up) = @_; $up->header('Cookie') eq 'a=1' or $up->header('Cookie') }]
--- check eval
[\&saved, \&silent]

=== J32: no line of the log shows a cookie's value or a whole id
--- request eval
["GET /?sc=a=wilhelmine&sc=b=wilhelmine;Domain=foreign.test&sc==wilhelmine", "GET /"]
--- cookie_jar
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{'proxy-session'} .= 'x' if $i == 1 }
--- no_error_log eval
[qr/session: (?:(?! while ).)*wilhelmine/, qr/session: .*[\w-]{43}/]

=== J37: the first byte of a long answer is not delayed, when no cookie in it is new
--- with
location = /long { proxy_buffering off; proxy_pass http://backend; }
--- tls: 0
--- port: $TEST_NGINX_RAND_PORT_2
--- request
GET /?sc=a=1
--- check eval
sub {
    my ($res) = @_;
    my $cookie = $res->set_cookie('proxy-session')->{value};
    my ($first, $all, $text) = seconds_of("/long?sc=a=1&parts=5&pause=200&size=5000", $cookie);
    return $text if $text =~ /^Set-Cookie:/mi || length $text < 5_000;
    return $first < 0.5 && $all > 0.7 ? 1 : "first byte after $first s, the last after $all s";
}

=== X11: many visitors in a small zone: the oldest go, nobody is refused
--- with
session_backend proxy_sessions shm { size 32k; }
--- tls: 0
--- port: $TEST_NGINX_RAND_PORT_2
--- cookie_jar eval
[1 .. 250, 250, 1]
--- request eval
[("GET /?sc=a=" . 'x' x 200) x 250, "GET /", "GET /"]
--- check eval
[(\&saved) x 250, \&silent, \&saved]
