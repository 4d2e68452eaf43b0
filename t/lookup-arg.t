# session_lookup arg:name: a session found by an argument is only read. Cases L6, F8.
use lib 't/lib';
use SessT 'no_plan';

use SessT::Gateway;

require './t/refused.pl';
require './t/speaking.pl';
rig 'B2';

our $in_shm = "session_backend s shm { size 1m; }\nsession_storage s;\nsession start;\nsession_secret x;\nsession_stale_ttl 1s;\n";
our $port = SessT::Gateway::start('fastcgi');
our $fastcgi = "location /cgi { session_lookup arg:session_id; session_hide on; fastcgi_pass 127.0.0.1:$port; fastcgi_param QUERY_STRING \$query_string; @{[SessT::Gateway::params('fastcgi')]} }\n";

# In every block: /a looks in the argument alone, /ac and /ca also in the cookie, /ha in a header first.
add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->must_die;
    my $places = { a => 'arg:session_id', ac => 'arg:session_id cookie', ca => 'cookie arg:session_id', ha => 'header:X-Token arg:session_id' };
    my $echo = 'proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;';
    my %does = (
        set  => "session_set user \$arg_u; $echo",
        get  => "session_map_header X-User user; $echo",
        hide => "session_map_header X-User user; session_hide on; $echo",
        show => 'return 200 "$session_status|$session_subject|$session_json";',
        out  => 'session destroy; return 204;',
        logout => 'session logout; return 204;',
    );
    my $config = $block->config // '';
    for my $place (sort keys %$places) {
        $config .= join '', "location /$place/ { session_lookup $places->{$place};\n", (map { "location /$place/$_ { $does{$_} }\n" } sort keys %does), "}\n";
    }
    $block->set_value(config => "${config}location = /seed { session_lookup cookie; session_set user \$arg_u; return 204; }\nlocation = /look { return 200 \"\$session_status|\$session_subject|\$session_json\"; }\n");
});

# Nothing is sent back: neither header nor cookie.
sub nothing { my ($res) = @_; return $res->{head} !~ /^X-Token:/mi ? silent($res) : 'a header' }

sub user { my ($wanted) = @_; sub { ($_[0]->header('X-User') // '-') eq $wanted or 'X-User ' . ($_[0]->header('X-User') // '-') } }

sub uri { my ($wanted) = @_; sub { $_[0]{uri} eq $wanted or "URI $_[0]{uri}" } }

our $token = { T => qr/^Set-Cookie: session=([^;]+)/mi };

# What is asked for, and what the upstream sees: SID stands for the token's argument.
our @hidden = (
    [ '?SID',                      '' ],
    [ '?SID&x=1',                  '?x=1' ],
    [ '?x=1&SID',                  '?x=1' ],
    [ '?a=1&SID&b=2',              '?a=1&b=2' ],
    [ '?SID&SID',                  '' ],
    [ '?SID&a=1&SID&b=2&SID',      '?a=1&b=2' ],
    [ '?a=1&session_id=other&b=2', '?a=1&b=2' ],
    [ '?session_id=&x=1',          '?x=1' ],
    [ '?x=%20%7e+%2F&SID&y=%C3%A4', '?x=%20%7e+%2F&y=%C3%A4' ],
    [ '?x==&SID&y=?/;&=',          '?x==&y=?/;&=' ],
    [ '?a&&SID&&b&',               '?a&&&b&' ],
    [ '?Session_id=1&SESSION_ID=2&SID', '?Session_id=1&SESSION_ID=2' ],
    [ '?xsession_id=1&session_id2=2&SID&session=3', '?xsession_id=1&session_id2=2&session=3' ],
    [ '?q=session_id=1&SID',       '?q=session_id=1' ],
    [ '?session%5fid=1&SID',       '?session%5fid=1' ],
    [ '?x=1',                      '?x=1' ],
    [ '?',                         '?' ],
    [ '',                          '' ],
);

sub with_token { my ($query) = @_; return $query =~ s/SID/session_id=\$CAPTURED_T/gr }

refused('arg: no name', 'session_lookup arg:;', qr/arg:/);
refused("arg: $_", qq(session_lookup "arg:$_";), qr/session_lookup/) for 'a&b', 'a=b', 'a b', '$host', 'a#b', 'a?b';
refused('the same argument twice', 'session_lookup arg:a cookie arg:a;', qr/arg:a/);
refused('an unknown place', 'session_lookup args:a;', qr/"args:a"/);

add_refused();
run_tests();
__DATA__

=== L6: the argument opens the session, and hide takes it away
--- capture eval
[$::token]
--- request eval
['GET /seed?u=ann', 'GET /a/hide?session_id=$CAPTURED_T&x=1', 'GET /a/get?session_id=$CAPTURED_T&x=1', 'GET /a/hide?x=1', 'GET /a/show?x=1&session_id=$CAPTURED_T']
--- error_code eval
[204, 200, 200, 200, 200]
--- upstream_json eval
[undef, all_hold(user('ann'), uri('/a/hide?x=1')), all_hold(user('ann'), sub { $_[0]{uri} eq '/a/get?session_id=' . captured('T') . '&x=1' or $_[0]{uri} }), all_hold(user('-'), uri('/a/hide?x=1'))]
--- shown eval
["", undef, undef, undef, 'open||{"user":"ann"}']
--- check eval
[sets('session'), (\&nothing) x 4]

=== by HTTP/2 and TLS
--- http2
--- tls
--- capture eval
[$::token]
--- request eval
['GET /seed?u=ann', 'GET /a/hide?session_id=$CAPTURED_T&x=1']
--- error_code eval
[204, 200]
--- upstream_json eval
[undef, all_hold(user('ann'), uri('/a/hide?x=1'))]

=== an argument counts only where it is named, exactly by that name
--- capture eval
[$::token]
--- request eval
['GET /seed?u=ann', map { "GET $_" } '/look?session_id=$CAPTURED_T', '/look?session=$CAPTURED_T', '/a/show?Session_id=$CAPTURED_T', '/a/show?SESSION_ID=$CAPTURED_T', '/a/show?session%5Fid=$CAPTURED_T', '/a/show?session_id2=$CAPTURED_T', '/a/show?x=session_id=$CAPTURED_T']
--- error_code eval
[204, (200) x 7]
--- response_body eval
["", ('missing||') x 7]

=== the token in the body of a form is none
--- capture eval
[$::token]
--- request eval
['GET /seed?u=ann', "POST /a/show\nsession_id=\$CAPTURED_T"]
--- more_headers eval
["", "Content-Type: application/x-www-form-urlencoded"]
--- error_code eval
[204, 200]
--- response_body eval
["", 'missing||']

=== F8: hide leaves all else of the URI byte for byte
--- capture eval
[$::token, (undef) x @::hidden]
--- request eval
['GET /seed?u=ann', map { 'GET /a/hide' . with_token($_->[0]) } @::hidden]
--- error_code eval
[204, (200) x @::hidden]
--- upstream_json eval
[undef, map { uri("/a/hide$_->[1]") } @::hidden]

=== F8: the path stays raw; the variables say the same; a URI in proxy_pass, a rewrite, a subrequest
--- capture eval
[$::token]
--- config
session_lookup arg:session_id;
session_hide on;
location /vars { proxy_set_header X-Vars "[$request_uri][$args][$query_string][$is_args][$arg_session_id][$arg_x]"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /uri/ { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/base/; }
location /rewritten { rewrite ^ /there break; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /variable { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT$request_uri; }
location /main { auth_request /auth; auth_request_set $saw $upstream_http_x_saw; proxy_set_header X-Saw $saw; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /auth { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; proxy_set_header X-URI $request_uri; }
--- http_config
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; session off; add_header X-Saw $http_x_uri; location / { return 204; } }
--- request eval
['GET /seed?u=ann', map { "GET $_" } '/vars/%61%20b/../%C3%A4?session_id=$CAPTURED_T&x=1', '/vars?session_id=$CAPTURED_T', '/uri/a%20b?x=1&session_id=$CAPTURED_T', '/rewritten?session_id=$CAPTURED_T&x=1', '/variable/%61?session_id=$CAPTURED_T&x=1', '/main?session_id=$CAPTURED_T&x=1']
--- error_code eval
[204, (200) x 6]
--- upstream_json eval
[undef,
 all_hold(uri('/vars/%61%20b/../%C3%A4?x=1'), sub { $_[0]->header('X-Vars') eq '[/vars/%61%20b/../%C3%A4?x=1][x=1][x=1][?][][1]' or $_[0]->header('X-Vars') }),
 all_hold(uri('/vars'), sub { $_[0]->header('X-Vars') eq '[/vars][][][][][]' or $_[0]->header('X-Vars') }),
 uri('/base/a%20b?x=1'), uri('/there?x=1'), uri('/variable/%61?x=1'), all_hold(uri('/main?x=1'), sub { $_[0]->header('X-Saw') eq '/main?x=1' or $_[0]->header('X-Saw') })]

=== F8: behind FastCGI
--- config eval
$::fastcgi
--- capture eval
[$::token]
--- request eval
['GET /seed?u=ann', 'GET /cgi/a?session_id=$CAPTURED_T&x=1']
--- error_code eval
[204, 200]
--- upstream_json eval
[undef, sub { $_[0]->header('REQUEST_URI') eq '/cgi/a?x=1' && $_[0]->header('QUERY_STRING') eq 'x=1' or $_[0]->header('REQUEST_URI') . ' ' . $_[0]->header('QUERY_STRING') }]

=== F8: a token that is refused goes as well; cookies, headers and arguments of the list go together
--- capture eval
[$::token]
--- config
location /all { session_lookup header:X-Token arg:a arg:b; session_hide on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
['GET /seed?u=ann', "GET /a/hide?session_id=made-up&x=1", "GET /all?a=1&x=1&b=2&c=3"]
--- more_headers eval
["", "", "Cookie: z=1; session=\$CAPTURED_T\nX-Token: t"]
--- error_code eval
[204, 200, 200]
--- upstream_json eval
[undef, uri('/a/hide?x=1'), all_hold(uri('/all?x=1&c=3'), sub { $_[0]->header('Cookie') eq 'z=1' && !defined $_[0]->header('X-Token') or 'headers' })]

=== hide off: the argument goes upstream as it came
--- request
GET /a/get?x=1&session_id=made-up&&y
--- upstream_json eval
uri('/a/get?x=1&session_id=made-up&&y')

=== it is only read: nothing is stored, renewed or touched, and a dropped change is told
--- capture eval
[$::token]
--- config
location = /touch    { session_lookup arg:session_id; session_touch_threshold 0; session_renew_after 1s; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /response { session_lookup arg:session_id; session_set a 1 phase=response; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /info     { session_lookup arg:session_id; session_info_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /unset    { session_lookup arg:session_id; session_unset all; return 200; }
location = /remember { session_lookup arg:session_id; session_remember on; session_subject eve; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /control  { session_lookup arg:session_id; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=X-Session-Data:%7b%22a%22:1%7d&rh=X-Session-Subject:eve; }
--- request eval
['GET /seed?u=ann', map { "GET $_" } '/a/set?u=eve&session_id=$CAPTURED_T', '/response?session_id=$CAPTURED_T', '/info?session_id=$CAPTURED_T', '/unset?session_id=$CAPTURED_T', '/remember?session_id=$CAPTURED_T', '/control?session_id=$CAPTURED_T', '/touch?session_id=$CAPTURED_T', '/a/show?session_id=$CAPTURED_T']
--- sleep_before eval
[(0) x 7, 1.2, 0]
--- error_code eval
[204, (200) x 8]
--- shown eval
["", (undef) x 7, 'open||{"user":"ann"}']
--- before eval
\&mark_log
--- check eval
my $told = all_hold(\&nothing, \&clean, sub { my @lines = grep { /session: a session found by "arg:session_id" is only read: / } split /\n/, news_of_log(); @lines == 1 && $lines[0] =~ /\[info\]/ or @lines . ' lines' });
my $quiet = all_hold(\&nothing, sub { news_of_log() !~ /only read/ or 'a line though nothing was changed' });
[sets('session'), ($told) x 6, \&nothing, $quiet]

=== with server storage the record stays as it is
--- rig: none
--- http_config eval
$::in_shm
--- capture eval
[$::token]
--- config
location = /info { session_lookup arg:session_id; session_info_set a 1; return 204; }
location = /what { return 200 "$session_info_a|$session_json"; }
--- request eval
['GET /seed?u=ann', 'GET /a/set?u=eve&session_id=$CAPTURED_T', 'GET /info?session_id=$CAPTURED_T', 'GET /what']
--- more_headers eval
["", "", "", 'Cookie: session=$CAPTURED_T']
--- error_code eval
[204, 200, 204, 200]
--- response_body eval
["", undef, "", '|{"user":"ann"}']
--- check eval
[sets('session'), (\&nothing) x 3]

=== logout and destroy do end it, silently
--- rig: none
--- http_config eval
$::in_shm
--- capture eval
[$::token, undef, undef, { T => qr/^Set-Cookie: session=([^;]+)/mi }]
--- request eval
['GET /seed?u=ann', 'GET /a/out?session_id=$CAPTURED_T', 'GET /a/show?session_id=$CAPTURED_T', 'GET /seed?u=bob', 'GET /a/logout?session_id=$CAPTURED_T', 'GET /a/show?session_id=$CAPTURED_T']
--- error_code eval
[204, 204, 200, 204, 204, 200]
--- response_body eval
["", "", 'no-record||', "", "", 'no-record||']
--- check eval
[sets('session'), \&nothing, \&nothing, sets('session'), \&nothing, \&nothing]

=== only arg: and none was found: nothing can be stored
--- config
location = /always { session_lookup arg:session_id; session_create always; session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /control { session_lookup arg:session_id; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?rh=X-Session-Data:%7b%22a%22:1%7d; }
--- request eval
["GET /a/set?u=eve", "GET /a/set?u=eve&session_id=made-up", "GET /always", "GET /control"]
--- check eval
all_hold(\&nothing, \&clean)
--- error_log eval
qr/\[info\].*session: .*"arg:session_id" is only read: /

=== a link cannot plant a session, nor can it replace the one that is there
--- capture eval
[{ T => qr/^Set-Cookie: session=([^;]+)/m }, { C => qr/^Set-Cookie: (session=[^;]+)/mi }]
--- request eval
['GET /seed?u=eve', 'GET /seed?u=ann', 'GET /ac/set?u=x&session_id=$CAPTURED_T', 'GET /ca/set?u=new&session_id=$CAPTURED_T', 'GET /ac/get?session_id=$CAPTURED_T']
--- more_headers eval
["", "", ('Cookie: $CAPTURED_C') x 2, ""]
--- error_code eval
[204, 204, 200, 200, 200]
--- check eval
[sets('session'), sets('session'), \&nothing, sets('session'), \&nothing]

=== the first that verifies wins; what does not verify is passed over
--- capture eval
[{ T => qr/^Set-Cookie: session=([^;]+)/m }, { C => qr/^Set-Cookie: (session=[^;]+)/mi }]
--- request eval
['GET /seed?u=link', 'GET /seed?u=cook', (map { ("GET /ac/get?session_id=$_", "GET /ca/get?session_id=$_") } '$CAPTURED_T', 'made-up'), 'GET /ca/get?session_id=$CAPTURED_T', 'GET /ha/get?session_id=$CAPTURED_T', 'GET /ha/get?session_id=made-up']
--- more_headers eval
["", "", ('Cookie: $CAPTURED_C') x 4, "Cookie: session=made-up", 'X-Token: made-up', 'X-Token: $CAPTURED_T']
--- error_code eval
[204, 204, (200) x 7]
--- upstream_json eval
[undef, undef, map { user($_) } qw(link cook cook cook link link link)]

=== none found: the carrier is the first cookie or header place, whatever the argument had
--- request eval
["GET /ac/set?u=1", "GET /ac/set?u=1&session_id=made-up", "GET /ca/set?u=1&session_id=made-up"]
--- check eval
sets('session')

=== none found, a header in the list: the header carries
--- request eval
["GET /ha/set?u=1", "GET /ha/set?u=1&session_id=made-up"]
--- check eval
sub { ($_[0]->header('X-Token') // '') =~ /\AA[Q-Za-f][\w-]{108,}\z/ ? silent($_[0]) : 'no token' }

=== what an argument had is not cleared; $session_status tells
--- request eval
["GET /a/show?session_id=made-up", "GET /a/show?session_id=", "GET /a/show?session_id", "GET /a/show?session_id=" . 'A' x 110, "GET /a/show?session_id=%00%ff"]
--- response_body_like eval
['^bad-format\|', '^missing\|', '^missing\|', '^bad-', '^bad-']
--- check eval
\&nothing

=== no token comes into a line of ours in the log
--- log_level: debug
--- capture eval
[$::token]
--- request eval
['GET /seed?u=ann', 'GET /a/set?u=eve&session_id=$CAPTURED_T']
--- error_code eval
[204, 200]
--- no_error_log eval
[qr/session: (?:(?!, client: ).)*AQ[\w-]{100}/]
