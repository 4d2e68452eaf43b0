# session_request_headers, session_response_headers and the variables of the same properties.
use lib 't/lib';
use SessT 'no_plan';

require './t/refused.pl';
rig 'B1';

our @names = qw(Session-Id Session-Audience Session-Subject Session-Timeout Session-Idling-Timeout Session-Rolling-Timeout Session-Absolute-Timeout);
our $all = 'id audience subject timeout idling-timeout rolling-timeout absolute-timeout';
our $evil = join "\n", map { my $n = $_; ("$n: evil", lc("$n: evil"), ($n =~ tr/-/_/r) . ': evil') } @names;

# The lines of the upstream's request (or the response's) that are a property, `Name: value`, joined.
sub properties {
    my ($pairs) = @_;
    return join '|', map { "$_->[0]: $_->[1]" } grep { $_->[0] =~ /^session[-_]/i } @$pairs;
}
sub of_response { my ($res) = @_; [ map { /^([^:]+): *(.*?)\r?$/ ? [ $1, $2 ] : () } split /\n/, $res->{head} ] }

# A check of the upstream's request: just these properties, each a pattern.
sub saw {
    my %wanted = @_;
    return sub {
        my ($up) = @_;
        my %got;
        for my $pair (grep { $_->[0] =~ /^session[-_]/i } @{ $up->{headers} }) {
            return "$pair->[0] twice" if exists $got{ $pair->[0] };
            $got{ $pair->[0] } = $pair->[1];
        }
        for my $name (keys %wanted) { return "$name: " . ($got{$name} // '-') if ($got{$name} // '') !~ /\A$wanted{$name}\z/ }
        my @more = grep { !exists $wanted{$_} } keys %got;
        return @more ? "more: @more" : 1;
    };
}

for my $directive (qw(session_request_headers session_response_headers)) {
    refused('P4: an unknown property', "$directive foo;", qr/invalid value "foo".*"id", "audience", "subject", "timeout"/);
    refused('P4: behind known ones', "$directive id subject foo;", qr/invalid value "foo"/);
    refused('P4: upper case', "$directive ID;", qr/invalid value "ID"/);
    refused('P4: a header name', "$directive Session-Id;", qr/invalid value "Session-Id"/);
    refused('P4: a variable', "$directive \$arg_p;", qr/invalid value/);
    refused('no property', "$directive;", qr/invalid number of arguments/);
    refused('P4: in a location', "location /a { $directive foo; }", qr/invalid value "foo"/, names => $directive);
}
for my $name (qw(idling_timeout rolling_timeout absolute_timeout stale_ttl touch_threshold remember_rolling_timeout remember_timeout remember_absolute_timeout)) {
    refused('no time', "session_$name soon;", qr/invalid value "soon".*time/);
    refused('negative', "session_$name -1s;", qr/invalid value "-1s"/);
    refused('a variable', "session_$name \$arg_t;", qr/invalid value/);
    refused('nothing', "session_$name \"\";", qr/invalid value ""/);
    refused('twice', "session_$name 1s;\nsession_$name 2s;", qr/duplicate/);
    refused('no argument', "session_$name;", qr/invalid number of arguments/);
}
refused('off is not a time', 'session_idling_timeout off;', qr/invalid value "off"/);
refused('milliseconds', 'session_idling_timeout 1500ms;', qr/invalid value "1500ms"/);
refused('the two names of one time', "session_remember_timeout 1d;\nsession_remember_rolling_timeout 1d;", qr/duplicate/, names => 'session_remember_rolling_timeout');

add_refused();
run_tests();
__DATA__

=== P1: all seven for an open session, the client's own removed in every spelling
--- config eval
"underscores_in_headers on;
 location /in  { session_audience app; session_subject ann; return 204; }
 location /see { session_audience app; session_request_headers $::all; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }"
--- cookie_jar
--- request eval
["GET /in", "GET /see", "GET /see HTTP/1.0"]
--- more_headers eval
["", $::evil, $::evil]
--- error_code eval
[204, 200, 200]
--- upstream_json eval
my $check = saw('Session-Id' => '[\w-]{43}', 'Session-Audience' => 'app', 'Session-Subject' => 'ann', 'Session-Timeout' => '(?:900|89\d)',
    'Session-Idling-Timeout' => '(?:900|89\d)', 'Session-Rolling-Timeout' => '(?:3600|359\d)', 'Session-Absolute-Timeout' => '(?:86400|8639\d)');
[undef, $check, $check]

=== P1: by HTTP/2
--- http2
--- config eval
"session_request_headers $::all; location /in { session_subject ann; return 204; }"
--- cookie_jar
--- request eval
["GET /in", "GET /"]
--- more_headers eval
["", "Session-Subject: evil\nSession-Id: evil"]
--- error_code eval
[204, 200]
--- upstream_json eval
[undef, sub { $_[0]->header('Session-Subject') eq 'ann' && $_[0]->headers('Session-Id') == 1 or 'not ann' }]

=== P1: without a session nothing is sent, and the client's own are removed all the same
--- config eval
"underscores_in_headers on;
 session_request_headers $::all;
 location /off    { session off; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }
 location /bypass { session_bypass 1; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }
 location /other  { session_audience other; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }
 location /gone   { session destroy; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }
 location /set2   { session_set a 1; return 204; }"
--- cookie_jar eval
['-', 'a', 'a', 'a', 'a', '-', 'a']
--- request eval
["GET /", "GET /set2", "GET /off", "GET /bypass", "GET /other", "GET /", "GET /gone"]
--- more_headers eval
[($::evil) x 5, "$::evil\nCookie: sid=bad", $::evil]
--- error_code eval
[200, 204, (200) x 5]
--- upstream_json eval
[saw(), undef, saw(), saw(), saw(), saw(), saw()]

=== P1: only those named are sent and owned; others are the client's
--- config
session_request_headers subject;
location /in { session_subject ann; return 204; }
--- cookie_jar
--- request eval
["GET /in", "GET /"]
--- more_headers eval
["", "Session-Id: mine\nSession-Subject: evil"]
--- error_code eval
[204, 200]
--- upstream_json eval
[undef, sub { $_[0]->header('Session-Id') eq 'mine' && $_[0]->header('Session-Subject') eq 'ann' or properties($_[0]{headers}) }]

=== P1: no subject: that header is left out
--- config
session_request_headers subject audience;
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /"]
--- more_headers eval
["", "Session-Subject: evil"]
--- upstream_json eval
[undef, saw('Session-Audience' => 'default')]

=== P1: a limit of 0 leaves its property out; timeout is the smallest of the rest
--- config
session_request_headers timeout idling-timeout rolling-timeout absolute-timeout;
session_set a 1;
location /i { session_idling_timeout 0; session_rolling_timeout 50; session_absolute_timeout 40; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /r { session_idling_timeout 30; session_rolling_timeout 0; session_absolute_timeout 40; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /a { session_idling_timeout 30; session_rolling_timeout 20; session_absolute_timeout 0; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /n { session_idling_timeout 0; session_rolling_timeout 0; session_absolute_timeout 0; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /i", "GET /r", "GET /a", "GET /n"]
--- upstream_json eval
my ($i, $r, $a) = map { "Session-$_-Timeout" } qw(Idling Rolling Absolute);
[saw('Session-Timeout' => '40|39', $r => '50|49', $a => '40|39'), saw('Session-Timeout' => '30|29', $i => '30|29', $a => '40|39|38'),
 saw('Session-Timeout' => '1\d|20', $i => '30|2\d', $r => '20|1\d'), saw()]

=== P1: names with _ are taken as the reference takes them
--- config
session_request_headers idling_timeout;
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /"]
--- upstream_json eval
[undef, saw('Session-Idling-Timeout' => '900|899')]

=== P1: the session that this request makes has them too, and its id is that of the cookie
--- rig: B3
--- config
session_request_headers id;
add_header X-Id $session_id;
--- cookie_jar
--- request eval
["GET /", "GET /"]
--- check eval
our $first;
sub {
    my ($res, $i) = @_;
    my ($id) = $res->{body} =~ /"Session-Id","([^"]+)"/;
    $first //= $id;
    return "upstream $id, variable " . $res->header('X-Id') if $id ne $res->header('X-Id');
    return $id eq $first || 'another id';
}

=== P1: with remember the values count from the save
--- config
session_request_headers timeout;
session_subject ann;
session_remember on;
session_remember_safety None;
session_idling_timeout 100;
--- request
GET /
--- upstream_json eval
saw('Session-Timeout' => '100')

=== P1: lists: the location's replaces the server's; http's is inherited; proxy_set_header wins
--- http_config
session_request_headers id;
--- config
session_subject ann;
location /own    { session_request_headers subject; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; location /own/in { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; } }
location /twice  { session_request_headers subject; session_request_headers audience subject; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /winner { session_request_headers subject; proxy_set_header Session-Subject fixed; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /", "GET /own", "GET /own/in", "GET /twice", "GET /winner"]
--- upstream_json eval
[saw('Session-Id' => '[\w-]{43}'), saw('Session-Subject' => 'ann'), saw('Session-Subject' => 'ann'), saw('Session-Subject' => 'ann', 'Session-Audience' => 'default'), saw('Session-Subject' => 'fixed')]

=== P1: beside session_map_header; both own their names
--- config
session_request_headers subject;
session_map_header X-User user;
session_subject ann;
session_set user bob;
--- request
GET /
--- more_headers
X-User: evil
Session-Subject: evil
--- upstream_json eval
sub { my ($up) = @_; $up->header('X-User') eq 'bob' && $up->header('Session-Subject') eq 'ann' && $up->headers('Session-Subject') == 1 or 'wrong' }

=== P1: a subject in UTF-8 goes as its bytes; one with control characters does not go
--- config
session_request_headers subject;
session_response_headers subject;
location /in { session_subject $http_x_s; return 204; }
location /bad { session_subject "a\nSession-Id: evil"; return 204; }
--- cookie_jar
--- request eval
["GET /in", "GET /", "GET /bad", "GET /"]
--- more_headers eval
["X-S: J\xc3\xb6rg", "", "", "Session-Subject: evil"]
--- error_code eval
[204, 200, 204, 200]
--- upstream_json eval
[undef, saw('Session-Subject' => "J\xc3\xb6rg"), undef, saw()]
--- response_headers eval
["", "Session-Subject: J\xc3\xb6rg", "! Session-Id", "! Session-Subject\n! Session-Id"]
--- error_log eval
[qr/\[error\].* session: Session-Subject is not sent/]

=== P3: response headers: the number falls with time; the upstream's own are replaced
--- config
session_response_headers id subject timeout absolute-timeout;
session_touch_threshold 1h;
location /in { session_subject ann; return 204; }
--- cookie_jar
--- sleep_before eval
[0, 0, 2.05]
--- request eval
["GET /in", "GET /?rh=Session-Subject:%20eve&rh=Session-Timeout:%201&rh=session-id:%20x", "GET /"]
--- error_code eval
[204, 200, 200]
--- check eval
my @left;
sub {
    my ($res, $i) = @_;
    my ($timeout, @more) = $res->headers('Session-Timeout');
    return 'Session-Timeout twice' if @more;
    return 'Session-Subject ' . join '|', $res->headers('Session-Subject') if join('|', $res->headers('Session-Subject')) ne 'ann';
    return 'Session-Id ' . join '|', $res->headers('Session-Id') if join('|', $res->headers('Session-Id')) !~ /\A[\w-]{43}\z/;
    push @left, [ $timeout, $res->header('Session-Absolute-Timeout') ];
    return 1 if $i < 2;
    my ($fell, $absolute) = map { $left[1][$_] - $left[2][$_] } 0, 1;
    return ($fell == 2 || $fell == 3) && ($absolute == 2 || $absolute == 3) || "fell by $fell and $absolute";
}

=== P3: response headers: limits of 0 are left out
--- config
session_response_headers timeout idling-timeout rolling-timeout absolute-timeout;
session_set a 1;
session_idling_timeout 0;
session_rolling_timeout 0;
location /none { session_absolute_timeout 0; return 204; }
--- request eval
["GET /", "GET /none"]
--- error_code eval
[200, 204]
--- check eval
[sub { my $p = properties(of_response($_[0])); $p =~ /^Session-Timeout: (86400|86399)\|Session-Absolute-Timeout: \1\z/ or $p }, sub { my $p = properties(of_response($_[0])); $p eq '' or $p }]

=== P3: response headers without a session: none, the upstream's neither
--- config
session_response_headers subject id;
--- request eval
["GET /?rh=Session-Subject:%20eve", "GET /"]
--- more_headers eval
["", "Cookie: sid=bad"]
--- response_headers eval
[("! Session-Subject\n! Session-Id") x 2]

=== P3: response headers go with every kind of answer, and after destroy there are none
--- config
session_response_headers id;
location /in    { session_set a 1; return 204; }
location /moved { return 302 /; }
location /error { return 404; }
location /html  { alias html/; }
--- cookie_jar
--- request eval
["GET /in", "GET /moved", "GET /error", "HEAD /", "GET /?st=304", "GET /out"]
--- error_code eval
[204, 302, 404, 200, 304, 204]
--- response_headers_like eval
[('Session-Id: [\w-]{43}') x 5, '! Session-Id']

=== P3: response headers: the list of the location replaces the server's
--- config
session_response_headers id;
session_set a 1;
location /a { session_response_headers audience; return 204; }
--- request eval
["GET /a", "GET /"]
--- error_code eval
[204, 200]
--- check eval
[sub { my $p = properties(of_response($_[0])); $p eq 'Session-Audience: default' or $p }, sub { my $p = properties(of_response($_[0])); $p =~ /\ASession-Id: [\w-]{43}\z/ or $p }]

=== the variables say what the headers say
--- config
session_subject ann;
session_audience app;
session_request_headers id audience subject timeout idling-timeout rolling-timeout absolute-timeout;
proxy_set_header X-Vars "$session_id $session_audience $session_subject $session_timeout $session_idling_timeout $session_rolling_timeout $session_absolute_timeout";
--- cookie_jar
--- request eval
["GET /", "GET /"]
--- upstream_json eval
sub { my ($up) = @_; my $all = join ' ', map { $up->header($_) } @::names; $up->header('X-Vars') eq $all or $up->header('X-Vars') . " not $all" }
