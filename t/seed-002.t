# nginx-conf/lua-resty-session.conf does what lua-resty-session does with its defaults: the cases of it.
use lib 't/lib';
use SessT 'no_plan';

use HTTP::Date qw(str2time);
use MIME::Base64 qw(encode_base64);

use SessT::Servers;

require './t/preset.pl';
require './t/speaking.pl';
preset('lua-resty-session.conf');

our $vector = 'AQAAS3ZGU0k8tUKsWSci9Fb6PM5xbm469FlR5g_B5HWZ6KYGSOZjAAAAAABcAABTCuHjqpE7B6Ux7m4GCylZAAAAzcWnTvzG51whooR_4QQwDgGdMOOa5W7t'
    . 'G4JWiDFU3zuYLFzakWEi-y-ogrwTpnt24zQXP_uJK7r5lMPNzRSMJM9H1a_MIegzEMm-QSgVRaoZVJq3Oo';
our $no_limits = "session_idling_timeout 0;\nsession_rolling_timeout 0;\nsession_absolute_timeout 0;";

our $redis = SessT::Servers->redis;
our $locked = SessT::Servers->redis('--requirepass', 'secret');

# A storage, for `http_config`; `with` chooses it.
sub in_redis { my ($more, $server) = @_; return "session_backend r redis { server 127.0.0.1:@{[($server // $redis)->port]}; connect_timeout 500ms; timeout 500ms; @{[$more // '']} }\n" }

sub records { return sort grep { length } split /\n/, $redis->ask('KEYS', '*') }
sub forget_all { $redis->ask('FLUSHALL'); return }

our $show = 'location = /show { return 200 "$session_status|$session_audience|$session_subject|$session_json"; }
location = /shop/show { session_audience shop; return 200 "$session_status|$session_audience|$session_subject|$session_json"; }';

# What a page answers.
sub page { my ($path, @lines) = @_; return ask($path, map { "X-Session-$_" } @lines) }

sub attributes {
    my ($check, $name) = @_;
    return sub {
        my $cookie = $_[0]->set_cookie($name // 'session') or return 'no cookie';
        my $attr = $cookie->{attr};
        return $check->($attr) || join ' ', map { "$_=$attr->{$_}" } sort keys %$attr;
    };
}

sub text { my ($attr, @without) = @_; my %without = map { $_ => 1 } @without; return join ' ', map { length $attr->{$_} ? "$_=$attr->{$_}" : $_ } sort grep { !$without{$_} } keys %$attr }

sub named { my @names = @_; return sub { my $set = join ' ', sort map { ($_->{value} eq '' ? '-' : '') . $_->{name} } $_[0]->set_cookies; $set eq "@names" or $set } }

sub sees { my (%wanted) = @_; return sub { my ($up) = @_; for (sort keys %wanted) { my $got = join ' + ', $up->headers($_); return "$_: $got" if $got ne ($wanted{$_} // '') } 1 } }

# A location that is as long as wanted.
our $big = 'location = /big { session_set big $arg_v; return 204; }
location = /size { return 200 "$session_status $session_data_big"; }';
sub noise { my ($length) = @_; srand 7; return join '', map { ('a' .. 'z', 'A' .. 'Z', 0 .. 9)[ rand 62 ] } 1 .. $length }

run_tests();
__DATA__

=== L1, L2, D1, R1: nothing without a save; then one cookie, and the data come back
--- with eval
$::show
--- cookie_jar
--- request eval
["GET /", page('/', 'Subject: ann', 'Data: {"name":"Ann"}'), "GET /", "GET /show"]
--- upstream_json eval
[sees('Session-Subject' => undef, Cookie => undef), undef, sees('Session-Subject' => 'ann', 'Session-Audience' => 'default', Cookie => undef), undef]
--- shown eval
[undef, undef, undef, 'open|default|ann|{"name":"Ann"}']
--- check eval
[\&silent, all_hold(named('session'), \&clean), \&silent, \&silent]

=== C1: the attributes over TLS
--- request eval
[page('/', 'Subject: ann')]
--- check eval
[attributes(sub { text($_[0]) eq 'httponly path=/ samesite=Lax secure' })]

=== C1: and without
--- tls: 0
--- port: $TEST_NGINX_RAND_PORT_2
--- request eval
[page('/', 'Subject: ann')]
--- check eval
[attributes(sub { text($_[0]) eq 'httponly path=/ samesite=Lax' })]

=== C2, C3: http_only off, SameSite None
--- with
session_cookie_http_only off;
session_cookie_same_site None;
--- tls: 0
--- port: $TEST_NGINX_RAND_PORT_2
--- request eval
[page('/', 'Subject: ann')]
--- check eval
[attributes(sub { text($_[0]) eq 'path=/ samesite=None secure' })]

=== C3: SameSite off
--- with
session_cookie_same_site off;
--- request eval
[page('/', 'Subject: ann')]
--- check eval
[attributes(sub { text($_[0]) eq 'httponly path=/ secure' })]

=== C4: a domain; C8: the rest of the attributes
--- with
session_cookie_domain example.org;
session_cookie_priority High;
session_cookie_partitioned on;
session_cookie_same_party on;
--- tls: 0
--- port: $TEST_NGINX_RAND_PORT_2
--- request eval
[page('/', 'Subject: ann')]
--- check eval
[attributes(sub { text($_[0]) eq 'domain=example.org httponly partitioned path=/ priority=High sameparty samesite=Lax secure' })]

=== C4: localhost is none
--- with
session_cookie_domain localhost;
--- request eval
[page('/', 'Subject: ann')]
--- check eval
[attributes(sub { !exists $_[0]{domain} })]

=== C6: the name __Host-session by itself
--- with
session_cookie_name __Host-session;
--- tls: 0
--- port: $TEST_NGINX_RAND_PORT_2
--- request eval
[page('/', 'Subject: ann')]
--- check eval
[attributes(sub { text($_[0]) eq 'httponly path=/ samesite=Lax secure' }, '__Host-session')]

=== C6: __Host- with a domain
--- with
session_cookie_prefix __Host-;
session_cookie_domain example.org;
--- must_die: 1
--- error_log eval
[qr/\[emerg\].*__Host-/]

=== C7: __Secure- with secure off
--- with
session_cookie_prefix __Secure-;
session_cookie_secure off;
--- request eval
[page('/', 'Subject: ann')]
--- check eval
[attributes(sub { exists $_[0]{secure} }, '__Secure-session')]

=== C9: SameParty and Strict
--- with
session_cookie_same_party on;
session_cookie_same_site Strict;
--- must_die: 1
--- error_log eval
[qr/\[emerg\].*session_cookie_same_party/]

=== C13, A10: destroy expires the cookie with its attributes
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /logout", "GET /members/"]
--- error_code eval
[200, 204, 401]
--- check eval
[named('session'), all_hold(named('-session'), attributes(sub { text($_[0], 'expires') eq 'httponly max-age=0 path=/ samesite=Lax secure' && str2time($_[0]{expires}) < time })), \&silent]

=== C16: at most 400 days
--- with
session_cookie_max_age 500d;
--- request eval
[page('/', 'Subject: ann')]
--- check eval
[attributes(sub { $_[0]{'max-age'} == 34_560_000 })]

=== T5: a fallback opens old cookies, the next save uses the first secret
--- with
- session_secret_file
session_secret old;
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /members/", page('/', 'Data: {"n":1}'), "GET /members/"]
--- reload eval
[undef, { http_config => preset_with('- session_secret_file', 'session_secret new;', 'session_secret_fallbacks old;') }, undef,
    { http_config => preset_with('- session_secret_file', 'session_secret new;') }]
--- upstream_json eval
[undef, sees('Session-Subject' => 'ann'), undef, sees('Session-Subject' => 'ann')]
--- check eval
[named('session'), \&silent, named('session'), \&silent]

=== T10, F10: the library's own cookie; what is beside it stays
--- with eval
"- session_secret_file\nsession_secret RaJKp8UQW1;\nsession_audience my_application;\nsession_map_header X-Q quote;\n$::no_limits"
--- request
GET /
--- more_headers eval
"Cookie: session=$::vector; Path=/; SameSite=Lax; HttpOnly"
--- upstream_json eval
sees('X-Q' => 'Lorem ipsum dolor sit amet', 'Session-Subject' => 'Lua Fan', 'Session-Audience' => 'my_application', Cookie => 'Path=/; SameSite=Lax; HttpOnly')
--- check eval
\&silent

=== T11: it is too old for the defaults
--- with
- session_secret_file
session_secret RaJKp8UQW1;
session_audience my_application;
location = /status { return 200 "$session_status"; }
--- request
GET /status
--- more_headers eval
"Cookie: session=$::vector"
--- shown eval
['expired-absolute']

=== T14: a token of the cookie is none in a storage, and the other way round
--- http_config eval
in_redis()
--- with
location /r { session_storage r; proxy_pass http://app; }
location = /r/show { session_storage r; return 200 "$session_status"; }
location = /show { return 200 "$session_status"; }
--- cookie_jar eval
['a', 'a', 'b', 'b']
--- request eval
[page('/', 'Subject: ann'), "GET /r/show", page('/r', 'Subject: ann'), "GET /show"]
--- shown eval
[undef, 'bad-format', undef, 'bad-format']

=== T19: an ikm of 31 bytes
--- with
- session_secret_file
session_ikm 0123456789abcdef0123456789abcde;
--- must_die: 1
--- error_log eval
[qr/\[emerg\].*"session_ikm".*31 bytes/]

=== T19: a bad fallback
--- with
session_ikm_fallbacks short;
--- must_die: 1
--- error_log eval
[qr/\[emerg\].*"session_ikm_fallbacks".*5 bytes/]

=== E2: alive as long as somebody comes, then gone
--- with
session_idling_timeout 2s;
session_touch_threshold 0;
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), ("GET /members/") x 5, "GET /members/"]
--- sleep_before eval
[0, (1) x 5, 3.2]
--- error_code eval
[(200) x 6, 401]

=== E3: a touch, with the same id, once the threshold is over
--- with
session_touch_threshold 2s;
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /", "GET /"]
--- sleep_before eval
[0, 1, 2.2]
--- check eval
[keeps_id('touched'), \&silent, same_id('touched')]

=== E4: past three quarters there is a new id, and the data are kept
--- with eval
"session_rolling_timeout 8s;\nsession_storage r;\nsession_stale_ttl 2s;"
--- http_config eval
in_redis()
--- capture eval
[{ old => qr/^Set-Cookie: (session=[^;]+)/m }, undef, { new => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef, undef]
--- request eval
[page('/', 'Subject: ann'), "GET /", "GET /", "GET /members/", "GET /members/", "GET /members/"]
--- more_headers eval
['', ('Cookie: $CAPTURED_old') x 3, 'Cookie: $CAPTURED_new', 'Cookie: $CAPTURED_old']
--- sleep_before eval
[0, 2, 4.7, 0, 0, 3.2]
--- error_code eval
[(200) x 5, 401]
--- check eval
[keeps_id('renewed'), \&silent, new_id('renewed'), undef, \&silent, undef]

=== E6: without limits it lives on
--- with eval
$::no_limits
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /members/"]
--- sleep_before eval
[0, 3]

=== E11: Max-Age and Expires agree each time
--- with
session_cookie_max_age 1h;
session_renew_after 1s;
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /", "GET /"]
--- sleep_before eval
[0, 2.2, 2.2]
--- check eval
[(attributes(sub { $_[0]{'max-age'} == 3600 && abs(str2time($_[0]{expires}) - time - 3600) <= 2 })) x 3]

=== F2, F3, F7: the session's cookies are not for the upstream
--- request eval
["GET /", "GET /", "GET /"]
--- more_headers eval
["Cookie: a=1; session=T; b=2", "Cookie: session=T", "Cookie: session=T; session2=U; remember=V"]
--- upstream_json eval
[sees(Cookie => 'a=1; b=2'), sees(Cookie => undef), sees(Cookie => undef)]

=== M7: a client says nothing of itself
--- with
session_map_header X-User user;
--- request
GET /
--- more_headers
X-User: evil
Session-Subject: evil
session_audience: evil
--- upstream_json eval
sees('X-User' => undef, 'Session-Subject' => undef, 'session_audience' => undef, 'Session-Audience' => undef)

=== P1: all seven properties
--- with
session_request_headers id timeout idling-timeout rolling-timeout absolute-timeout;
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /"]
--- upstream_json eval
[undef, sub {
    my ($up) = @_;
    my @got = map { $up->header("Session-$_") // '-' } qw(Id Audience Subject Timeout Idling-Timeout Rolling-Timeout Absolute-Timeout);
    return "@got" =~ /\A[\w-]{43} default ann (?:900|89\d) (?:900|89\d) (?:3600|359\d) 86(?:400|39\d)\z/ || "@got";
}]

=== P3: the number falls, and without its limit it is not there
--- with
session_response_headers timeout;
location = /none { session_idling_timeout 0; session_rolling_timeout 0; session_absolute_timeout 0; session_response_headers timeout; return 204; }
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /", "GET /", "GET /none"]
--- sleep_before eval
[0, 0, 2, 0]
--- error_code eval
[200, 200, 200, 204]
--- check eval
my $first;
[undef, sub { ($first = $_[0]->header('Session-Timeout')) =~ /\A\d+\z/ or 'no number' }, sub { $_[0]->header('Session-Timeout') < $first or 'it does not fall' }, sub { !defined $_[0]->header('Session-Timeout') or 'it is there' }]

=== P4: an unknown property
--- with
session_request_headers colour;
--- must_die: 1
--- error_log eval
[qr/\[emerg\].*"colour"/]

=== A1, A9: two audiences in one cookie, each with its data; the last that leaves ends the session
--- with eval
$::show
--- cookie_jar
--- request eval
[page('/', 'Subject: s1', 'Data: {"x":1}'), page('/shop/', 'Subject: s2', 'Data: {"y":2}'), "GET /show", "GET /shop/show", "GET /shop/logout", "GET /shop/show", "GET /show", page('/', 'Action: logout'), "GET /show"]
--- error_code eval
[(200) x 4, 204, (200) x 4]
--- shown eval
[undef, undef, 'open|default|s1|{"x":1}', 'open|shop|s2|{"y":2}', undef, 'no-audience|||', 'open|default|s1|{"x":1}', undef, 'missing|||']
--- check eval
[named('session'), named('session'), undef, undef, named('session'), undef, undef, named('-session'), undef]

=== A2: another audience: none of its data, and a save keeps those of the first
--- with eval
$::show
--- cookie_jar
--- request eval
[page('/', 'Subject: s1', 'Data: {"x":1}'), "GET /shop/show", page('/shop/', 'Data: {"y":2}'), "GET /show"]
--- shown eval
[undef, 'no-audience|||', undef, 'open|default|s1|{"x":1}']

=== A4: an audience gets another name
--- with eval
$::show
--- cookie_jar
--- request eval
[page('/', 'Subject: s1', 'Data: {"x":1}'), page('/', 'Audience: shop'), "GET /show", "GET /shop/show"]
--- shown eval
[undef, undef, 'no-audience|||', 'open|shop|s1|{"x":1}']

=== A4: and its info goes along
--- with
location = /info { return 200 "[$session_info_i]"; }
location = /shop/info { session_audience shop; return 200 "[$session_info_i]"; }
--- cookie_jar
--- request eval
[page('/', 'Subject: s1', 'Info: {"i":"1"}'), page('/', 'Audience: shop'), "GET /info", "GET /shop/info"]
--- shown eval
[undef, undef, '[]', '[1]']

=== A5: in a storage info is written without a new cookie
--- with
session_storage r;
location = /info { return 200 "[$session_info_last]"; }
--- http_config eval
in_redis()
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), page('/', 'Info: {"last":"1"}'), "GET /info"]
--- shown eval
[undef, undef, '[1]']
--- check eval
[named('session'), \&silent, undef]

=== A6: in the cookie with one, and a data key @k is another than the info k
--- with
location = /info { return 200 "[$session_info_k] $session_json"; }
--- cookie_jar
--- request eval
[page('/', 'Subject: ann', 'Data: {"k":"d"}'), page('/', 'Info: {"k":"i"}'), "GET /info"]
--- shown eval
[undef, undef, '[i] {"k":"d"}']
--- check eval
[named('session'), named('session'), undef]

=== A7, A11: without a session there is nothing to write to, to touch or to end
--- request eval
[page('/', 'Info: {"k":"i"}'), page('/', 'Action: touch'), page('/', 'Action: regenerate'), page('/', 'Action: logout'), page('/', 'Action: destroy'), "GET /shop/logout", "GET /logout"]
--- error_code eval
[(200) x 5, 204, 204]
--- check eval
[(\&silent) x 7]

=== A12: a touch of a session in Redis has the same id, reads once and writes nothing
--- with
session_storage r;
--- http_config eval
in_redis()
--- request eval
[page('/', 'Subject: ann')]
--- check eval
[sub {
    my ($res) = @_;
    my $answer;
    sleep 2;
    my $commands = commands_for_sessions($::redis, sub { $answer = by_hand((split ' ', page('/', 'Action: touch'))[1], 'session=' . $res->set_cookie('session')->{value}) });
    my ($token) = $answer =~ /^Set-Cookie: session=([^;]+)/m or return "no touch: $answer";
    return 'another id' if id_in($token) ne id_in($res->set_cookie('session')->{value});
    return $commands eq 'GET' || $commands;
}]

=== A13, X3: two saves are two ids, and the first dies
--- with
session_storage r;
session_stale_ttl 1s;
--- http_config eval
in_redis()
--- capture eval
[{ one => qr/^Set-Cookie: (session=[^;]+)/m }, { two => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef]
--- request eval
[page('/', 'Subject: ann'), page('/', 'Action: save'), "GET /members/", "GET /members/"]
--- before eval
[\&forget_all, undef, undef, undef]
--- more_headers eval
['', 'Cookie: $CAPTURED_one', 'Cookie: $CAPTURED_one', 'Cookie: $CAPTURED_two']
--- sleep_before eval
[0, 0, 3.2, 0]
--- error_code eval
[200, 200, 401, 200]
--- check eval
[keeps_id('saved'), new_id('saved'), undef, sub { my @names = records(); @names == 1 or "@names" }]

=== A14: regenerate is a new id with the data
--- with eval
$::show
--- cookie_jar
--- request eval
[page('/', 'Data: {"x":1}'), page('/', 'Action: regenerate'), "GET /show"]
--- shown eval
[undef, undef, 'open|default||{"x":1}']
--- check eval
[keeps_id('regenerate'), new_id('regenerate'), undef]

=== A15, X5: the sessions of a subject are listed; not those that have ended
--- with
session_storage r;
session_store_metadata on;
--- http_config eval
in_redis('prefix app;')
--- cookie_jar eval
['a', 'b', 'c', 'c']
--- request eval
[page('/', 'Subject: ann'), page('/', 'Subject: ann'), page('/', 'Subject: ann'), "GET /logout"]
--- before eval
[\&forget_all, undef, undef, undef]
--- error_code eval
[200, 200, 200, 204]
--- check eval
my $count = sub { my ($wanted) = @_; sub { my ($key) = grep { /\Aapp:session:[^:]+:[^:]+/ } records(); my $n = $::redis->ask('ZCARD', $key // 'none'); $n == $wanted or "$n in " . ($key // 'no list') } };
[map { $count->($_) } 1, 2, 3, 2]

=== A15: hashed, the subject is nowhere
--- with
session_storage r;
session_store_metadata on;
session_hash_subject on;
--- http_config eval
in_redis('prefix app;')
--- cookie_jar
--- request eval
[page('/', 'Subject: wilhelmine')]
--- before eval
[\&forget_all]
--- check eval
[sub { my $names = join ' ', records(); my $plain = encode_base64('wilhelmine', '') =~ s/=*\z//r; $names =~ /app:session:/ && $names !~ /wilhelmine|\Q$plain\E/ or $names }]

=== A17: the stored name is not the id
--- with
session_storage r;
session_hash_storage_key on;
session_request_headers id;
--- http_config eval
in_redis()
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /members/"]
--- before eval
[\&forget_all, undef]
--- upstream_json eval
[undef, sub { my ($up) = @_; my $id = $up->header('Session-Id'); my @names = records(); @names == 1 && $names[0] !~ /\Q$id\E/ && $names[0] =~ /[\w-]{43}\z/ or "@names" }]

=== A19: an invalid cookie is expired, or left alone
--- with
location /alone { session_cookie_clear_invalid off; proxy_pass http://app; }
--- request eval
["GET /", "GET /alone"]
--- more_headers
Cookie: session=AQAAS3ZGU0k8
--- check eval
[named('-session'), \&silent]

=== R2: remembered: two cookies, one for a week
--- with
session_remember on;
--- request eval
[page('/', 'Subject: ann')]
--- check eval
[all_hold(named('remember', 'session'), attributes(sub { !exists $_[0]{'max-age'} && !exists $_[0]{expires} }),
    attributes(sub { $_[0]{'max-age'} == 604_800 && abs(str2time($_[0]{expires}) - time - 604_800) <= 2 }, 'remember'))]

=== R2: the same where a page says so; it brings the user back, more than once
--- cookie_jar
--- request eval
[page('/', 'Subject: ann', 'Remember: on'), "GET /members/", "GET /members/"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i }
--- upstream_json eval
[undef, (sees('Session-Subject' => 'ann')) x 2]
--- check eval
[named('remember', 'session'), (sub { defined $_[0]->set_cookie('session') or 'no session' }) x 2]

=== R4: a bad remember cookie is no session
--- with
session_remember on;
--- request
GET /members/
--- more_headers
Cookie: remember=AQEAS3ZGU0k8
--- error_code: 401

=== R5: who does not want to be remembered is not
--- with
session_remember $arg_r;
location /on/ { session_remember on; proxy_pass http://app; }
--- cookie_jar
--- request eval
[page('/?r=off', 'Subject: ann'), page('/on/', 'Data: {"n":1}')]
--- check eval
[named('session'), named('session')]

=== R6: and only so long
--- with
session_remember on;
session_remember_absolute_timeout 1s;
--- request eval
[page('/', 'Subject: ann'), "GET /members/"]
--- capture eval
[{ token => qr/^Set-Cookie: (remember=[^;]+)/m }, undef]
--- more_headers eval
['', 'Cookie: $CAPTURED_token']
--- sleep_before eval
[0, 3.2]
--- error_code eval
[200, 401]

=== R8: each safety opens what it made
--- with
session_remember on;
location /None { session_remember_safety None; proxy_pass http://app; }
location /Low  { session_remember_safety Low; proxy_pass http://app; }
location /High { session_remember_safety High; proxy_pass http://app; }
location /Very { session_remember_safety "Very High"; proxy_pass http://app; }
--- timeout: 20
--- cookie_jar eval
[map { ($_, $_) } qw(None Low Medium High Very)]
--- request eval
[map { (page("/$_", 'Subject: ann'), "GET /$_") } qw(None Low Medium High Very)]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i % 2 }
--- upstream_json eval
[map { (undef, sees('Session-Subject' => 'ann')) } 1 .. 5]

=== R8: and nothing else
--- with
session_remember on;
location /Low  { session_remember_safety Low; session_require $session_subject; proxy_pass http://app; }
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /Low"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i == 1 }
--- error_code eval
[200, 401]

=== B1, B3: bound to the user agent; none is one, too
--- with
session_bind user_agent;
--- cookie_jar eval
['a', 'a', 'b', 'b', 'b']
--- request eval
[page('/', 'Subject: ann'), "GET /members/", page('/', 'Subject: bob'), "GET /members/", "GET /members/"]
--- more_headers eval
['User-Agent: one', 'User-Agent: one', '', '', 'User-Agent: one']
--- error_code eval
[200, 200, 200, 200, 401]

=== B1: another one is refused
--- with
session_bind user_agent;
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /members/"]
--- more_headers eval
['User-Agent: one', 'User-Agent: two']
--- error_code eval
[200, 401]

=== B2: another address
--- with
session_bind ip;
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /members/", "GET /members/"]
--- client_addr eval
['127.0.0.1', '127.0.0.1', '127.0.0.2']
--- error_code eval
[200, 200, 401]

=== B2: another scheme
--- with
session_bind scheme;
--- cookie_jar
--- tls eval
[1, 1, 0]
--- port eval
['$TEST_NGINX_RAND_PORT_1', '$TEST_NGINX_RAND_PORT_1', '$TEST_NGINX_RAND_PORT_2']
--- request eval
[page('/', 'Subject: ann'), "GET /members/", "GET /members/"]
--- error_code eval
[200, 200, 401]

=== B4: an unknown word
--- with
session_bind foo;
--- must_die: 1
--- error_log eval
[qr/\[emerg\].*"foo"/]

=== K1, K6: eight kilobytes are three cookies, read back, and all ended
--- with eval
"session_compression_threshold 0;\n$::big"
--- cookie_jar
--- request eval
["GET /big?v=" . noise(8_000), "GET /size", "GET /logout"]
--- error_code eval
[204, 200, 204]
--- shown eval
[undef, 'open ' . noise(8_000), undef]
--- check eval
[all_hold(named('session', 'session2', 'session3'), sub { my ($large) = grep { length("$_->{name}=$_->{value}") > 4096 } $_[0]->set_cookies; !$large or 'a cookie is too large' }), undef, named('-session', '-session2', '-session3')]

=== K3: too much: the old session stays
--- with eval
"session_compression_threshold 0;\n$::big"
--- cookie_jar
--- request eval
["GET /big?v=small", "GET /big?v=" . noise(40_000), "GET /size"]
--- error_code eval
[204, 204, 200]
--- shown eval
[undef, undef, 'open small']
--- check eval
[named('session'), \&silent, undef]
--- error_log eval
[qr/\[error\].*session: /]

=== K5: twenty kilobytes of one letter are one cookie; without compression seven
--- with eval
"location = /none { session_compression_threshold 0; session_set big \$arg_v; return 204; }\n$::big"
--- request eval
["GET /big?v=" . 'a' x 20_000, "GET /none?v=" . 'a' x 20_000]
--- error_code eval
[204, 204]
--- check eval
[named('session'), named('session', map { "session$_" } 2 .. 7)]

=== X1, X2, X3: in each storage: a value comes back; after the absolute timeout it is gone
--- http_config eval
in_redis() . 'session_backend s shm { size 1m; } session_backend f file { path $TEST_NGINX_SERVROOT/sessions; }'
--- with eval
join "\n", 'session_absolute_timeout 2s;', map { "location /$_/ { session_storage $_; proxy_pass http://app; }" } qw(r s f)
--- cookie_jar eval
[(qw(r s f)) x 3]
--- request eval
[(map { page("/$_/", 'Subject: ann') } qw(r s f)), ("GET /r/", "GET /s/", "GET /f/") x 2]
--- before eval
[\&forget_all, (undef) x 8]
--- sleep_before eval
[(0) x 6, 3.2, 0, 0]
--- upstream_json eval
[(undef) x 3, (sees('Session-Subject' => 'ann')) x 3, (sees('Session-Subject' => undef)) x 3]
--- check eval
[(undef) x 8, sub { my @names = records(); !@names or "@names" }]

=== X6: the names of records
--- http_config eval
join '', map { in_redis($_->[1]) =~ s/session_backend r/session_backend $_->[0]/r } ['none', ''], ['pre', 'prefix a;'], ['suf', 'suffix z;'], ['both', 'prefix a; suffix z;']
--- with eval
join "\n", map { "location /$_/ { session_storage $_; session_request_headers id; proxy_pass http://app; }" } qw(none pre suf both)
--- cookie_jar eval
[qw(none pre suf both) x 2]
--- request eval
[(map { page("/$_/", 'Subject: ann') } qw(none pre suf both)), map { "GET /$_/" } qw(none pre suf both)]
--- before eval
[\&forget_all, (undef) x 7]
--- upstream_json eval
my @names = ('session:%s', 'a:session:%s', 'session:%s:z', 'a:session:%s:z');
[(undef) x 4, map { my $name = $_; sub { my $wanted = sprintf $name, $_[0]->header('Session-Id'); (grep { $_ eq $wanted } records()) or "no $wanted: " . join ' ', records() } } @names]

=== X7: a password, a database, limits of connections and times
--- http_config eval
in_redis('password secret; database 3; pool_size 2;', $::locked)
--- with
session_storage r;
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /members/"]

=== X7: a wrong password fails cleanly, and is not in the log
--- http_config eval
in_redis('password geheim;', $::locked)
--- with
session_storage r;
--- request eval
[page('/', 'Subject: ann')]
--- error_code eval
[503]
--- check eval
[\&silent]
--- error_log eval
[qr/\[error\].*session: storage "r"/]
--- no_error_log
geheim

=== O3: a record that is rubbish is none
--- http_config eval
in_redis()
--- with
session_storage r;
--- cookie_jar
--- request eval
[page('/', 'Subject: ann'), "GET /members/"]
--- before eval
[\&forget_all, sub { $::redis->ask('SET', $_, 'rubbish') for records() }]
--- error_code eval
[200, 401]
--- error_log eval
[qr/\[error\].*session: the record of cookie "session" is not used/]
