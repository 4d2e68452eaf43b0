# nginx-conf/gateway-plugin.conf does what an API gateway's session plugin did: the cases of it.
use lib 't/lib';
use SessT 'no_plan';

use HTTP::Date qw(str2time);

use SessT::Servers;

require './t/preset.pl';
require './t/speaking.pl';
preset('gateway-plugin.conf');

our $redis = SessT::Servers->redis('--appendonly', 'yes');    # O4: what was there is there again
our $in_redis = "session_backend gateway redis { server 127.0.0.1:@{[$redis->port]}; prefix gateway; timeout 500ms; connect_timeout 500ms; }";

# A request to the authentication service, which answers with this data.
sub stores { my ($json, @more) = @_; return ask('/auth/login', "X-Session-Data: $json", @more) }

# What the services see: a hash of header names; undef: no such header.
sub sees {
    my (%wanted) = @_;
    return sub {
        my ($up) = @_;
        for my $name (sort keys %wanted) {
            my $got = join ' + ', $up->headers($name);
            return "$name: $got" if $got ne ($wanted{$name} // '');
        }
        return 1;
    };
}

sub attributes {
    my ($check) = @_;
    return sub { my $attr = $_[0]->set_cookie('__Host-session')->{attr}; $check->($attr) || join ' ', map { "$_=$attr->{$_}" } sort keys %$attr };
}

run_tests();
__DATA__

=== L1: no session without a login
--- request
GET /
--- upstream_json eval
sees('Cookie' => undef, 'X-User' => undef, 'X-Tenant' => 'none')
--- check eval
\&silent

=== L2, D1, F2: a login, then the services know the user, and see neither the cookie nor what is not stored
--- cookie_jar
--- request eval
[stores('{"user":"ann"}'), "GET /"]
--- more_headers
Cookie: a=1; b=2
--- upstream_json eval
[undef, sees('X-User' => 'ann', 'X-Roles' => undef, Cookie => 'a=1; b=2')]
--- check eval
[all_hold(sets('__Host-session'), \&clean), \&silent]

=== L3: a name that somebody made up is not taken
--- cookie_jar
--- request eval
[stores('{"user":"ann"}'), "GET /"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{'__Host-session'} = 'test-session-id' if $i == 0 }
--- upstream_json eval
[undef, sees('X-User' => 'ann')]
--- check eval
[sets('__Host-session'), \&silent]

=== L4, F8: a session in a header goes on in that header
--- request eval
[stores('{"user":"ann"}'), "GET /", stores('{"user":"eve"}'), "GET /", "GET /"]
--- more_headers eval
['X-Session-Id: x', 'X-Session-Id: $CAPTURED_a', 'X-Session-Id: $CAPTURED_a', 'X-Session-Id: $CAPTURED_b', 'X-Session-Id: made-up']
--- capture eval
[{ a => qr/^X-Session-Id: (\S+)/m }, undef, { b => qr/^X-Session-Id: (\S+)/m }, undef, undef]
--- upstream_json eval
[undef, sees('X-User' => 'ann', 'X-Session-Id' => undef), undef, sees('X-User' => 'eve', 'X-Session-Id' => undef), sees('X-User' => undef, 'X-Session-Id' => undef)]
--- check eval
[(\&silent) x 5]

=== L6, F8: below /download/ the argument counts, and nobody behind sees it
--- capture eval
[{ token => qr/^Set-Cookie: __Host-session=([^;]+)/m }, undef, undef]
--- request eval
[stores('{"user":"ann"}'), 'GET /download/?session_id=$CAPTURED_token&x=1', 'GET /other?session_id=$CAPTURED_token']
--- upstream_json eval
[undef, sub { my ($up) = @_; $up->{uri} eq '/download/?x=1' && $up->header('X-User') eq 'ann' or "$up->{uri} " . ($up->header('X-User') // '') }, sees('X-User' => undef)]
--- check eval
[sets('__Host-session'), \&silent, \&silent]

=== F1: hide off: the cookies pass byte for byte
--- with
session_hide off;
--- request
GET /
--- more_headers
Cookie: a=1;  __Host-session=T ; b=2
--- upstream_json eval
sees(Cookie => 'a=1;  __Host-session=T ; b=2')

=== C2: http_only off
--- with
session_cookie_http_only off;
--- request eval
[stores('{"user":"ann"}')]
--- check eval
[attributes(sub { !exists $_[0]{httponly} && exists $_[0]{secure} })]

=== C3: SameSite
--- with
session_cookie_same_site Strict;
--- request eval
[stores('{"user":"ann"}')]
--- check eval
[attributes(sub { $_[0]{samesite} eq 'Strict' })]

=== C3: SameSite=None, also without the prefix and without TLS, is Secure
--- with
- session_cookie_prefix
session_cookie_same_site None;
--- tls: 0
--- port: $TEST_NGINX_RAND_PORT_2
--- request eval
[stores('{"user":"ann"}')]
--- check eval
[sub { my $attr = $_[0]->set_cookie('session')->{attr}; $attr->{samesite} eq 'None' && exists $attr->{secure} or join ' ', %$attr }]

=== C11: max_age
--- with
session_cookie_max_age 2h;
--- request eval
[stores('{"user":"ann"}')]
--- check eval
[attributes(sub { $_[0]{'max-age'} == 7200 && abs(str2time($_[0]{expires}) - time - 7200) <= 2 })]

=== C12: without max_age the browser is not told, and the session is over all the same
--- with
session_absolute_timeout 1s;
session_rolling_timeout 0;
--- cookie_jar
--- request eval
[stores('{"user":"ann"}'), "GET /"]
--- sleep_before eval
[0, 2.2]
--- upstream_json eval
[undef, sees('X-User' => undef)]
--- check eval
[attributes(sub { !exists $_[0]{'max-age'} && !exists $_[0]{expires} }), undef]

=== C13, A10: a logout expires the cookie, and the record is gone
--- capture eval
[{ token => qr/^Set-Cookie: (__Host-session=[^;]+)/m }, undef, undef]
--- request eval
[stores('{"user":"ann"}'), "GET /logout", "GET /"]
--- more_headers eval
['', 'Cookie: $CAPTURED_token', 'Cookie: $CAPTURED_token']
--- error_code eval
[200, 204, 200]
--- upstream_json eval
[undef, undef, sees('X-User' => undef)]
--- check eval
[sets('__Host-session'), all_hold(expires('__Host-session'), attributes(sub { $_[0]{path} eq '/' && exists $_[0]{secure} && exists $_[0]{httponly} && str2time($_[0]{expires}) < time })), expires('__Host-session')]

=== E7: without renewal the rolling timeout is final
--- with
session_rolling_timeout 4s;
session_renew_after off;
--- cookie_jar
--- request eval
[stores('{"user":"ann"}'), "GET /", "GET /"]
--- sleep_before eval
[0, 2, 3.2]
--- upstream_json eval
[undef, sees('X-User' => 'ann'), sees('X-User' => undef)]
--- check eval
[sets('__Host-session'), \&silent, undef]

=== E8: a renewal keeps the data, in that request and the next
--- with
session_renew_after 1s;
--- cookie_jar
--- request eval
[stores('{"user":"ann"}'), "GET /", "GET /"]
--- sleep_before eval
[0, 2.2, 0]
--- upstream_json eval
[undef, sees('X-User' => 'ann'), sees('X-User' => 'ann')]
--- check eval
[keeps_id('first', '__Host-session'), new_id('first', '__Host-session'), \&silent]

=== M1, M2, M11, M12: text, number, boolean; one key in two headers; Authorization
--- with
session_map_header X-User-Again user;
session_map_header X-Admin admin;
session_map_header X-Float float;
--- cookie_jar
--- request eval
[stores('{"user":"ann","tenant":42,"admin":true,"float":1.5,"authorization":"Bearer x"}'), "GET /"]
--- more_headers
Authorization: Basic YTpi
X-User: evil
X_Tenant: evil
--- upstream_json eval
[undef, sees('X-User' => 'ann', 'X-User-Again' => 'ann', 'X-Tenant' => '42', X_Tenant => undef, 'X-Admin' => 'true', 'X-Float' => '1.5', Authorization => 'Bearer x')]

=== M4: no such key, and null: the client's own is gone, the default is there
--- cookie_jar
--- request eval
[stores('{"other":1}'), "GET /", stores('{"list":[null]}'), "GET /"]
--- more_headers
X-User: evil
X-Tenant: evil
--- upstream_json eval
[undef, (sees('X-User' => undef, 'X-Tenant' => 'none')) x 3]

=== M5: lists and objects are JSON, unless a text is asked for
--- with
session_map_header X-Text roles format=text;
--- cookie_jar
--- request eval
[stores('{"roles":["staff",{"of":"all"}]}'), "GET /"]
--- upstream_json eval
[undef, sees('X-Roles' => '["staff",{"of":"all"}]', 'X-Text' => undef)]
--- error_log eval
[qr/\[error\].*X-Text/]

=== M7: without a session nothing of the client's passes
--- request
GET /
--- more_headers
X-User: evil
x_user: evil
X-Roles: ["root"]
Authorization: Bearer evil
--- upstream_json eval
sees('X-User' => undef, x_user => undef, 'X-Roles' => undef, Authorization => undef)

=== D2: a key is removed, the session is still there
--- with
location = /show { return 200 "$session_status $session_json"; }
--- cookie_jar
--- request eval
[stores('{"user":"ann","tenant":1}'), stores('{"user":null}'), "GET /", "GET /show"]
--- upstream_json eval
[undef, undef, sees('X-User' => undef, 'X-Tenant' => '1'), undef]
--- shown eval
[undef, undef, undef, 'open {"tenant":1}']

=== D3: all keys
--- with
location = /clear { session_unset all; return 204; }
location = /show { return 200 "$session_status $session_json"; }
--- cookie_jar
--- request eval
[stores('{"user":"ann","tenant":1}'), "GET /clear", "GET /show"]
--- error_code eval
[200, 204, 200]
--- shown eval
[undef, undef, 'open {}']

=== D9: every type comes back as it was
--- with
location = /show { return 200 "$session_json"; }
--- cookie_jar
--- request eval
[stores('{"a":{"b":[1,-9223372036854775808,9007199254740993,1.5,true,false,"",null,"\u00e4"]},"empty":"","none":{}}'), "GET /show"]
--- shown eval
[undef, "{\"a\":{\"b\":[1,-9223372036854775808,9007199254740993,1.5,true,false,\"\",null,\"\xc3\xa4\"]},\"empty\":\"\",\"none\":{}}"]

=== D12, A14: a login gives a new id and keeps the data; the old id is refused when it is stale
--- with
session_stale_ttl 1s;
--- capture eval
[{ first => qr/^Set-Cookie: (__Host-session=[^;]+)/m }, { second => qr/^Set-Cookie: (__Host-session=[^;]+)/m }, undef, undef]
--- request eval
[stores('{"tenant":7}'), ask('/auth/login', 'X-Session-Subject: ann', 'X-Session-Action: regenerate'), "GET /", "GET /"]
--- more_headers eval
['', 'Cookie: $CAPTURED_first', 'Cookie: $CAPTURED_second', 'Cookie: $CAPTURED_first']
--- sleep_before eval
[0, 0, 2.2, 0]
--- upstream_json eval
[undef, undef, sees('X-Tenant' => '7'), sees('X-Tenant' => 'none')]
--- check eval
[keeps_id('before', '__Host-session'), new_id('before', '__Host-session'), \&silent, expires('__Host-session')]

=== X9: two gateways on one Redis: clearing one leaves the other
--- with eval
$::in_redis
--- cookie_jar
--- request eval
[stores('{"user":"ann"}'), "GET /"]
--- before eval
[sub { $::redis->ask('FLUSHALL'); $::redis->ask('SET', 'other:1', 'x') }, sub { $::redis->ask('DEL', 'other:1') }]
--- upstream_json eval
[undef, sees('X-User' => 'ann')]
--- check eval
[sets('__Host-session'), sub { my @keys = split /\s+/, $::redis->ask('KEYS', '*'); @keys == 1 && $keys[0] =~ /\Agateway:/ or "keys: @keys" }]

=== M8, O1: the storage is away: 503, or on without a session, and in no case what the client says
--- with eval
"$::in_redis\nlocation /public/ { session_on_error pass; proxy_pass http://services; }"
--- capture eval
[{ token => qr/^Set-Cookie: (__Host-session=[^;]+)/m }, undef, undef, undef]
--- request eval
[stores('{"user":"ann"}'), "GET /", "GET /public/", "GET /"]
--- more_headers eval
['', map { "Cookie: \$CAPTURED_token\nX-User: evil\nAuthorization: Bearer evil" } 1 .. 3]
--- before eval
[undef, sub { $::redis->stop }, undef, sub { $::redis->start; sleep 2 }]
--- error_code eval
[200, 503, 200, 200]
--- upstream_json eval
[undef, undef, sees('X-User' => undef, Authorization => undef, Cookie => undef), undef]
--- check eval
[sets('__Host-session'), \&silent, \&silent, \&silent]

=== Q3: many at the same time, each with a life of its own
--- parallel
--- request eval
[map { stores(qq({"user":"u$_"})) } 1 .. 10]
--- check eval
my %seen;
[(sub { my ($set, @more) = $_[0]->set_cookies; $set && !@more && !$seen{ $set->{value} }++ or 'not one cookie of its own' }) x 10]

=== Q3: new, set, get, unset, destroy
--- cookie_jar eval
[map { ($_) x 5 } 1 .. 3]
--- request eval
[map { (stores('{"user":"ann"}'), "GET /", stores('{"user":null}'), "GET /", "GET /logout") } 1 .. 3]
--- error_code eval
[map { (200, 200, 200, 200, 204) } 1 .. 3]
--- upstream_json eval
[map { (undef, sees('X-User' => 'ann'), undef, sees('X-User' => undef), undef) } 1 .. 3]
--- check eval
[map { (sets('__Host-session'), \&silent, sets('__Host-session'), \&silent, expires('__Host-session')) } 1 .. 3]
