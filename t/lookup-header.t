# session_lookup header:Name: sessions whose token travels in a header. Cases L4, F8.
use lib 't/lib';
use SessT 'no_plan';

require './t/refused.pl';
require './t/speaking.pl';
rig 'B2';

our $in_shm = "session_backend s shm { size 1m; }\nsession_storage s;\nsession start;\nsession_secret x;\nsession_stale_ttl 1s;\n";

# In every block: /h looks in the header alone, /both and /htoo in two places.
add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->must_die;
    my $places = { h => 'header:X-Session-Id', both => 'cookie header:X-Session-Id', htoo => 'header:X-Session-Id cookie' };
    my %does = (
        set  => 'session_set user $arg_u;',
        get  => 'session_map_header X-User user;',
        hide => 'session_map_header X-User user; session_hide on;',
        con  => 'session_control on;',
    );
    my $echo = 'proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;';
    my $config = $block->config // '';
    for my $place (sort keys %$places) {
        my $inner = join ' ', map { "location /$place/$_ { $does{$_} $echo }" } sort keys %does;
        $config .= "location /$place/ { session_lookup $places->{$place}; $inner location /$place/show { return 200 \"\$session_status|\$session_subject|\$session_json\"; }\n"
            . " location /$place/out { session destroy; return 204; } location /$place/logout { session logout; return 204; } }\n";
    }
    $block->set_value(config => $config);
});

# The token is in this header, no cookie is set, and caches are told.
sub token_in {
    my ($name) = @_;
    return sub {
        my ($res) = @_;
        my @tokens = $res->headers($name);
        return @tokens . " headers $name" if @tokens != 1;
        return "no token: $tokens[0]" unless $tokens[0] =~ /\AAQ[\w-]{108,}\z/;
        return 'spelled otherwise' unless $res->{head} =~ /^\Q$name\E: /m;
        my $caches = $res->header('Cache-Control') // 'none';
        return "Cache-Control: $caches" unless $caches eq qq(no-cache="$name");
        return silent($res);
    };
}

# Nothing is sent back: neither header nor cookie.
sub nothing { my ($res) = @_; return $res->{head} !~ /^X-Session-Id:/mi ? silent($res) : 'a header: ' . $res->header('X-Session-Id') }

sub user { my ($wanted) = @_; sub { ($_[0]->header('X-User') // '-') eq $wanted or 'X-User ' . ($_[0]->header('X-User') // '-') } }

our $token = { T => qr/^X-Session-Id: (\S+)/mi };
our $cookie = { C => qr/^Set-Cookie: (session=[^;]+)/m };

refused('header: no name', 'session_lookup header:;', qr/header:/);
refused('header: a blank', 'session_lookup "header:X Session";', qr/X Session/);
refused('header: a colon', 'session_lookup header:X:Y;', qr/X:Y/);
refused('header: a byte no header has', "session_lookup header:X-\xc3\xa4;", qr/session_lookup/);
refused('header: a variable', 'session_lookup header:$host;', qr/\$host/);
refused("header: $_", "session_lookup header:$_;", qr/$_/) for qw(Host Cookie Content-Length Transfer-Encoding Connection host COOKIE);
refused('the same place twice', 'session_lookup cookie header:X-A cookie;', qr/cookie/);
refused('the same header twice', 'session_lookup header:X-A cookie header:x-a;', qr/x-a/i);
refused('an unknown place', 'session_lookup cookie headers:X-A;', qr/"headers:X-A"/);
refused('a place that takes no name', 'session_lookup cookie:sid;', qr/"cookie:sid"/);
refused('a header without its word', 'session_lookup X-Session-Id;', qr/"X-Session-Id"/);
refused('an empty place', 'session_lookup cookie "";', qr/""/);
refused('twice', "session_lookup header:X-A;\nsession_lookup header:X-B;", qr/duplicate/);
refused('an unknown profile', 'session_lookup cookie profile=x;', qr/unknown profile "x"/);

add_refused();
run_tests();
__DATA__

=== L4: the token comes in a header and is found in it; there is no cookie
--- capture eval
[$::token]
--- request eval
["GET /h/set?u=ann", "GET /h/get", "GET /h/show", "GET /h/get"]
--- more_headers eval
["", ('X-Session-Id: $CAPTURED_T') x 2, ""]
--- check eval
[token_in('X-Session-Id'), (\&nothing) x 3]
--- upstream_json eval
[user('-'), all_hold(user('ann'), sub { $_[0]->header('X-Session-Id') eq captured('T') or 'the header does not go upstream' }), undef, user('-')]
--- response_body eval
[undef, undef, 'open||{"user":"ann"}', undef]

=== L4: by TLS, HTTP/1.0, HEAD; the request's header in another case
--- tls eval
[1, 1, 0, 0, 0, 0]
--- capture eval
[$::token, undef, $::token, undef, $::token]
--- request eval
["GET /h/set?u=ann", "GET /h/get", "GET /h/set?u=bob HTTP/1.0", "GET /h/get HTTP/1.0", "HEAD /h/set?u=cyd", "GET /h/get"]
--- more_headers eval
["", 'x-session-id: $CAPTURED_T', "", 'X-SESSION-ID: $CAPTURED_T', "", 'X-Session-Id:    $CAPTURED_T   ']
--- check eval
[(token_in('X-Session-Id'), \&nothing) x 3]
--- upstream_json eval
[undef, user('ann'), undef, user('bob'), undef, user('cyd')]

=== L4: by HTTP/2
--- http2
--- capture eval
[$::token]
--- request eval
["GET /h/set?u=ann", "GET /h/get"]
--- more_headers eval
["", 'X-Session-Id: $CAPTURED_T']
--- check eval
[sub { ($_[0]->header('X-Session-Id') // '') =~ /\AAQ/ ? silent($_[0]) : 'no token' }, \&nothing]
--- upstream_json eval
[undef, user('ann')]

=== a change sends a new token, the old one ends after stale_ttl
--- rig: none
--- http_config eval
$::in_shm
--- capture eval
[{ A => qr/^X-Session-Id: (\S+)/m }, { B => qr/^X-Session-Id: (\S+)/m }, undef, undef, undef]
--- sleep_before eval
[0, 0, 0, 0, 2.2]
--- request eval
["GET /h/set?u=ann", "GET /h/set?u=bob", "GET /h/set?u=bob", "GET /h/show", "GET /h/show"]
--- more_headers eval
["", 'X-Session-Id: $CAPTURED_A', 'X-Session-Id: $CAPTURED_B', 'X-Session-Id: $CAPTURED_B', 'X-Session-Id: $CAPTURED_A']
--- response_body eval
[undef, undef, undef, 'open||{"user":"bob"}', 'no-record||']
--- check eval
[token_in('X-Session-Id'), all_hold(token_in('X-Session-Id'), sub { captured('A') ne captured('B') or 'the same token' }), \&nothing, \&nothing, \&nothing]

=== a touch and a renewal send the token by the header
--- capture eval
[$::token, { U => qr/^X-Session-Id: (\S+)/m }, { V => qr/^X-Session-Id: (\S+)/m }, undef]
--- config
location = /touch { session_lookup header:X-Session-Id; session_touch_threshold 0; session_renew_after off; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /renew { session_lookup header:X-Session-Id; session_renew_after 1s; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- sleep_before eval
[0, 1.1, 1.2, 0]
--- request eval
["GET /h/set?u=ann", "GET /touch", "GET /renew", "GET /h/show"]
--- more_headers eval
["", 'X-Session-Id: $CAPTURED_T', 'X-Session-Id: $CAPTURED_U', 'X-Session-Id: $CAPTURED_V']
--- response_body eval
[undef, undef, undef, 'open||{"user":"ann"}']
--- check eval
[token_in('X-Session-Id'),
 all_hold(token_in('X-Session-Id'), sub { id_in(captured('U')) eq id_in(captured('T')) or 'a touch keeps the id' }),
 all_hold(token_in('X-Session-Id'), sub { id_in(captured('V')) ne id_in(captured('U')) or 'a renewal makes a new id' }), \&nothing]
--- upstream_json eval
[undef, user('ann'), user('ann')]

=== logout and destroy send nothing, and end it
--- rig: none
--- http_config eval
$::in_shm
--- capture eval
[$::token, undef, undef, $::token]
--- request eval
["GET /h/set?u=ann", "GET /h/out", "GET /h/show", "GET /h/set?u=bob", "GET /h/logout", "GET /h/show"]
--- more_headers eval
["", ('X-Session-Id: $CAPTURED_T') x 2, "", ('X-Session-Id: $CAPTURED_T') x 2]
--- error_code eval
[200, 204, 200, 200, 204, 200]
--- response_body eval
[undef, "", 'no-record||', undef, "", 'no-record||']
--- check eval
[token_in('X-Session-Id'), \&nothing, \&nothing, token_in('X-Session-Id'), \&nothing, \&nothing]

=== a token that is refused is not cleared; $session_status tells
--- capture eval
[$::token]
--- request eval
["GET /h/set?u=ann", ("GET /h/show") x 6]
--- more_headers eval
["", "X-Session-Id: made-up", "X-Session-Id: ", 'X-Session-Id: ${CAPTURED_T}A', 'X-Session-Id: x$CAPTURED_T', "X-Session-Id: " . 'A' x 110, "X-Session-Id: AQ\xff"]
--- response_body_like eval
["", '^bad-format\|', '^missing\|', ('^bad-(?:format|signature)\|') x 4]
--- check eval
[token_in('X-Session-Id'), (\&nothing) x 6]
--- no_error_log
[error]

=== a made-up token is never adopted
--- request
GET /h/set?u=ann
--- more_headers
X-Session-Id: my-own-choice
--- check eval
all_hold(token_in('X-Session-Id'), sub { $_[0]->header('X-Session-Id') !~ /my-own/ or 'adopted' })

=== several lines of the header: each is tried
--- capture eval
[$::token]
--- request eval
["GET /h/set?u=ann", ("GET /h/show") x 2]
--- more_headers eval
["", "X-Session-Id: made-up\nX-Session-Id: \$CAPTURED_T", "X-Session-Id: \$CAPTURED_T\nX-Session-Id: made-up"]
--- response_body eval
[undef, ('open||{"user":"ann"}') x 2]

=== with cookie storage the whole session is one text, however long
--- rig: none
--- http_config
large_client_header_buffers 4 64k;
session start;
session_secret x;
session_compression_threshold 0;
--- capture eval
[$::token]
--- request eval
["GET /h/set?u=" . 'x' x 9000, "GET /h/show"]
--- more_headers eval
["", 'X-Session-Id: $CAPTURED_T']
--- response_body eval
[undef, 'open||{"user":"' . 'x' x 9000 . '"}']
--- check eval
[all_hold(token_in('X-Session-Id'), sub { length $_[0]->header('X-Session-Id') > 9000 or 'length' }), \&nothing]

=== the upstream's header of that name is replaced when a token is sent, and stays otherwise; other headers and cookies stay
--- capture eval
[$::token]
--- request eval
[::ask('/h/set?u=ann', 'X-Session-Id: his', 'x-session-id: his too', 'Set-Cookie: a=b', 'X-Other: 1'), ::ask('/h/get', 'X-Session-Id: his')]
--- more_headers eval
["", 'X-Session-Id: $CAPTURED_T']
--- response_headers_like eval
["X-Session-Id: AQ[\\w-]+\nSet-Cookie: a=b\nX-Other: 1", "X-Session-Id: his\n"]

=== session_cache_control: no-cache names the header; switched off; what forbids storing stays
--- config
location = /off { session_lookup header:X-Session-Id; session_cache_control off; session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /h/set?u=a", "GET /off", ::ask('/h/set?u=a', 'Cache-Control: no-store')]
--- response_headers eval
['Cache-Control: no-cache="X-Session-Id"', '! Cache-Control', 'Cache-Control: no-store']

=== nothing is said of CORS
--- request
GET /h/set?u=ann
--- more_headers
Origin: https://app.example
--- raw_response_headers_unlike: Access-Control

=== no remember cookie is made where the carrier is a header
--- config
location = /remember { session_lookup header:X-Session-Id; session_remember on; session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request
GET /remember
--- check eval
token_in('X-Session-Id')

=== session_create always makes one on the first visit
--- config
location = /always { session_lookup header:X-Session-Id; session_create always; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- capture eval
[$::token]
--- request eval
["GET /always", "GET /always", "GET /h/show"]
--- more_headers eval
["", ('X-Session-Id: $CAPTURED_T') x 2]
--- response_body eval
[undef, undef, 'open||{}']
--- check eval
[token_in('X-Session-Id'), \&nothing, \&nothing]

=== a location answered by return, and errors
--- config
location = /return { session_lookup header:X-Session-Id; session_set a 1; return 201; }
location = /error  { session_lookup header:X-Session-Id; session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=500; }
--- request eval
["GET /return", "GET /error"]
--- error_code eval
[201, 500]
--- check eval
[(token_in('X-Session-Id')) x 2]

=== the first place wins: a cookie before a header, and a header before a cookie
--- capture eval
[$::token, { C => qr/^Set-Cookie: (session=[^;]+)/m }]
--- request eval
["GET /h/set?u=head", "GET /set?u=cook", "GET /both/show", "GET /htoo/show", "GET /both/set?u=new", "GET /htoo/set?u=new"]
--- more_headers eval
["", "", ("X-Session-Id: \$CAPTURED_T\nCookie: \$CAPTURED_C") x 4]
--- response_body eval
[undef, undef, 'open||{"user":"cook"}', 'open||{"user":"head"}', undef, undef]
--- check eval
[token_in('X-Session-Id'), sets('session'), \&nothing, \&nothing, all_hold(sets('session'), sub { !defined $_[0]->header('X-Session-Id') or 'a header as well' }), token_in('X-Session-Id')]

=== a place that does not verify is passed over
--- capture eval
[$::token, { C => qr/^Set-Cookie: (session=[^;]+)/m }]
--- request eval
["GET /h/set?u=head", "GET /set?u=cook", "GET /both/show", "GET /htoo/show", "GET /both/show", "GET /htoo/show"]
--- more_headers eval
["", "", "X-Session-Id: \$CAPTURED_T\nCookie: session=made-up", "X-Session-Id: made-up\nCookie: \$CAPTURED_C", 'X-Session-Id: $CAPTURED_T', 'Cookie: $CAPTURED_C']
--- response_body eval
[undef, undef, 'open||{"user":"head"}', 'open||{"user":"cook"}', 'open||{"user":"head"}', 'open||{"user":"cook"}']

=== what verifies wins, also when its record is gone
--- rig: none
--- http_config eval
$::in_shm
--- config
location = /cookie/set { session_set user $arg_u; return 204; }
location = /cookie/out { session destroy; return 204; }
--- capture eval
[$::token, { C => qr/^Set-Cookie: (session=[^;]+)/m }]
--- request eval
["GET /h/set?u=head", "GET /cookie/set?u=cook", "GET /cookie/out", "GET /both/show", "GET /htoo/show"]
--- more_headers eval
["", "", 'Cookie: $CAPTURED_C', ("X-Session-Id: \$CAPTURED_T\nCookie: \$CAPTURED_C") x 2]
--- error_code eval
[200, 204, 204, 200, 200]
--- response_body eval
[undef, "", "", 'no-record||', 'open||{"user":"head"}']

=== the carrier of a new session: the first place with a token, refused or not; else the first of the list
--- request eval
["GET /both/set?u=1", "GET /htoo/set?u=1", "GET /both/set?u=1", "GET /htoo/set?u=1", "GET /both/set?u=1", "GET /htoo/set?u=1", "GET /both/set?u=1", "GET /both/set?u=1", "GET /htoo/set?u=1"]
--- more_headers eval
["", "", "X-Session-Id: made-up", "X-Session-Id: made-up", "Cookie: session=made-up", "Cookie: session=made-up", "X-Session-Id: made-up\nCookie: session=made-up", "X-Session-Id:", "Cookie: session="]
--- check eval
my $by_cookie = all_hold(sets('session'), sub { !defined $_[0]->header('X-Session-Id') or 'a header as well' });
my $by_header = token_in('X-Session-Id');
[$by_cookie, $by_header, $by_header, $by_header, $by_cookie, $by_cookie, $by_cookie, $by_cookie, $by_header]

=== a token of a cookie is one of a header, and the other way round
--- capture eval
[$::token, { C => qr/^Set-Cookie: session=([^;]+)/m }]
--- request eval
["GET /h/set?u=head", "GET /set?u=cook", "GET /get", "GET /h/get"]
--- more_headers eval
["", "", 'Cookie: session=$CAPTURED_T', 'X-Session-Id: $CAPTURED_C']
--- upstream_json eval
[undef, undef, user('head'), user('cook')]

=== a header counts only where it is named, and under its own name
--- capture eval
[$::token]
--- config
location = /other { session_lookup header:X-Other; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /h/set?u=ann", "GET /get", "GET /other", "GET /h/get?X-Session-Id=\$CAPTURED_T", "GET /h/get"]
--- more_headers eval
["", ('X-Session-Id: $CAPTURED_T') x 2, "", 'Cookie: session=$CAPTURED_T']
--- upstream_json eval
[undef, (user('-')) x 4]

=== a level replaces the whole list
--- capture eval
[$::token]
--- config
session_lookup header:X-Session-Id;
location = /inherits { return 200 "$session_status"; }
location = /own      { session_lookup cookie header:X-Other; return 200 "$session_status"; }
--- request eval
["GET /h/set?u=ann", "GET /inherits", "GET /own"]
--- more_headers eval
["", ('X-Session-Id: $CAPTURED_T') x 2]
--- response_body eval
[undef, 'open', 'missing']

=== F8: hide takes the header away, valid or not, every line, whoever won; cookies always
--- capture eval
[$::token, $::cookie]
--- request eval
["GET /h/set?u=ann", "GET /set?u=cook", ("GET /h/hide") x 4, "GET /both/hide", "GET /h/get"]
--- more_headers eval
["", "", 'X-Session-Id: $CAPTURED_T', "X-Session-Id: made-up\nx-session-id: again", "X-Session-Id: \$CAPTURED_T\nCookie: a=1; \$CAPTURED_C; b=2", "X-Session-Id-2: stays",
 "X-Session-Id: \$CAPTURED_T\nCookie: \$CAPTURED_C", "X-Session-Id: stays"]
--- upstream_json eval
my $hidden = sub { !grep({ lc $_->[0] eq 'x-session-id' } @{ $_[0]{headers} }) or 'the upstream sees the token' };
[undef, undef, all_hold($hidden, user('ann')), all_hold($hidden, user('-')), all_hold($hidden, user('ann'), sub { $_[0]->header('Cookie') eq 'a=1; b=2' or $_[0]->header('Cookie') }),
 all_hold($hidden, sub { $_[0]->header('X-Session-Id-2') eq 'stays' or 'another header' }),
 all_hold($hidden, user('cook'), sub { !defined $_[0]->header('Cookie') or 'a cookie' }), sub { $_[0]->header('X-Session-Id') eq 'stays' or 'gone without hide' }]

=== control headers speak through the header as well
--- capture eval
[{ A => qr/^X-Session-Id: (\S+)/m }, { B => qr/^X-Session-Id: (\S+)/m }, undef, { C => qr/^X-Session-Id: (\S+)/m }]
--- request eval
[::ask('/h/con', 'X-Session-Data: {"a":1}'), ::ask('/h/con', 'X-Session-Subject: ann', 'X-Session-Remember: on'), "GET /h/show", ::ask('/h/con', 'X-Session-Action: touch'), ::ask('/h/con', 'X-Session-Action: logout')]
--- more_headers eval
["", 'X-Session-Id: $CAPTURED_A', ('X-Session-Id: $CAPTURED_B') x 2, 'X-Session-Id: $CAPTURED_C']
--- response_body eval
[undef, undef, 'open|ann|{"a":1}', undef, undef]
--- check eval
[(all_hold(token_in('X-Session-Id'), \&clean)) x 2, undef, all_hold(token_in('X-Session-Id'), sub { id_in(captured('C')) eq id_in(captured('B')) or 'a touch keeps the id' }), all_hold(\&nothing, \&clean)]

=== require, property headers, and subrequests know such a session
--- capture eval
[$::token]
--- config
session_lookup header:X-Session-Id;
location = /need   { session_require on; session_request_headers id; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /main   { auth_request /auth; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /auth   { internal; if ($session_exists = "") { return 401; } return 204; }
--- request eval
["GET /h/set?u=ann", "GET /need", "GET /need", "GET /main", "GET /main"]
--- more_headers eval
["", 'X-Session-Id: $CAPTURED_T', "", 'X-Session-Id: $CAPTURED_T', ""]
--- error_code eval
[200, 200, 401, 200, 401]
--- upstream_json eval
[undef, sub { length $_[0]->header('Session-Id') == 43 or 'Session-Id' }]

=== no token comes into the log
--- log_level: debug
--- capture eval
[$::token]
--- request eval
["GET /h/set?u=ann", "GET /h/out"]
--- error_code eval
[200, 204]
--- more_headers eval
["", 'X-Session-Id: $CAPTURED_T']
--- no_error_log
session: $CAPTURED_T
