# Control headers and nginx's caches: what one user's answer says about a session never reaches another.
use lib 't/lib';
use SessT 'no_plan';

use SessT::Gateway;

require './t/speaking.pl';
rig 'B2';
timeout 10;

our %gateway = map { $_ => SessT::Gateway::start($_) } qw(fastcgi uwsgi scgi);
our $gateway_caches = join '', map { "${_}_cache_path ${_}_cache keys_zone=$_:1m;\n" } sort keys %gateway;
our $gateways = join '', map { gateway($_) } sort keys %gateway;

sub gateway {
    my ($name) = @_;
    my $common = "${name}_cache $name; ${name}_cache_key \$arg_k; ${name}_cache_valid any 1h; ${name}_ignore_headers Set-Cookie Cache-Control;"
        . " ${name}_pass 127.0.0.1:$gateway{$name}; @{[SessT::Gateway::params($name)]}";
    return "location /$name { session_control on; $common }\nlocation /fill/$name { $common }\n";
}

# Every location has the same cache and key, so /fill, where control headers are ordinary ones, can put into it what /c
# finds; the files stay, so each block has keys of its own. What the upstream is asked for stands in X-Ask; with X-Down it cannot be reached.
my $blocks = 0;
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config => 'proxy_cache_key "' . ++$blocks . " \$arg_k\";\n" . <<'END' . ($block->http_config // ''));
proxy_cache_path cache keys_zone=cache:1m;
map $http_x_down $to { default 127.0.0.1:$TEST_NGINX_RAND_PORT_8; "" 127.0.0.1:$TEST_NGINX_ECHO_PORT; }
END
    $block->set_value(config => ($block->config // '') . <<'END');
add_header X-Cache $upstream_cache_status always;
proxy_cache cache;
location /c    { session_control on; proxy_pass http://$to/?$http_x_ask; }
location /fill { proxy_pass http://$to/?$http_x_ask; }
location = /show { proxy_cache off; return 200 "$session_status|$session_subject|$session_json"; }
END
});

# What X-Ask says for an answer with a login in it, one that only has a wrong header, and one that has none.
our $login = 'X-Ask: ' . wanted_lines('X-Session-Data: {"user":"ann"}', 'X-Session-Subject: ann', 'x_session_info: {"i":1}', 'X-Other: 1');
our $valid = "proxy_cache_valid any 1h;\n";

sub cached { my ($status) = @_; return "X-Cache: $status" }

# What nobody is shown: a cookie, or a control header.
our $nothing = all_hold(\&silent, \&clean);
our $logged_in = all_hold(sets('session'), \&clean);

run_tests();
__DATA__

=== without control headers an answer is cached, with session_control on as well
--- config eval
$::valid
--- request eval
[("GET /c?k=1") x 2]
--- response_headers eval
[cached('MISS'), cached('HIT')]
--- check eval
$::nothing

=== an answer with control headers is not stored: each user has an own login
--- config eval
$::valid
--- cookie_jar eval
[qw(ann bob ann bob cyd cyd)]
--- request eval
["GET /c?k=1", "GET /c?k=1", "GET /show", "GET /show", "GET /c?k=1", "GET /show"]
--- more_headers eval
[$::login, 'X-Ask: ' . ::wanted_lines('X-Session-Subject: bob'), "", "", 'X-Ask: text=plain', ""]
--- response_headers eval
[(cached('MISS') . "\nX-Other: 1"), cached('MISS'), "", "", cached('MISS'), ""]
--- shown eval
[undef, undef, 'open|ann|{"user":"ann"}', 'open|bob|{}', 'plain', 'missing||']
--- check eval
[all_hold($::logged_in, keeps_id('ann')), all_hold($::logged_in, new_id('ann')), undef, undef, $::nothing]

=== nor when the answer or the configuration says that it may be stored
--- config eval
"proxy_ignore_headers Set-Cookie Cache-Control Expires Vary; $::valid"
--- request eval
[map { ("GET /c?k=$_") x 3 } 1 .. 3]
--- more_headers eval
[map { ("$::login&" . ::wanted_lines($_), 'X-Ask: text=plain', "") } 'Cache-Control: public, max-age=3600', 'X-Accel-Expires: 3600', 'Set-Cookie: a=b']
--- response_headers eval
[(cached('MISS'), cached('MISS'), cached('HIT')) x 3]
--- response_body eval
[(undef, 'plain', 'plain') x 3]
--- check eval
[(sub { $_[0]->set_cookie('session') && clean($_[0]) eq '1' or 'the login' }, $::nothing, $::nothing) x 3]

=== nor by the answer's own word, without proxy_cache_valid
--- request eval
[("GET /c?k=1") x 2]
--- more_headers eval
["$::login&" . ::wanted_lines('Cache-Control: max-age=3600'), ""]
--- response_headers eval
[cached('MISS'), cached('MISS')]
--- check eval
[$::logged_in, $::nothing]

=== each of the headers alone keeps an answer out, a wrong one too, in any spelling
--- config eval
$::valid
--- request eval
[map { my $k = $_; ("GET /c?k=$k") x 2 } 1 .. 8]
--- more_headers eval
[map { ('X-Ask: ' . ::wanted_lines($_), 'X-Ask: text=plain') }
    'X-Session-Data: {}', 'X-Session-Info: {"i":1}', 'X-Session-Action: touch', 'X-Session-Subject: ann', 'X-Session-Audience: b', 'X-Session-Remember: off', 'x_session_data: {"a":1}', 'X-Session-Data: {']
--- response_headers eval
[(cached('MISS')) x 16]
--- response_body eval
[(undef, 'plain') x 8]
--- check eval
[map { (\&clean, $::nothing) } 1 .. 8]
--- error_log eval
qr/\[error\].*session: .*X-Session-Data/

=== an error, a redirect, HEAD: not stored either
--- config eval
"proxy_cache_methods GET HEAD; $::valid"
--- request eval
[map { (::asking($_->[0], "/c?k=$_->[1]"), "GET /c?k=$_->[1]") } ['GET', 404], ['GET', 302], ['HEAD', 200]]
--- more_headers eval
[map { ("$::login&st=$_", 'X-Ask: text=plain') } 404, 302, 200]
--- error_code eval
[404, 200, 302, 200, 200, 200]
--- response_headers eval
[(cached('MISS')) x 6]
--- check eval
[($::logged_in, $::nothing) x 3]

=== stored while session_control was off: taken away when it is replayed, and not obeyed
--- config eval
$::valid
--- cookie_jar eval
['-', '-', 'bob', 'bob', 'bob']
--- request eval
["GET /fill?k=1", "GET /c?k=1", "GET /c?k=2", "GET /c?k=1", "GET /show"]
--- more_headers eval
[$::login, "", 'X-Ask: ' . ::wanted_lines('X-Session-Subject: bob'), "", ""]
--- response_headers eval
[cached('MISS') . "\nX-Session-Subject: ann\nX-Other: 1", cached('HIT') . "\nX-Other: 1", cached('MISS'), cached('HIT'), ""]
--- shown eval
[undef, undef, undef, undef, 'open|bob|{}']
--- check eval
[\&silent, $::nothing, $::logged_in, $::nothing]
--- no_error_log
[error]

=== the same by HEAD, HTTP/1.0, and a range
--- config eval
"proxy_force_ranges on; $::valid"
--- request eval
["GET /fill?k=1", "HEAD /c?k=1", "GET /c?k=1 HTTP/1.0", "GET /c?k=1"]
--- more_headers eval
["$::login&text=hello", "", "", "Range: bytes=0-1"]
--- error_code eval
[200, 200, 200, 206]
--- response_headers eval
[cached('MISS'), (cached('HIT')) x 3]
--- response_body eval
["hello", "", "hello", "he"]
--- check eval
[undef, ($::nothing) x 3]

=== the same by HTTP/2
--- http2
--- config eval
$::valid
--- request eval
["GET /fill?k=1", "GET /c?k=1"]
--- more_headers eval
[$::login, ""]
--- response_headers eval
[cached('MISS'), cached('HIT')]
--- check eval
[undef, $::nothing]

=== stored logout and destroy end nobody's session
--- config eval
$::valid
--- cookie_jar
--- request eval
["GET /fill?k=out", "GET /fill?k=end", "GET /fill?k=bad", "GET /c?k=1", "GET /c?k=out", "GET /c?k=end", "GET /c?k=bad", "GET /show"]
--- more_headers eval
['X-Ask: ' . ::wanted_lines('X-Session-Action: logout'), 'X-Ask: ' . ::wanted_lines('x_session_action: destroy'), 'X-Ask: ' . ::wanted_lines('X-Session-Data: {'), $::login, ("") x 4]
--- response_headers eval
[(cached('MISS')) x 4, (cached('HIT')) x 3, ""]
--- shown eval
[(undef) x 7, 'open|ann|{"user":"ann"}']
--- check eval
[(undef) x 3, $::logged_in, ($::nothing) x 3]
--- no_error_log
[error]

=== stored before sessions were configured at all, replayed after a reload
--- config eval
$::valid
--- reload eval
[undef, { config => "$::valid add_header X-Cache \$upstream_cache_status; location /c { session_control on; proxy_cache cache; proxy_pass http://\$to/?\$http_x_ask; }" }]
--- request eval
["GET /fill?k=1", "GET /c?k=1"]
--- more_headers eval
[$::login, ""]
--- response_headers eval
[cached('MISS'), cached('HIT')]
--- check eval
[undef, $::nothing]

=== STALE: the upstream is away, or answers 500
--- config
proxy_cache_valid 200 1s;
proxy_cache_use_stale error timeout http_500 updating;
--- cookie_jar eval
['-', 'bob', 'bob', 'bob', 'bob']
--- request eval
["GET /fill?k=1", "GET /c?k=2", "GET /c?k=1", "GET /c?k=1", "GET /show"]
--- sleep_before eval
[0, 0, 2.1, 0, 0]
--- more_headers eval
[$::login, 'X-Ask: ' . ::wanted_lines('X-Session-Subject: bob'), "X-Down: 1", 'X-Ask: st=500&' . ::wanted_lines('X-Session-Action: destroy'), ""]
--- response_headers eval
[cached('MISS'), cached('MISS'), cached('STALE') . "\nX-Other: 1", cached('STALE') . "\nX-Other: 1", ""]
--- shown eval
[(undef) x 4, 'open|bob|{}']
--- check eval
[undef, $::logged_in, $::nothing, $::nothing]

=== UPDATING: who comes while another fetches
--- config
proxy_cache_valid 200 1s;
proxy_cache_use_stale updating;
--- request eval
["GET /fill?k=1"]
--- more_headers eval
[$::login]
--- init
sub later_updating { sleep 2; my $port = $ENV{TEST_NGINX_SERVER_PORT}; my @sockets = map {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "connect: $!";
    print {$s} "GET /c?k=1 HTTP/1.0\r\nX-Ask: delay=700&text=new&", $_ ? ::wanted_lines('X-Session-Subject: eve') : '', "\r\n\r\n"; $s->flush;
    select undef, undef, undef, 0.3; $s } 1, 0;
    map { my $s = $_; local $/; scalar readline $s } @sockets }
--- check eval
sub {
    my ($fetched, $meanwhile) = later_updating();
    return "the first: $fetched"      unless $fetched =~ /^X-Cache: EXPIRED\r$/m && $fetched =~ /^Set-Cookie: session=AQ/m && $fetched !~ /x.session.subject/i;
    return "meanwhile: $meanwhile" unless $meanwhile =~ /^X-Cache: UPDATING\r$/m && $meanwhile =~ /^X-Other: 1\r$/m && $meanwhile !~ /^Set-Cookie|^x.session/mi;
    1;
}

=== an update in the background: the stale answer is stripped, and what the fresh one says is for nobody
--- config
proxy_cache_valid 200 1s;
proxy_cache_use_stale updating;
proxy_cache_background_update on;
--- cookie_jar eval
['-', 'bob', 'bob', 'bob', 'cyd', 'cyd']
--- request eval
["GET /fill?k=1", "GET /c?k=2", "GET /c?k=1", "GET /show", "GET /c?k=1", "GET /show"]
--- sleep_before eval
[0, 0, 2.1, 0.5, 0, 0]
--- more_headers eval
[$::login, 'X-Ask: ' . ::wanted_lines('X-Session-Subject: bob'), 'X-Ask: ' . ::wanted_lines('X-Session-Subject: eve', 'X-Session-Data: {"user":"eve"}'), "", "", ""]
--- response_headers eval
[cached('MISS'), cached('MISS'), cached('STALE') . "\nX-Other: 1", "", "", ""]
--- shown eval
[undef, undef, undef, 'open|bob|{}', undef, 'missing||']
--- check eval
[undef, $::logged_in, $::nothing, undef, $::nothing]

=== REVALIDATED: neither what is stored nor what comes with the 304 is obeyed
--- config
proxy_cache_valid 200 1s;
proxy_cache_revalidate on;
--- cookie_jar eval
['-', 'bob', 'bob', 'bob', 'bob']
--- request eval
["GET /fill?k=1", "GET /c?k=2", "GET /c?k=1", "GET /c?k=1", "GET /show"]
--- sleep_before eval
[0, 0, 2.1, 0, 0]
--- more_headers eval
["$::login&" . ::wanted_lines('ETag: "v1"', 'Last-Modified: Mon, 02 Jan 2023 00:00:00 GMT'), 'X-Ask: ' . ::wanted_lines('X-Session-Subject: bob'),
 'X-Ask: st=304&' . ::wanted_lines('ETag: "v1"', 'X-Session-Subject: eve', 'X-Session-Data: {"user":"eve"}'), "", ""]
--- response_headers eval
[cached('MISS'), cached('MISS'), cached('REVALIDATED') . "\nX-Other: 1", cached('HIT'), ""]
--- shown eval
[(undef) x 4, 'open|bob|{}']
--- check eval
[undef, $::logged_in, $::nothing, $::nothing]

=== EXPIRED and BYPASS are answers of the upstream: obeyed, and not stored
--- config
proxy_cache_valid 200 1s;
proxy_cache_bypass $http_x_bypass;
--- cookie_jar eval
['-', 'ann', 'ann', 'eve', 'eve', '-']
--- request eval
["GET /fill?k=1", "GET /c?k=1", "GET /show", "GET /c?k=1", "GET /show", "GET /c?k=1"]
--- sleep_before eval
[0, 0, 0, 2.1, 0, 0]
--- more_headers eval
['X-Ask: text=old', "$::login\nX-Bypass: 1", "", 'X-Ask: ' . ::wanted_lines('X-Session-Subject: eve'), "", 'X-Ask: text=fresh']
--- response_headers eval
[cached('MISS'), cached('BYPASS'), "", cached('EXPIRED'), "", cached('EXPIRED')]
--- shown eval
[undef, undef, 'open|ann|{"user":"ann"}', undef, 'open|eve|{}', 'fresh']
--- check eval
[undef, $::logged_in, undef, $::logged_in, undef, $::nothing]

=== a cache lock: two at the same time, each has an own session
--- config eval
"proxy_cache_lock on; proxy_cache_lock_timeout 1s; $::valid"
--- parallel
--- request eval
[("GET /c?k=1") x 3]
--- more_headers eval
[("$::login&delay=200") x 3]
--- check eval
$::logged_in

=== a session of the rules beside a stored answer: its cookie is the user's own
--- config eval
"$::valid location /rule { session_set user \$arg_u; session_control on; proxy_pass http://\$to/?\$http_x_ask; }"
--- cookie_jar eval
['ann', 'bob', 'ann', 'bob']
--- request eval
["GET /rule?k=1&u=ann", "GET /rule?k=1&u=bob", "GET /show", "GET /show"]
--- response_headers eval
[cached('MISS'), cached('HIT'), "", ""]
--- shown eval
[undef, undef, 'open||{"user":"ann"}', 'open||{"user":"bob"}']
--- check eval
[all_hold(sets('session'), keeps_id('ann')), all_hold(sets('session'), new_id('ann'))]

=== caches of FastCGI, uwsgi and SCGI
--- http_config eval
$::gateway_caches
--- config eval
$::gateways
--- request eval
[map { my $g = $_; (::ask("/$g?k=$g-1", 'X-Session-Subject: ann'), "GET /$g?k=$g-1", ::ask("/fill/$g?k=$g-2", 'X-Session-Subject: ann', 'X-Other: 1'), "GET /$g?k=$g-2") } sort keys %::gateway]
--- response_headers eval
[(cached('MISS'), cached('MISS'), cached('MISS') . "\nX-Session-Subject: ann", cached('HIT') . "\nX-Other: 1") x 3]
--- check eval
[($::logged_in, $::nothing, undef, $::nothing) x 3]
