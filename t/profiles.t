# Named sessions (session_profile): several in one request, each with its own cookie, keys and records. Cases N1, N2, T15.
use lib 't/lib';
use SessT 'no_plan';

use SessT::Servers;

require './t/refused.pl';
require './t/speaking.pl';
rig 'none';
timeout 10;
# One worker, so that its connections to a storage can be warm.
workers(1);

our $redis = SessT::Servers->redis;
our $slow  = SessT::Servers->proxy($redis);

sub store { my ($name, $server) = @_; return "session_backend $name redis { server 127.0.0.1:@{[$server->port]}; timeout 2s; connect_timeout 2s; }\n" }

# Where the two sessions are kept.
our %kept = (
    'in their cookies'      => [ '', '', '' ],
    'in one zone'           => [ "session_backend s shm { size 1m; }\n", 'storage s;', 'storage s;' ],
    'in a zone each'        => [ "session_backend s shm { size 1m; }\nsession_backend t shm { size 1m; }\n", 'storage s;', 'storage t;' ],
    'in one redis'          => [ store('r', $redis), 'storage r;', 'storage r;' ],
    'in redis and a zone'   => [ store('r', $redis) . "session_backend s shm { size 1m; }\n", 'storage r;', 'storage s;' ],
    'in redis and a cookie' => [ store('r', $redis), 'storage r;', '' ],
);

# Two named sessions. `here` says where they are kept, the others are lines of the two blocks.
sub two {
    my ($here, $web, $admin) = @_;
    my ($backends, @storage) = @{ $kept{$here} };
    return "large_client_header_buffers 4 64k;\n${backends}session_secret one-secret;\nsession_stale_ttl 1s;\n"
        . "session_profile web { cookie_name web; $storage[0] @{[$web // '']} }\nsession_profile admin { cookie_name admin; $storage[1] @{[$admin // '']} }\n";
}

our $two = two('in their cookies');
our $both = 'session start profile=web; session start profile=admin;';
our $echo = 'proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;';

my $locations = <<"END";
location /set        { $both session_set k \$arg_w if=\$arg_w profile=web; session_set k \$arg_a if=\$arg_a profile=admin; $echo }
location /get        { $both session_map_header X-W k profile=web; session_map_header X-A k profile=admin; $echo }
location = /show     { session open profile=web; session open profile=admin; return 200 "\$session_web_status[\$session_web_data_k] \$session_admin_status[\$session_admin_data_k]"; }
location = /out/web  { session logout profile=web; return 204; }
location = /out/admin   { session start profile=web; session destroy profile=admin; return 204; }
END

add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->must_die;
    $block->set_value(http_config => $two) unless defined $block->http_config;
    $block->set_value(config => ($block->config // '') . ($block->http_config =~ /session_profile web\b.*session_profile admin\b/s ? $locations : ''));
});

# The names of the cookies that are set to a token, and those that are expired, with a minus.
sub cookies {
    my (@wanted) = @_;
    return sub {
        my $got = join ' ', sort map { $_->{value} =~ /\AA[Q-Za-f][\w-]{108,}\z/ ? $_->{name} : $_->{value} eq '' && $_->{attr}{'max-age'} eq '0' ? "-$_->{name}" : "?$_->{name}" } $_[0]->set_cookies;
        my $wanted = join ' ', sort @wanted;
        return $got eq $wanted || "cookies <$got>, not <$wanted>";
    };
}

sub saw { my ($w, $a) = @_; sub { my $got = join ' ', map { $_[0]->header($_) // '-' } qw(X-W X-A); $got eq "$w $a" or $got } }

sub records { return join ' ', sort map { s/:.*//r } split /\n/, $redis->ask('KEYS', '*') }

our $tokens = { W => qr/^Set-Cookie: web=([^;]+)/m, A => qr/^Set-Cookie: admin=([^;]+)/m };

# In a location, with these profiles declared.
my @in_location;
our @says;
sub refused_with {
    my ($profiles, $name, $lines, $says) = @_;
    push @in_location, "=== refused, $name: $lines\n--- rig: none\n--- http_config\n$profiles\n--- config\nlocation /x { $lines }\n--- must_die: 1\n--- error_log eval\n[\$::says[@{[scalar @::says]}]]\n";
    push @::says, $says;
}

my %http = (section => 'http_config');
my $web = 'session_profile web { cookie_name web; }';
my $pair = "$web session_profile admin { cookie_name admin; }";

refused('profile: no name', 'session_profile { cookie_name x; }', qr/invalid number of arguments/, %http);
refused('profile: two names', 'session_profile a b { cookie_name x; }', qr/invalid number of arguments/, %http);
refused("profile: the name $_", "session_profile \"$_\" { cookie_name x; }", qr/\Q"$_"\E/, %http)
    for 'a-b', 'a.b', 'a b', '', "\xc3\xa4", 'data', 'info', 'my_data', 'data_x', 'a_info_b', 'idling', 'rolling', 'absolute';
refused('profile: twice', "$web $web", qr/duplicate/, %http);
refused('profile: twice but for case', "$web session_profile WEB { cookie_name other; }", qr/"WEB"/, %http);
refused('profile: in a server', 'session_profile a { cookie_name x; }', qr/not allowed here/);
refused_with('session_profile a { storage nowhere; }', 'a storage that there is not', 'session start profile=a;', qr/\[emerg\].*storage".*"nowhere"/);
refused("a line of it: $_->[0]", "session_profile a { $_->[0] }", $_->[1], %http, names => $_->[2])
    for ['nonsense 1;', qr/unknown/, 'nonsense'], ['session_cookie_name x;', qr/unknown/, 'session_cookie_name'], ['backend s shm;', qr/unknown/, 'backend'],
        ['var $x y;', qr/unknown/, 'var'], ['cookie_same_site Never;', qr/"Never"/, 'cookie_same_site'], ['hide maybe;', qr/"maybe"/, 'hide'],
        ['cookie_name "a b";', qr/"a b"/, 'cookie_name'], ['cookie_name a; cookie_name b;', qr/duplicate/, 'cookie_name'],
        ['idling_timeout never;', qr/"never"/, 'idling_timeout'], ['storage nowhere;', qr/"nowhere"/, '(?:session_)?storage'], ['set;', qr/invalid number of arguments/, 'set'];
refused('a contradiction in it', 'session_profile a { cookie_prefix __Host-; cookie_domain example.org; }', qr/__Host-/, %http, names => '(?:session_)?cookie_domain');
refused('two with one cookie', 'session_profile a { cookie_name x; } session_profile b { cookie_name x; }', qr/share the cookie "x"/, %http, names => 'cookie_name');
refused('one with a chunk of the other', 'session_profile a { cookie_name x; } session_profile b { cookie_name x2; }', qr/share the cookie "x2"/, %http, names => 'cookie_name');

refused_with($web, 'N2: an unknown profile', "$_ profile=nobody;", qr/\[emerg\].*names unknown profile "nobody".* in \S+nginx\.conf:\d+/)
    for 'session start', 'session_create always', 'session_require on', 'session_lookup cookie', 'session_audience a', 'session_subject a', 'session_enforce_same_subject on', 'session_max_data 1k',
        'session_set a 1', 'session_unset a', 'session_info_set a 1', 'session_control on', 'session_control_prefix A-', 'session_hide on', 'session_map_header X-A a', 'session_request_headers id',
        'session_response_headers id', 'session_cookie_jar on', 'session_cookie_jar_pass a', 'session_cookie_jar_max 5', 'session_cookie_jar_size 1k', 'session_cache_control off';
refused_with($web, 'profile names are exact', 'session start profile=Web;', qr/\[emerg\].*unknown profile "Web"/);
refused_with($web, 'an empty profile', 'session start profile=;', qr/\[emerg\].*"session".*""/);
refused_with($pair, 'two profiles in one line', 'session start profile=web profile=admin;', qr/\[emerg\].*"session".*duplicate/);
refused_with($web, 'one session twice', 'session start profile=web; session open profile=web;', qr/\[emerg\].*duplicate/);
refused_with($web, 'a scalar twice', 'session_hide on profile=web; session_hide off profile=web;', qr/\[emerg\].*duplicate/);
refused_with($web, 'require takes on or off', 'session_require $arg_a profile=web;', qr/\[emerg\].*session_require/);
refused_with($pair, 'one header from two sessions', 'session start profile=web; session start profile=admin; session_map_header X-U u profile=web; session_map_header x-u u profile=admin;', qr/\[emerg\].*X-U/i);
refused_with($web, 'one header from the unnamed session and a profile', 'session start; session start profile=web; session_map_header X-U u; session_map_header X-U u profile=web;', qr/\[emerg\].*X-U/);
refused_with($pair, 'one control prefix for two', 'session start profile=web; session start profile=admin; session_control on profile=web; session_control on profile=admin;', qr/\[emerg\].*X-Session-/);
refused_with($pair, 'two jars', 'session start profile=web; session start profile=admin; session_cookie_jar on profile=web; session_cookie_jar on profile=admin;', qr/\[emerg\].*cookie_jar/);
refused_with($web, 'the cookie of the unnamed session', 'session start; session start profile=web; session_cookie_name web;', qr/\[emerg\].*"?web/);
refused_with($web, 'a chunk of the unnamed session\'s cookie', 'session start; session start profile=web; session_cookie_name web3;', qr/\[emerg\].*web3?"/);

# A block whose name says SOMEWHERE runs once for each place.
sub everywhere {
    my ($block) = @_;
    return $block unless $block =~ /\A=== .*SOMEWHERE/;
    return map { my $place = $_; $block =~ s/SOMEWHERE/$place/r =~ s/\n/\n--- http_config eval\ntwo('$place')\n/r } sort keys %kept;
}

my $written = do { local $/; readline \*main::DATA };
our $all_blocks = join "\n", (map { everywhere($_) } grep { length } split /^(?==== )/m, $written), @in_location;
close main::DATA;
open main::DATA, '<', \$all_blocks or die "the blocks cannot be read: $!\n";

add_refused();
run_tests();
__DATA__

=== N1: two in one location: two cookies, separate data, kept SOMEWHERE
--- cookie_jar
--- request eval
["GET /set?w=1", "GET /get", "GET /set?a=2", "GET /get", "GET /set?w=3&a=4", "GET /get", "GET /set?w=3&a=4"]
--- upstream_json eval
[undef, saw('1', '-'), undef, saw('1', '2'), undef, saw('3', '4')]
--- check eval
[cookies('web'), cookies(), cookies('admin'), cookies(), cookies(qw(web admin)), cookies(), cookies()]

=== N1: by HTTP/2 over TLS
--- http2
--- tls
--- cookie_jar
--- request eval
["GET /set?w=1&a=2", "GET /get"]
--- upstream_json eval
[undef, saw('1', '2')]
--- check eval
[cookies(qw(web admin)), cookies()]

=== N1: clients at the same time
--- parallel
--- request eval
[map { "GET /set?w=$_&a=$_" } 1 .. 10]
--- check eval
cookies(qw(web admin))

=== N1: beside the unnamed session
--- cookie_jar
--- config
location = /three { session start; session start profile=web; session_set k $arg_u; session_set k $arg_w profile=web; return 200 "$session_status[$session_data_k] $session_web_status[$session_web_data_k]"; }
location = /named { session start profile=web; return 200 "$session_status[$session_data_k] $session_web_status[$session_web_data_k]"; }
location = /unnamed { session start; return 200 "$session_status[$session_data_k] $session_web_status[$session_web_data_k]"; }
--- request eval
["GET /three?u=1&w=2", "GET /three?u=1&w=2", "GET /named", "GET /unnamed"]
--- response_body eval
["missing[] missing[]", "open[1] open[2]", "off[] open[2]", "open[1] off[]"]
--- check eval
[cookies(qw(session web)), cookies(), cookies(), cookies()]

=== a profile without cookie_name: the http level's name and its own; the remember cookie too
--- http_config
session_secret x;
session_cookie_name sid;
session_remember_cookie_name keep;
session_profile web   { remember on; }
session_profile admin { cookie_path /admin; cookie_same_site Strict; cookie_http_only off; }
--- config
location = /do { session start profile=web; session start profile=admin; session_set k 1 profile=web; session_set k 1 profile=admin; return 204; }
--- request
GET /do
--- error_code: 204
--- check eval
all_hold(cookies(qw(sid_admin sid_web keep_web)), sub {
    my ($web, $admin) = map { $_[0]->set_cookie($_)->{attr} } qw(sid_web sid_admin);
    return 'admin' unless $admin->{path} eq '/admin' && $admin->{samesite} eq 'Strict' && !exists $admin->{httponly};
    $web->{path} eq '/' && $web->{samesite} eq 'Lax' && exists $web->{httponly} or 'web';
})

=== a profile without cookie_name, all defaults
--- http_config
session_secret x;
session_profile web { }
--- config
location = /do { session start profile=web; session_set k 1 profile=web; return 204; }
--- request
GET /do
--- error_code: 204
--- check eval
cookies('session_web')

=== T15: a token of one opens no other, in no direction, kept SOMEWHERE
--- config
location = /unnamed/set { session start; session_set k u; return 204; }
location = /unnamed     { session start; return 200 "$session_status"; }
--- capture eval
[$::tokens, { U => qr/^Set-Cookie: session=([^;]+)/m }]
--- request eval
["GET /set?w=1&a=2", "GET /unnamed/set", ("GET /show") x 4, ("GET /unnamed") x 2, "GET /show"]
--- more_headers eval
["", "", map { "Cookie: $_" } 'admin=$CAPTURED_W', 'web=$CAPTURED_A', 'web=$CAPTURED_U', 'admin=$CAPTURED_U', 'session=$CAPTURED_W', 'session=$CAPTURED_A', 'web=$CAPTURED_W; admin=$CAPTURED_A']
--- error_code eval
[200, 204, (200) x 7]
--- response_body_like eval
my $bad = 'bad-(?:signature|format)';
[undef, "", "^missing\\[\\] $bad\\[\\]\$", ("^$bad\\[\\] missing\\[\\]\$") x 2, "^missing\\[\\] $bad\\[\\]\$", ("^$bad\$") x 2, '^open\[1\] open\[2\]$']
--- check eval
[cookies(qw(web admin)), cookies('session'), cookies('-admin'), cookies('-web'), cookies('-web'), cookies('-admin'), cookies('-session'), cookies('-session'), cookies()]

=== T15: the same secret as another profile's changes nothing; a secret of its own
--- http_config eval
$::two . 'session_profile own { cookie_name own; secret another; }'
--- config
location = /own { session start profile=own; session_set k $arg_v if=$arg_v profile=own; return 200 "$session_own_status"; }
--- capture eval
[{ O => qr/^Set-Cookie: own=([^;]+)/m }, $::tokens]
--- request eval
["GET /own?v=1", "GET /set?w=1&a=1", "GET /own", "GET /own", "GET /show"]
--- more_headers eval
["", "", 'Cookie: own=$CAPTURED_O', 'Cookie: own=$CAPTURED_W', 'Cookie: web=$CAPTURED_O']
--- response_body eval
['missing', undef, 'open', 'bad-signature', 'bad-signature[] missing[]']

=== logout or destroy of one leaves the other, kept SOMEWHERE
--- cookie_jar
--- request eval
["GET /set?w=1&a=2", "GET /out/web", "GET /show", "GET /set?w=3", "GET /out/admin", "GET /show"]
--- error_code eval
[200, 204, 200, 200, 204, 200]
--- response_body eval
[undef, "", 'missing[] open[2]', undef, "", 'open[3] missing[]']
--- check eval
[cookies(qw(web admin)), cookies('-web'), cookies(), cookies('web'), cookies('-admin'), cookies()]

=== what was ended does not come back, and what was replaced ends after stale_ttl; the other is not moved by it
--- http_config eval
two('in one zone')
--- capture eval
[$::tokens]
--- sleep_before eval
[0, 0, 0, 0, 2.2]
--- request eval
["GET /set?w=1&a=2", "GET /out/admin", "GET /show", "GET /set?w=3", "GET /show"]
--- more_headers eval
["", ('Cookie: web=$CAPTURED_W; admin=$CAPTURED_A') x 4]
--- error_code eval
[200, 204, 200, 200, 200]
--- response_body eval
[undef, "", 'open[1] no-record[]', undef, 'no-record[] no-record[]']

=== a refused cookie is cleared for its own session only, with that one's attributes
--- http_config eval
two('in their cookies', '', 'cookie_path /adm; cookie_clear_invalid on;')
--- request eval
["GET /show", "GET /show", "GET /show"]
--- more_headers eval
["Cookie: web=bad; admin=bad", "Cookie: admin=bad; session=bad", "Cookie: web=bad"]
--- response_body eval
['bad-format[] bad-format[]', 'missing[] bad-format[]', 'bad-format[] missing[]']
--- check eval
[cookies(qw(-web -admin)), all_hold(cookies('-admin'), sub { $_[0]->set_cookie('admin')->{attr}{path} eq '/adm' or 'path' }), cookies('-web')]

=== clear_invalid off for one of them
--- http_config eval
two('in their cookies', 'cookie_clear_invalid off;')
--- request
GET /show
--- more_headers
Cookie: web=bad; admin=bad
--- check eval
cookies('-admin')

=== hide: each its own cookies; the http level's word goes for all
--- http_config eval
two('in their cookies', 'remember_cookie_name wrem;', 'hide on; remember_cookie_name arem;')
--- config
location = /own  { session start profile=web; session start profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /web  { session start profile=web; session start profile=admin; session_hide on profile=web; session_hide off profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /both { session start profile=web; session start profile=admin; session_hide on profile=web; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /own", "GET /web", "GET /both"]
--- more_headers
Cookie: a=1; web=W; web2=W; b=2; admin=A; admin2=A; wrem=R; c=3; arem=R; session=S
--- upstream_json eval
my $is = sub { my ($wanted) = @_; sub { $_[0]->header('Cookie') eq $wanted or $_[0]->header('Cookie') } };
[$is->('a=1; web=W; web2=W; b=2; wrem=R; c=3; session=S'), $is->('a=1; b=2; admin=A; admin2=A; c=3; arem=R; session=S'), $is->('a=1; b=2; c=3; session=S')]

=== hide on at the http level
--- http_config eval
"session_hide on;\n" . two('in their cookies', 'hide off;')
--- config
location = /own { session start profile=web; session start profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request
GET /own
--- more_headers
Cookie: web=W; admin=A
--- upstream_json eval
sub { $_[0]->header('Cookie') eq 'web=W' or $_[0]->header('Cookie') }

=== all variables, of a session that is there and of one that is not
--- http_config eval
two('in their cookies', 'audience shop; idling_timeout 100s; rolling_timeout 200s; absolute_timeout 300s; remember on; remember_safety None;')
--- config
location = /fill { session start profile=web; session_subject ann profile=web; session_set k 1 type=int profile=web; session_set o.p deep profile=web; session_info_set seen yes profile=web; return 204; }
location = /vars {
    session start profile=web; session start profile=admin;
    return 200 "$session_web_exists|$session_web_new|$session_web_status|$session_web_audience|$session_web_subject|$session_web_timeout|$session_web_idling_timeout|$session_web_rolling_timeout|$session_web_absolute_timeout|$session_web_remember|$session_web_data_k|$session_web_data_o__p|$session_web_info_seen|$session_web_json|$session_web_id";
}
location = /none {
    session start profile=web; session start profile=admin;
    return 200 "$session_admin_exists|$session_admin_new|$session_admin_status|$session_admin_audience|$session_admin_subject|$session_admin_timeout|$session_admin_idling_timeout|$session_admin_rolling_timeout|$session_admin_absolute_timeout|$session_admin_remember|$session_admin_data_k|$session_admin_data_o__p|$session_admin_info_seen|$session_admin_json|$session_admin_id";
}
--- cookie_jar
--- request eval
["GET /fill", "GET /vars", "GET /none"]
--- error_code eval
[204, 200, 200]
--- response_body_like eval
["", qr/\A1\|[^|]*\|open\|shop\|ann\|(?:100|99|98)\|(?:100|99|98)\|(?:200|199|198)\|(?:300|299|298)\|[^|]+\|1\|deep\|yes\|\{"k":1,"o":\{"p":"deep"\}\}\|[\w-]{43}\z/, qr/\A\|\|missing\|{12}\z/]

=== a name that is the beginning of another's; a name with digits and capitals
--- http_config
session_secret x;
session_profile web       { cookie_name w; }
session_profile web_admin { cookie_name a; }
session_profile Shop2     { cookie_name s; }
map "$session_web_status:$session_web_admin_status" $seen { default other; "open:open" both; }
--- config
location = /fill { session start profile=web; session start profile=web_admin; session start profile=Shop2; session_set k w profile=web; session_set k a profile=web_admin; session_set k s profile=Shop2; return 204; }
location = /show { session start profile=web; session start profile=web_admin; session start profile=Shop2; return 200 "$session_web_data_k$session_web_admin_data_k$session_Shop2_data_k$session_shop2_status $seen"; }
--- cookie_jar
--- request eval
["GET /fill", "GET /show"]
--- error_code eval
[204, 200]
--- response_body eval
["", "wasopen both"]

=== a variable of a profile that there is not
--- http_config eval
$::two
--- config
location /x { return 200 $session_nobody_id; }
--- must_die: 1
--- error_log
unknown "session_nobody_id" variable

=== session_var of a profile
--- http_config eval
$::two . 'session_var $kept k profile=admin; session_var $deep o.P profile=web;'
--- config
location = /fill { session start profile=web; session start profile=admin; session_set k a profile=admin; session_set k w profile=web; session_set o.P deep profile=web; return 204; }
location = /vars { session start profile=web; session start profile=admin; return 200 "$kept $deep"; }
location = /none { session start profile=web; return 200 "[$kept] $deep"; }
--- cookie_jar
--- request eval
["GET /fill", "GET /vars", "GET /none"]
--- error_code eval
[204, 200, 200]
--- response_body eval
["", "a deep", "[] deep"]

=== property headers carry the profile's name; the client's own never come through
--- config
underscores_in_headers on;
location = /fill { session start profile=web; session start profile=admin; session_subject ann profile=web; session_subject root profile=admin; return 204; }
location = /props {
    session start profile=web; session start profile=admin;
    session_request_headers id subject profile=web; session_request_headers subject audience profile=admin;
    session_response_headers subject profile=web; session_response_headers audience profile=admin;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- cookie_jar eval
['a', 'a', '-']
--- request eval
["GET /fill", "GET /props", "GET /props"]
--- error_code eval
[204, 200, 200]
--- more_headers eval
["", ("Session-web-Subject: evil\nsession_web_id: evil\nSESSION-ADMIN-SUBJECT: evil\nSession_admin-audience: evil\nSession-Subject: ordinary") x 2]
--- response_headers eval
["", "Session-web-Subject: ann\nSession-admin-Audience: default\n! Session-admin-Subject", "! Session-web-Subject\n! Session-admin-Audience"]
--- upstream_json eval
sub props { my ($up) = @_; join ' ', map { $up->headers($_) == 1 ? $up->header($_) : '-' } qw(Session-web-Subject Session-admin-Subject Session-admin-Audience Session-Subject) }
my $spoofed = sub { !grep({ $_->[1] eq 'evil' } @{ $_[0]{headers} }) or 'a header of the client' };
[undef, all_hold($spoofed, sub { props(@_) eq 'ann root default ordinary' or props(@_) }, sub { length $_[0]->header('Session-web-Id') == 43 or 'id' }), all_hold($spoofed, sub { props(@_) eq '- - - ordinary' or props(@_) })]

=== mapped headers: from each its own, never from the client
--- request
GET /get
--- more_headers
X-W: evil
x-a: evil
--- upstream_json eval
saw('-', '-')

=== control headers: a prefix each, two logins in one answer; one logs out, the other stays
--- http_config eval
two('in one zone', 'control on; control_prefix Web-;', 'control_prefix Admin-;')
--- config
location /con { session start profile=web; session start profile=admin; session_control on profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
[::ask('/con', 'Web-Data: {"k":"1"}', 'Admin-Data: {"k":"2"}', 'web_subject: ann', 'ADMIN-SUBJECT: root'), "GET /show", ::ask('/con', 'Admin-Action: logout', 'X-Session-Data: {"k":3}'), "GET /show"]
--- more_headers
Web-Data: {"evil":1}
Admin-Subject: evil
--- response_headers eval
["! Web-Data\n! Admin-Data\n! web_subject\n! ADMIN-SUBJECT", "", "! Admin-Action\nX-Session-Data: {\"k\":3}", ""]
--- response_body eval
[undef, 'open[1] open[2]', undef, 'open[1] missing[]']
--- upstream_json eval
[sub { !grep({ $_->[0] =~ /^(?:web|admin)-/i } @{ $_[0]{headers} }) or 'the upstream sees control headers' }]
--- check eval
[cookies(qw(web admin)), cookies(), cookies('-admin'), cookies()]

=== lookup in a header for one of them
--- http_config eval
two('in one zone')
--- config
session_lookup header:X-Admin profile=admin;
location = /over { session start profile=admin; session_lookup cookie profile=admin; return 200 "$session_admin_status"; }
--- capture eval
[{ W => qr/^Set-Cookie: web=([^;]+)/m, A => qr/^X-Admin: (\S+)/m }]
--- request eval
["GET /set?w=1&a=2", "GET /show", "GET /show", "GET /over"]
--- more_headers eval
["", "Cookie: web=\$CAPTURED_W\nX-Admin: \$CAPTURED_A", "Cookie: admin=\$CAPTURED_A\nX-Admin: \$CAPTURED_W", 'Cookie: admin=$CAPTURED_A']
--- response_body eval
[undef, 'open[1] open[2]', 'missing[] bad-signature[]', 'open']
--- check eval
[cookies('web'), cookies(), cookies(), cookies()]

=== require: all that are named must be there
--- config
location /need/web   { session open profile=web; session open profile=admin; session_require on profile=web; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /need/admin { session open profile=web; session open profile=admin; session_require on profile=admin error=403; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /need/both  { session open profile=web; session open profile=admin; session_require on profile=web; session_require on profile=admin; session_require $arg_v; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar eval
[('-') x 3, ('w') x 4, ('wa') x 5]
--- request eval
["GET /need/web", "GET /need/admin", "GET /need/both?v=1", "GET /set?w=1", "GET /need/web", "GET /need/admin", "GET /need/both?v=1", "GET /set?w=1&a=1", "GET /need/web", "GET /need/admin", "GET /need/both?v=1", "GET /need/both"]
--- error_code eval
[401, 403, 401, 200, 200, 403, 401, 200, 200, 200, 200, 401]

=== require of a session that is off in this location fails closed
--- config
location /need { session open profile=web; session_require on profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /set?w=1&a=1", "GET /need"]
--- error_code eval
[200, 401]

=== bypass goes for all
--- config
session_bypass $arg_skip;
location = /props { session start profile=web; session start profile=admin; return 200 "$session_web_status $session_admin_status"; }
--- cookie_jar
--- request eval
["GET /set?w=1&a=1", "GET /props?skip=1", "GET /get?skip=1", "GET /set?skip=1&w=2&a=2", "GET /get"]
--- more_headers
X-W: evil
X-A: evil
--- response_body eval
[undef, 'bypassed bypassed', undef, undef, undef]
--- upstream_json eval
[undef, undef, saw('-', '-'), undef, saw('1', '1')]
--- check eval
[cookies(qw(web admin)), (cookies()) x 4]

=== session_create always, for one of them
--- config
location = /one { session start profile=web; session start profile=admin; session_create always profile=admin; return 204; }
location = /all { session start profile=web; session start profile=admin; session_create always; return 204; }
--- request eval
["GET /one", "GET /all"]
--- error_code eval
[204, 204]
--- check eval
[cookies('admin'), cookies(qw(web admin))]

=== the lists are lists over all sessions: a level with a line of its own inherits none
--- config
session start;
session start profile=web;
session_set k server profile=web;
session_set k server;
location = /inherits { return 200 "$session_status $session_web_status $session_admin_status"; }
location = /own      { session start profile=admin; return 200 "$session_status $session_web_status $session_admin_status"; }
location = /set/own  { session_set other 1 profile=web; return 200 "x"; }
location = /now      { session_set none 1 if=0; return 200 "$session_json $session_web_json"; }
--- cookie_jar eval
['a', 'b', 'c', 'c']
--- request eval
["GET /inherits", "GET /own", "GET /set/own", "GET /now"]
--- response_body eval
['missing missing off', 'off off missing', 'x', ' {"other":"1"}']
--- check eval
[cookies(qw(session web)), cookies(), cookies('web'), cookies()]

=== scalars are inherited for each session by itself
--- config
session_hide on profile=web;
location = /here { session start profile=web; session start profile=admin; session_hide on profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /over { session start profile=web; session start profile=admin; session_hide off profile=web; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /here", "GET /over"]
--- more_headers
Cookie: web=W; admin=A; z=1
--- upstream_json eval
[sub { $_[0]->header('Cookie') eq 'z=1' or $_[0]->header('Cookie') }, sub { $_[0]->header('Cookie') eq 'web=W; admin=A; z=1' or $_[0]->header('Cookie') }]

=== times: the profile's own, else the http level's; rules of the unnamed session are not taken over
--- http_config
session_secret x;
session_idling_timeout 50s;
session_rolling_timeout 500s;
session_subject nobody;
session_set unnamed 1;
session_info_set unnamed 1;
session_map_header X-K k;
session_profile web { rolling_timeout 100s; subject ann; set named 1; map_header X-Named named; }
--- config
location = /one  { session start profile=web; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /show { session open profile=web; return 200 "$session_web_idling_timeout $session_web_rolling_timeout $session_web_subject $session_web_json[$session_web_info_unnamed]"; }
--- cookie_jar
--- request eval
["GET /one", "GET /show", "GET /one"]
--- response_body_like eval
["", '^(?:50|49|48) (?:100|99|98) ann \{"named":"1"\}\[\]$', ""]
--- upstream_json eval
[undef, undef, sub { $_[0]->header('X-Named') eq '1' && !defined $_[0]->header('X-K') or 'mapped headers' }]
--- check eval
[sub { "@{[map { $_->{name} } $_[0]->set_cookies]}" eq 'session_web' or $_[0]{head} }]

=== a step-up session that ends soon beside a long one
--- http_config eval
two('in one zone', '', 'idling_timeout 1s; absolute_timeout 2s;')
--- cookie_jar
--- sleep_before eval
[0, 0, 2.2, 0]
--- request eval
["GET /set?w=1&a=2", "GET /show", "GET /show", "GET /get"]
--- response_body_like eval
["", '^open\[1\] open\[2\]$', '^open\[1\] (?:expired-\w+|no-record)\[\]$', ""]
--- check eval
[cookies(qw(web admin)), cookies(), cookies('-admin'), cookies()]

=== audience, subject, enforce_same_subject, max_data for one of them
--- config
location = /a { session start profile=web; session start profile=admin; session_audience $arg_a profile=web; session_subject ann profile=web; session_set k $arg_v profile=web; session_set k $arg_v profile=admin; session_max_data 150 profile=web; return 204; }
location = /look { session open profile=web; session open profile=admin; session_audience $arg_a profile=web; return 200 "$session_web_status $session_web_audience $session_web_subject[$session_web_data_k] $session_admin_audience[$session_admin_data_k]"; }
--- cookie_jar
--- request eval
["GET /a?a=shop&v=1", "GET /look?a=shop", "GET /look?a=other", "GET /a?a=shop&v=" . join('', map { chr(97 + $_ * 7 % 26) } 1 .. 400), "GET /look?a=shop"]
--- error_code eval
[204, 200, 200, 204, 200]
--- response_body_like eval
["", '^open shop ann\[1\] default\[1\]$', '^no-audience  \[\] default\[1\]$', "", '^open shop ann\[1\] default\[\w{400}\]$']
--- check eval
[cookies(qw(web admin)), cookies(), cookies(), cookies('admin'), cookies()]
--- error_log eval
qr/\[error\].*session: the session is not saved: /

=== rules for the response, for one of them; unset
--- config
location = /late  { session start profile=web; session start profile=admin; session_set k $upstream_status phase=response profile=admin; session_set k early profile=web type=string; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /unset { session start profile=web; session start profile=admin; session_unset k profile=web; session_unset all phase=response profile=admin if=$upstream_http_x_end; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /late", "GET /show", "GET /unset", "GET /show", ::ask('/unset', 'X-End: 1'), "GET /show"]
--- response_body eval
[undef, 'open[early] open[200]', undef, 'open[] open[200]', undef, 'open[] open[]']
--- check eval
[cookies(qw(web admin)), cookies(), cookies('web'), cookies(), cookies('admin'), cookies()]

=== a jar for one of them
--- config
location /jar { session start profile=web; session start profile=admin; session_cookie_jar on profile=web; session_set k 1 profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /jar?sc=backend=1", "GET /jar", "GET /show"]
--- upstream_json eval
[undef, sub { join(' ', map { "$_->[0]=$_->[1]" } grep { $_->[0] !~ /^admin$/ } $_[0]->cookies) eq 'backend=1' or $_[0]->header('Cookie') }]
--- response_body eval
[undef, undef, 'open[] open[1]']
--- check eval
[cookies(qw(web admin)), cookies(), cookies()]

=== remember for one of them
--- http_config eval
two('in one zone', 'remember on; remember_safety None; remember_cookie_name wrem;')
--- cookie_jar
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete @$cookies{qw(web admin)} if $i == 1 }
--- request eval
["GET /set?w=1&a=2", "GET /show"]
--- response_body eval
[undef, 'remembered[1] missing[]']
--- check eval
[cookies(qw(web admin wrem))]

=== session_cache_control: one header for both, and off for one
--- http_config eval
two('in their cookies', 'cache_control off;')
--- request eval
["GET /set?w=1&a=2", "GET /set?w=1", "GET /set?a=1"]
--- response_headers eval
['Cache-Control: no-cache="Set-Cookie"', '! Cache-Control', 'Cache-Control: no-cache="Set-Cookie"']

=== subrequests and internal redirects keep both
--- config
location = /main     { session start profile=web; session start profile=admin; auth_request /auth; session_map_header X-W k profile=web; session_map_header X-A k profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /auth     { internal; session open profile=admin; if ($session_admin_exists = "") { return 403; } return 204; }
location = /rewrite  { rewrite ^ /get last; }
location = /page     { session start profile=web; session start profile=admin; error_page 404 = /get; return 404; }
location /accel      { session start profile=web; session start profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /change   { session start profile=web; session start profile=admin; session_set k new profile=web; error_page 404 = /get; proxy_intercept_errors on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/?st=404; }
--- cookie_jar eval
['-', ('a') x 6]
--- request eval
["GET /main", "GET /set?w=1&a=2", "GET /main", "GET /rewrite", "GET /page", ::ask('/accel', 'X-Accel-Redirect: /get'), "GET /change"]
--- error_code eval
[403, (200) x 6]
--- upstream_json eval
[undef, undef, (saw('1', '2')) x 4, saw('new', '2')]
--- check eval
[cookies(), cookies(qw(web admin)), (cookies()) x 4, cookies('web')]

=== in redis each has records under its cookie's name
--- http_config eval
two('in one redis')
--- before eval
[sub { $::redis->ask('FLUSHALL') }]
--- cookie_jar
--- request eval
["GET /set?w=1&a=2", "GET /out/admin"]
--- error_code eval
[200, 204]
--- check eval
[all_hold(cookies(qw(web admin)), sub { records() eq 'admin web' or records() }), sub { records() eq 'web' or records() }]

=== two lookups in a slow storage go at the same time, and so do two saves
--- http_config eval
"session_backend r redis { server 127.0.0.1:@{[$::slow->port]}; timeout 5s; connect_timeout 5s; }\nsession_secret x;\nsession_profile web { cookie_name web; storage r; }\nsession_profile admin { cookie_name admin; storage r; }\n"
--- cookie_jar
--- before eval
[(undef) x 4, sub { $::slow->fault('delay 400') }, undef, sub { $::slow->fault('ok') }]
--- request eval
["GET /set?w=1&a=2", "GET /get", "GET /set?w=3&a=4", "GET /get", "GET /get", "GET /show", "GET /get"]
--- upstream_json eval
[undef, saw('1', '2'), undef, saw('3', '4'), saw('3', '4'), undef, saw('3', '4')]
--- response_body eval
[(undef) x 5, 'open[3] open[4]', undef]
--- check eval
my $once = sub { $_[0]{seconds} >= 0.35 && $_[0]{seconds} < 0.78 or "took $_[0]{seconds} s" };
[cookies(qw(web admin)), cookies(), cookies(qw(web admin)), cookies(), $once, $once]

=== one storage away: fail refuses, pass goes on with the other
--- http_config eval
two('in redis and a zone')
--- config
location = /pass { session_on_error pass; session start profile=web; session start profile=admin; session_map_header X-W k profile=web; session_map_header X-A k profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /pass/set { session_on_error pass; session start profile=web; session start profile=admin; session_set k $arg_w profile=web; session_set k $arg_a profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /only { session start profile=admin; return 200 "$session_admin_data_k"; }
--- before eval
[undef, sub { $::redis->stop }, (undef) x 4, sub { comes_back($::redis) }]
--- cookie_jar
--- request eval
["GET /set?w=1&a=2", "GET /get", "GET /pass", "GET /pass/set?w=3&a=4", "GET /only", "GET /pass", "GET /show"]
--- more_headers
X-W: evil
--- error_code eval
[200, 503, 200, 200, 200, 200, 200]
--- response_body eval
[(undef) x 4, '4', undef, undef]
--- upstream_json eval
[undef, undef, saw('-', '2'), undef, undef, saw('-', '4')]
--- check eval
[cookies(qw(web admin)), cookies(), cookies(), cookies('admin'), cookies(), cookies()]

=== two long sessions in their cookies: chunks of each, and each expires its own
--- http_config eval
two('in their cookies', 'compression_threshold 0;', 'compression_threshold 0;')
--- cookie_jar
--- request eval
["GET /set?w=" . 'x' x 5000 . '&a=' . 'y' x 5000, "GET /show", "GET /out/web", "GET /show"]
--- error_code eval
[200, 200, 204, 200]
--- response_body eval
[undef, 'open[' . 'x' x 5000 . '] open[' . 'y' x 5000 . ']', "", 'missing[] open[' . 'y' x 5000 . ']']
--- check eval
[sub { my $names = join ' ', sort map { $_->{name} } $_[0]->set_cookies; $names eq 'admin admin2 web web2' or $names }, cookies(), cookies(qw(-web -web2)), cookies()]

=== a profile's request headers are nobody else's in locations that do not open the profile
--- http_config eval
two('in one zone', 'map_header X-W k; request_headers id;', 'map_header X-A k; control on; control_prefix X-Admin-;') . "session_storage s;\n"
--- config
location = /none  { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /off   { session off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /other { session start profile=web; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /plain { session start; session_map_header X-Plain k; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /set?w=1&a=2", map { "GET $_" } qw(/none /off /other /plain)]
--- more_headers
X-W: evil
X_a: evil
x-a: evil
Session-web-Id: evil
X-Admin-Data: {"evil":1}
X-Other: 1
--- upstream_json eval
my $not_forged = sub {
    my @evil = grep { $_->[1] =~ /evil/ } @{ $_[0]{headers} };
    return @evil ? "forged: @{[map { $_->[0] } @evil]}" : ($_[0]->header('X-Other') // '') eq '1' || 'X-Other is gone';
};
[undef, map { all_hold($not_forged, saw(@$_)) } (['-', '-']) x 2, ['1', '-'], ['-', '-']]

=== where a location hides, no upstream sees the cookies of profiles that hide
--- http_config eval
two('in one zone', 'hide on;', 'hide off;') . "session_storage s;\n"
--- config
location = /hides  { session start; session_hide on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /web    { session start profile=web; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /shows  { session start; session_hide off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /admin  { session start profile=admin; session_hide on profile=admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[map { "GET $_" } qw(/hides /web /shows /admin)]
--- more_headers
Cookie: own=1; session=a; web=b; web2=c; admin=d; remember_web=e; other=2
--- upstream_json eval
[map { my $wanted = $_; sub { my $got = $_[0]->header('Cookie') // '-'; $got eq $wanted or $got } }
    'own=1; admin=d; other=2', 'own=1; session=a; admin=d; other=2', 'own=1; session=a; web=b; web2=c; admin=d; remember_web=e; other=2', 'own=1; session=a; other=2']

=== no token comes into the log
--- log_level: debug
--- capture eval
[$::tokens]
--- request eval
["GET /set?w=1&a=2", "GET /show", "GET /out/admin"]
--- more_headers eval
["", ('Cookie: web=$CAPTURED_A; admin=$CAPTURED_W') x 2]
--- error_code eval
[200, 200, 204]
--- no_error_log eval
[qr/session: .*AQ[\w-]{100}/]

=== a profile that hides is hidden where it is switched off, too
--- http_config
session_secret x;
session_profile web { cookie_name web; hide on; }
--- config
session start;
session start profile=web;
location = /own  { session start; session_hide on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /off  { session start; session_hide on; session off profile=web; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /line { session start; session_hide on; session_set x 1 profile=web; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[map { "GET $_" } qw(/own /off /line)]
--- more_headers
Cookie: session=a; web=b; other=2
--- upstream_json eval
sub { my $got = $_[0]->header('Cookie') // '-'; $got eq 'other=2' or $got }
