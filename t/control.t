# Control headers (session_control): the upstream drives the session by its answer's headers. Cases D10, D12, A4, A11, A14.
use lib 't/lib';
use SessT 'no_plan';

use SessT::Gateway;
use SessT::Servers;

require './t/refused.pl';
require './t/speaking.pl';
rig 'B2';

our $redis = SessT::Servers->redis('--appendonly', 'yes', '--appendfsync', 'always');

our %gateway = map { $_ => SessT::Gateway::start($_) } qw(fastcgi uwsgi scgi);
our $gateways = join '',
    map { "location /$_ { session_control on; ${_}_pass 127.0.0.1:$gateway{$_}; @{[SessT::Gateway::params($_)]} }\n" } sort keys %gateway;

our $grpc_server = <<'END';
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_9 http2;
    session off;
    large_client_header_buffers 4 64k;
    add_trailer X-Session-Info $arg_trailer;
    location / { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
}
END

# Sessions in shared memory, or in redis; stale_ttl is short enough to wait for.
our $in_shm = "large_client_header_buffers 4 64k;\nsession_backend s shm { size 1m; }\nsession_storage s;\nsession start;\nsession_secret x;\nsession_stale_ttl 1s;\n";
our $in_redis = $in_shm =~ s/shm \{ .*? \}/redis { server 127.0.0.1:@{[$redis->port]}; timeout 500ms; connect_timeout 500ms; }/r;

# In every block: /c is driven by its upstream, /show tells what was found.
add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->must_die;
    $block->set_value(config => ($block->config // '') . <<'END');
location /c         { session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /show    { return 200 "$session_status|$session_audience|$session_subject|$session_json"; }
location = /show/b  { session_audience b; return 200 "$session_status|$session_audience|$session_subject|$session_json"; }
location = /info    { return 200 "$session_info_i|$session_info_j"; }
END
});

# Pairs of a document and a merge patch, and what comes of them: the examples of RFC 7396 that concern objects, and some more.
our @patches = (
    [ '{"a":"b"}',             '{"a":"c"}',                    '{"a":"c"}' ],
    [ '{"a":"b"}',             '{"b":"c"}',                    '{"a":"b","b":"c"}' ],
    [ '{"a":"b"}',             '{"a":null}',                   '{}' ],
    [ '{"a":"b","b":"c"}',     '{"a":null}',                   '{"b":"c"}' ],
    [ '{"a":["b"]}',           '{"a":"c"}',                    '{"a":"c"}' ],
    [ '{"a":"c"}',             '{"a":["b"]}',                  '{"a":["b"]}' ],
    [ '{"a":{"b":"c"}}',       '{"a":{"b":"d","c":null}}',     '{"a":{"b":"d"}}' ],
    [ '{"a":[{"b":"c"}]}',     '{"a":[1]}',                    '{"a":[1]}' ],
    [ '{"a":"foo"}',           '{"a":{"b":{"c":1}}}',          '{"a":{"b":{"c":1}}}' ],
    [ '{"a":{"b":{"c":1}}}',   '{"a":7}',                      '{"a":7}' ],
    [ '{"x":1}',               '{"a":{"bb":{"ccc":null}}}',    '{"a":{"bb":{}},"x":1}' ],
    [ '{"x":1}',               '{"none":null}',                '{"x":1}' ],
    [ '{"x":1}',               ' { "y" : [ null , {"z":null} ] } ', '{"x":1,"y":[null,{"z":null}]}' ],
    [ '{"x":1}',               '{"x":9007199254740993}',       '{"x":9007199254740993}' ],
    [ '{"x":1}',               '{"x":-9223372036854775808,"y":true,"z":false}', '{"x":-9223372036854775808,"y":true,"z":false}' ],
    [ '{"x":1}',               '{"x":1.5,"y":""}',             '{"x":1.5,"y":""}' ],
    [ '{"x":1}',               '{"x":"\u00e4\n\"\\\\"}',       "{\"x\":\"\xc3\xa4\\n\\\"\\\\\"}" ],
    [ '{"x":1}',               "{\"x\":\"\xc3\xa4\"}",         "{\"x\":\"\xc3\xa4\"}" ],
    [ '{"a":{"b":1}}',         '{"a.b":2}',                    '{"a":{"b":1},"a.b":2}' ],
);

# Header lines that are wrong, and the header an error line must name.
our @wrong = (
    (map { [ "X-Session-Data: $_", 'X-Session-Data' ] }
        '{', '[1]', '"text"', '1', 'null', 'true', '', '{"a":1}}', '{"a":1}, {"a":2}', q({'a':1}), '{"a":}', '{a:1}',
        "{\"a\":\"\xff\"}", '{"a":"\ud800"}', '{"\u0001jar":1}', '{"\u0001jar":null}', '{"a":' . '[' x 5_000 . ']' x 5_000 . '}'),
    (map { [ "X-Session-Info: $_", 'X-Session-Info' ] } '{', '[1]', '"text"', '', "{\"a\":\"\xff\"}"),
    (map { [ "X-Session-Action: $_", 'X-Session-Action' ] } 'explode', 'save, touch', 'save touch', "sav\xff"),
    (map { [ "X-Session-Remember: $_", 'X-Session-Remember' ] } 'maybe', "\xff"),
    [ "X-Session-Subject: \xff", 'X-Session-Subject' ],
    [ 'X-Session-Audience: ',    'X-Session-Audience' ],
    [ "X-Session-Audience: \xc3", 'X-Session-Audience' ],
);

# Each of them among others that are right.
our @asking_wrong = map { ask('/c?text=hello', 'X-Session-Data: {"good":1}', $_->[0], 'X-Session-Info: {"i":1}', 'X-Other: 1') } @wrong;

our @spellings = qw(X-Session-Data X_Session_Data x-session-data x_session_data X-SESSION-DATA X-Session_Data x_Session-dAtA);
our @words = qw(Data Info Action Subject Audience Remember);

sub no_header { my ($like) = @_; return sub { my @seen = grep { $_->[0] =~ $like } @{ $_[0]{headers} }; !@seen or "the upstream saw $seen[0][0]" } }

refused('an unknown word', 'session_control maybe;', qr/"maybe"/);
refused('twice', "session_control on;\nsession_control off;", qr/duplicate/);
refused('two words', 'session_control on off;', qr/invalid number of arguments/);
refused('an unknown profile', 'session_control on profile=x;', qr/unknown profile "x"/);
refused('session_control in an if', 'location / { if ($arg_a) { session_control on; } }', qr/not allowed here/, names => 'session_control');
refused('session_control outside http', 'session_control on;', qr/not allowed here/, section => 'main_config');
refused('prefix: empty', 'session_control_prefix "";', qr/""/);
refused('prefix: a blank', 'session_control_prefix "X Session-";', qr/"X Session-"/);
refused('prefix: a colon', 'session_control_prefix X-Session:;', qr/"X-Session:"/);
refused('prefix: a byte that no header has', "session_control_prefix X-\xc3\xa4-;", qr/invalid/);
refused('prefix: a variable', 'session_control_prefix X-$host-;', qr/\$host/);
refused('prefix: twice', "session_control_prefix A-;\nsession_control_prefix B-;", qr/duplicate/);
refused('prefix: none', 'session_control_prefix;', qr/invalid number of arguments/);

add_refused();
run_tests();
__DATA__

=== Data makes a session and changes one; the rest of the response is the upstream's
--- cookie_jar
--- request eval
[::ask('/c?st=201&text=hello', 'X-Session-Data: {"a":1}', 'X-Other: one', 'X-Session-Id: his', 'X-Session-Database: 1'), "GET /show",
 ::ask('/c', 'X-Session-Data: {"b":{"c":"d"}}'), "GET /show"]
--- error_code eval
[201, 200, 200, 200]
--- response_headers eval
["X-Other: one\nX-Session-Id: his\nX-Session-Database: 1\nContent-Type: text/plain\nContent-Length: 5", "", "", ""]
--- shown eval
["hello", 'open|default||{"a":1}', undef, 'open|default||{"a":1,"b":{"c":"d"}}']
--- check eval
[all_hold(sets('session'), \&clean), \&silent, all_hold(sets('session'), \&clean), \&silent]
--- no_error_log eval
[qr/\[(?:warn|error|crit)\]/]

=== Data: by HTTP/1.0, TLS and HTTP/2
--- cookie_jar eval
[qw(a a b b)]
--- tls eval
[0, 0, 1, 1]
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}') . ' HTTP/1.0', "GET /show", ::ask('/c', 'X-Session-Data: {"a":2}'), "GET /show"]
--- shown eval
[undef, 'open|default||{"a":1}', undef, 'open|default||{"a":2}']
--- check eval
[(all_hold(sets('session'), \&clean), undef) x 2]

=== Data: by HTTP/2
--- http2
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), "GET /show", ::ask('/c', 'X-Session-Action: logout'), "GET /show"]
--- shown eval
[undef, 'open|default||{"a":1}', undef, 'missing|||']
--- check eval
[all_hold(sets('session'), \&clean), undef, all_hold(expires('session'), \&clean)]

=== D10: the upstream counts: 1, 2, 3
--- cookie_jar
--- config
session_control on;
location /count { session_map_header X-n n; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[("GET /count?count=n", "GET /show") x 3]
--- shown eval
[map { (undef, qq(open|default||{"n":$_})) } 1 .. 3]
--- check eval
[(all_hold(sets('session'), \&clean), undef) x 3]
--- upstream_json eval
[map { my $n = $_; (sub { ($_[0]->header('X-n') // 'none') eq $n or 'X-n is ' . ($_[0]->header('X-n') // 'missing') }, undef) } 'none', 1, 2]

=== Data: RFC 7396
--- cookie_jar eval
[map { ($_) x 3 } 1 .. @::patches]
--- request eval
[map { (::ask('/c', "X-Session-Data: $_->[0]"), ::ask('/c', "X-Session-Data: $_->[1]"), 'GET /show') } @::patches]
--- shown eval
[map { (undef, undef, "open|default||$_->[2]") } @::patches]

=== Data: what changes nothing saves nothing
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"a":{"b":[1,2]},"t":"x"}'),
 map { ::ask('/c', @$_) } ['X-Session-Data: {}'], ['X-Session-Data: {"a":{"b":[1,2]}}'], ['X-Session-Data: {"none":null}']]
--- check eval
[sets('session'), (all_hold(\&silent, \&clean)) x 3]

=== Data: several lines, in their order
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1,"b":1}', 'X-Other: 1', 'X-Session-Data: {"a":2,"c":{"d":1}}', 'x_session_data: {"b":null,"c":{"e":2}}'), "GET /show"]
--- shown eval
[undef, 'open|default||{"a":2,"c":{"d":1,"e":2}}']
--- check eval
[all_hold(sets('session'), \&clean)]

=== every spelling is obeyed and taken away
--- cookie_jar eval
[map { ($_) x 2 } @::spellings]
--- request eval
[map { (::ask('/c', "$_: {\"a\":1}"), "GET /show") } @::spellings]
--- shown eval
[map { (undef, 'open|default||{"a":1}') } @::spellings]
--- check eval
[map { (all_hold(sets('session'), \&clean), undef) } @::spellings]

=== Subject: always a new id, also when it is the same; an empty one removes it
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Subject: ann', 'X-Session-Data: {"a":1}'), "GET /show", ::ask('/c', 'X-Session-Subject: ann'), "GET /show",
 ::ask('/c', 'X-Session-Subject: bob'), "GET /show", ::ask('/c', 'X-Session-Subject: '), "GET /show"]
--- shown eval
[undef, 'open|default|ann|{"a":1}', undef, 'open|default|ann|{"a":1}', undef, 'open|default|bob|{"a":1}', undef, 'open|default||{"a":1}']
--- check eval
[all_hold(keeps_id('one'), \&clean), undef, all_hold(new_id('one'), keeps_id('two'), \&clean), undef,
 all_hold(new_id('two'), \&clean), undef, all_hold(sets('session'), \&clean)]

=== Subject alone makes a session, and none when it is empty; UTF-8, and the blanks around it are not part of it
--- cookie_jar eval
['a', 'a', 'b', 'c', 'c']
--- request eval
[::ask('/c', 'X-Session-Subject: ann'), "GET /show", ::ask('/c', 'X-Session-Subject:'), ::ask('/c', "X-Session-Subject:  J\xc3\xbcrgen =;,\"  "), "GET /show"]
--- shown eval
[undef, 'open|default|ann|{}', undef, undef, "open|default|J\xc3\xbcrgen =;,\"|{}"]
--- check eval
[sets('session'), undef, \&silent, sets('session')]

=== D12: the login pattern: Action regenerate with Subject; data is kept
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"cart":[1]}'), ::ask('/c?st=303', 'Location: /home', 'X-Session-Subject: ann', 'X-Session-Data: {"user":"ann"}', 'X-Session-Action: regenerate'), "GET /show"]
--- error_code eval
[200, 303, 200]
--- shown eval
[undef, undef, 'open|default|ann|{"cart":[1],"user":"ann"}']
--- response_headers_like eval
["", 'Location: \S*/home', ""]
--- check eval
[keeps_id('guest'), all_hold(sets('session'), new_id('guest'), \&clean)]

=== A4: Audience renames: data and info move, the old name is gone
--- cookie_jar
--- config
location = /info/b { session_audience b; return 200 "$session_info_i|$session_info_j"; }
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}', 'X-Session-Info: {"i":1}', 'X-Session-Subject: ann'), ::ask('/c', 'X-Session-Audience: b'), "GET /show", "GET /show/b", "GET /info/b", "GET /info"]
--- shown eval
[undef, undef, 'no-audience|||', 'open|b|ann|{"a":1}', '1|', '|']
--- check eval
[undef, all_hold(sets('session'), \&clean)]

=== Audience: the same name changes nothing; without a session it names the one that others make, alone it makes none
--- cookie_jar eval
['a', 'a', 'b', 'c', 'c', 'c', 'd', 'd']
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c', 'X-Session-Audience: default'), ::ask('/c', 'X-Session-Audience: b'),
 ::ask('/c', 'X-Session-Data: {"a":1}', 'X-Session-Audience: b'), "GET /show", "GET /show/b",
 ::ask('/c', 'X-Session-Subject: eve', 'X-Session-Audience: b'), "GET /show/b"]
--- shown eval
[undef, undef, undef, undef, 'no-audience|||', 'open|b||{"a":1}', undef, 'open|b|eve|{}']
--- check eval
[sets('session'), \&silent, \&silent, sets('session'), undef, undef, sets('session')]

=== Audience renames only the current one
--- cookie_jar
--- config
location /b { session_audience b; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /show/z { session_audience z; return 200 "$session_status|$session_audience|$session_subject|$session_json"; }
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/b', 'X-Session-Data: {"b":1}'), ::ask('/b', 'X-Session-Audience: z', 'X-Session-Data: {"z":1}'), "GET /show", "GET /show/b", "GET /show/z"]
--- shown eval
[undef, undef, undef, 'open|default||{"a":1}', 'no-audience|||', 'open|z||{"b":1,"z":1}']

=== the order is Audience, Subject, Data, Info, Remember, Action, whatever that of the lines
--- cookie_jar
--- config
location = /info/b { session_audience b; return 200 "$session_info_i|$session_info_j"; }
--- request eval
[::ask('/c', 'X-Session-Action: save', 'X-Session-Info: {"i":1,"j":1}', 'X-Session-Info: {"j":2}', 'X-Session-Data: {"a":1}', 'X-Session-Data: {"a":2}', 'X-Session-Subject: ann', 'X-Session-Audience: b'),
 "GET /show/b", "GET /info/b"]
--- shown eval
[undef, 'open|b|ann|{"a":2}', '1|2']
--- check eval
[all_hold(sets('session'), \&clean)]

=== Info: needs a session, merges, and null removes
--- cookie_jar eval
['-', 'a', 'a', 'a', 'a', 'a', 'a']
--- request eval
[::ask('/c', 'X-Session-Info: {"i":1}'), ::ask('/c', 'X-Session-Data: {"a":1}', 'X-Session-Info: {"i":1}'), "GET /info",
 ::ask('/c', 'X-Session-Info: {"j":2}'), "GET /info", ::ask('/c', 'X-Session-Info: {"i":null}'), "GET /info"]
--- response_body eval
[undef, undef, '1|', undef, '1|2', undef, '|2']
--- check eval
[all_hold(\&silent, \&clean), sets('session'), undef, \&clean, undef, \&clean]

=== Info: with server storage there is no new cookie
--- rig: none
--- http_config eval
$::in_shm
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c', 'X-Session-Info: {"i":1}'), "GET /info", "GET /show"]
--- shown eval
[undef, undef, '1|', 'open|default||{"a":1}']
--- check eval
[sets('session'), all_hold(\&silent, \&clean)]

=== Remember: a remember cookie is made, also where session_remember is off, and ends with off
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c', 'X-Session-Remember: on', 'X-Session-Subject: ann'), ::ask('/c', 'X-Session-Remember: off')]
--- check eval
[sub { !$_[0]->set_cookie('remember') or 'remembered too early' }, sub {
    my ($res) = @_;
    return 'session' unless length(($res->set_cookie('session') // { value => '' })->{value}) >= 110;
    my $cookie = $res->set_cookie('remember') // return 'no remember cookie';
    return 'value' unless $cookie->{value} =~ /\AAQ[\w-]{108,}/;
    return 'Max-Age' unless ($cookie->{attr}{'max-age'} // '') eq '604800';
    clean($res);
}, sub {
    my $cookie = $_[0]->set_cookie('remember') // return 'no Set-Cookie for remember';
    $cookie->{value} eq '' && ($cookie->{attr}{'max-age'} // '') eq '0' or $cookie->{line};
}]

=== Remember: what was remembered comes back when the session cookie is lost
--- config
session_remember on;
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}', 'X-Session-Remember: on'), "GET /show"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i == 1 }
--- shown eval
[undef, 'remembered|default||{"a":1}']

=== Remember: alone, without a session, does nothing
--- request eval
[::ask('/c', 'X-Session-Remember: on'), ::ask('/c', 'X-Session-Remember: off')]
--- check eval
[(all_hold(\&silent, \&clean)) x 2]

=== A11: actions without a session do nothing, save makes one
--- cookie_jar eval
[('-') x 4, 'a', 'a']
--- request eval
[(map { ::ask('/c', "X-Session-Action: $_") } qw(logout destroy touch regenerate save)), "GET /show"]
--- shown eval
[(undef) x 5, 'open|default||{}']
--- check eval
[(all_hold(\&silent, \&clean)) x 4, all_hold(sets('session'), \&clean)]
--- no_error_log eval
[qr/\[(?:warn|error|crit)\]/]

=== actions on a session: save and regenerate give a new id, touch keeps it; data is kept
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), (map { (::ask('/c', "X-Session-Action: $_"), "GET /show") } qw(save regenerate)), ::ask('/c', 'X-Session-Action: touch'), "GET /show"]
--- shown eval
[undef, (undef, 'open|default||{"a":1}') x 3]
--- check eval
[keeps_id('set'), all_hold(new_id('set'), keeps_id('saved'), \&clean), undef, all_hold(new_id('saved'), keeps_id('again'), \&clean), undef, all_hold(sets('session'), same_id('again'), \&clean)]

=== a touch moves the idle limit
--- cookie_jar
--- config
session_idling_timeout 2s;
session_touch_threshold 1h;
--- sleep_before eval
[0, 1.2, 1.2, 0]
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c', 'X-Session-Action: touch'), "GET /show", "GET /c"]
--- shown eval
[undef, undef, 'open|default||{"a":1}', undef]

=== Action logout and destroy end it, and win over all else
--- cookie_jar eval
[map { ($_) x 3 } 1 .. 4]
--- request eval
[map { (::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c', @$_), "GET /show") }
    ['X-Session-Action: logout'], ['X-Session-Action: destroy'],
    ['X-Session-Action: logout', 'X-Session-Data: {"b":1}', 'X-Session-Subject: ann', 'X-Session-Remember: on'], ['X-Session-Subject: ann', 'X-Session-Action: destroy', 'X-Session-Data: {"b":1}']]
--- response_body eval
[(undef, undef, 'missing|||') x 4]
--- check eval
[(sets('session'), all_hold(expires('session'), \&clean), undef) x 4]

=== Data with logout or destroy makes no session where there was none
--- request eval
[map { ::ask('/c', "X-Session-Action: $_", 'X-Session-Data: {"b":1}', 'X-Session-Subject: ann') } qw(logout destroy)]
--- check eval
[(all_hold(\&silent, \&clean)) x 2]

=== Action logout leaves other audiences, destroy does not
--- cookie_jar
--- config
location /b { session_audience b; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/b', 'X-Session-Data: {"b":1}'), ::ask('/b', 'X-Session-Action: logout'), "GET /show/b", "GET /show",
 ::ask('/b', 'X-Session-Data: {"b":1}'), ::ask('/b', 'X-Session-Action: destroy'), "GET /show"]
--- shown eval
[(undef) x 3, 'no-audience|||', 'open|default||{"a":1}', undef, undef, 'missing|||']
--- check eval
[undef, undef, sets('session'), undef, undef, undef, expires('session')]

=== the remember cookie ends with destroy
--- cookie_jar
--- config
session_remember on;
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c', 'X-Session-Action: destroy')]
--- check eval
[undef, sub { my @c = grep { $_->{value} eq '' && $_->{attr}{'max-age'} eq '0' } $_[0]->set_cookies; "@{[sort map { $_->{name} } @c]}" eq 'remember session' or $_[0]{head} }]

=== A14: regenerate, and login: the old id works for stale_ttl and is refused then
--- rig: none
--- http_config eval
$::in_shm
--- capture eval
[{ old => qr/^Set-Cookie: (session=[^;]+)/m }, { new => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef, undef,
 { newest => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef]
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c', 'X-Session-Action: regenerate'), "GET /show", "GET /show", "GET /show",
 ::ask('/c', 'X-Session-Subject: ann'), "GET /show", "GET /show"]
--- more_headers eval
["", map { "Cookie: \$CAPTURED_$_" } qw(old old old new new new newest)]
--- sleep_before eval
[0, 0, 0, 2.2, 0, 0, 2.2, 0]
--- shown eval
[undef, undef, 'open|default||{"a":1}', 'no-record|||', 'open|default||{"a":1}', undef, 'no-record|||', 'open|default|ann|{"a":1}']
--- check eval
[keeps_id('first'), all_hold(sets('session'), new_id('first')), undef, undef, undef, sets('session')]

=== what is wrong is told by one error line that names the header; nothing is obeyed, the rest is untouched
--- cookie_jar
--- config
proxy_buffer_size 64k; proxy_buffers 4 64k;
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}', 'X-Session-Subject: ann'), @::asking_wrong, "GET /show", "GET /info"]
--- shown eval
[undef, (map { 'hello' } @::wrong), 'open|default|ann|{"a":1}', '|']
--- response_headers eval
["", (map { "X-Other: 1\nContent-Length: 5\n! Cache-Control" } @::wrong), "", ""]
--- before eval
\&mark_log
--- check eval
[sets('session'), map { all_hold(\&silent, \&clean, one_error($_->[1])) } @::wrong]

=== what is wrong makes no session
--- config
proxy_buffer_size 64k; proxy_buffers 4 64k;
--- request eval
[@::asking_wrong]
--- response_body eval
[map { 'hello' } @::wrong]
--- before eval
\&mark_log
--- check eval
[map { all_hold(\&silent, \&clean, one_error($_->[1])) } @::wrong]

=== what stands alone in an answer must not come twice
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), map { ::ask('/c?text=hello', 'X-Session-Data: {"good":1}', map { "X-Session-$_" } @$_) }
    ['Action: save', 'Action: touch'], ['Action: save', 'action: save'], ['Subject: ann', 'Subject: bob'], ['Audience: b', 'Audience: c'], ['Remember: on', 'Remember: off']]
--- response_body eval
[undef, ('hello') x 5]
--- before eval
\&mark_log
--- check eval
[undef, map { all_hold(\&silent, \&clean, one_error("X-Session-$_")) } qw(Action Action Subject Audience Remember)]

=== an upper-case control header in a wrong state is named too; logout is not obeyed beside something wrong
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c', 'X-Session-Action: destroy', 'x_session_data: {'), "GET /show"]
--- shown eval
[undef, undef, 'open|default||{"a":1}']
--- before eval
\&mark_log
--- check eval
[undef, all_hold(\&silent, \&clean, sub { news_of_log() =~ /\[error\].*session: .*x[-_]session[-_]data/i or 'no error line' })]

=== no value comes into the log, be it right or wrong
--- cookie_jar
--- log_level: debug
--- config
location = /secret { session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/; }
--- http_config
log_format none "$status";
server {
    listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    session off;
    error_log /dev/null;
    location / { add_header X-Session-Data '{"password":"hunter2"'; add_header X-Session-Action hunter2; add_header X-Session-Info 'hunter2'; return 200; }
}
--- request eval
["GET /secret", ::ask('/c', 'X-Session-Data: {"key":"hunter2"}', 'X-Session-Subject: hunter2')]
--- no_error_log eval
[qr/session: .*hunter2/]
--- error_log eval
[qr/\[error\].*session: .*X-Session-/]

=== off: control headers are headers as any others
--- config
location /off { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/off', 'X-Session-Data: {"a":1}', 'X-Session-Action: save')]
--- more_headers
X-Session-Data: {"b":1}
--- response_headers
X-Session-Data: {"a":1}
X-Session-Action: save
--- check eval
\&silent
--- upstream_json eval
sub { ($_[0]->header('X-Session-Data') // '') eq '{"b":1}' or 'the upstream does not see it' }

=== where sessions are off, bypassed or ended: taken away, not obeyed
--- cookie_jar eval
[('-') x 3, 'a', 'a', 'a', 'a', 'a', 'b', 'b']
--- config
location /off     { session off; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /bypass  { session_bypass 1; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /logout  { session logout; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /destroy { session destroy; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[(map { ::ask($_, 'X-Session-Data: {"z":1}', 'x_session_subject: eve') } qw(/off /bypass /logout)),
 ::ask('/c', 'X-Session-Data: {"a":1}'), (map { ::ask($_, 'X-Session-Data: {"z":1}', 'X-Session-Action: destroy') } qw(/off /bypass)), "GET /show", ::ask('/logout', 'X-Session-Data: {"z":1}'),
 ::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/destroy', 'X-Session-Subject: eve')]
--- shown eval
[(undef) x 6, 'open|default||{"a":1}', (undef) x 3]
--- check eval
[(all_hold(\&silent, \&clean)) x 3, sets('session'), (all_hold(\&silent, \&clean)) x 2, undef, all_hold(expires('session'), \&clean), sets('session'), all_hold(expires('session'), \&clean)]
--- no_error_log
[error]

=== open obeys too
--- cookie_jar
--- config
location /open { session open; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/open', 'X-Session-Data: {"a":1}'), "GET /show"]
--- shown eval
[undef, 'open|default||{"a":1}']

=== a prefix of one's own; the usual names are ordinary then
--- cookie_jar
--- config
location /own { session_control on; session_control_prefix App_; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/own', 'App-Data: {"a":1}', 'app_subject: ann', 'APP_INFO: {"i":1}', 'X-Session-Data: {"b":1}'), "GET /show", "GET /info"]
--- more_headers eval
["App-Data: {\"evil\":1}\nX-Session-Data: mine", "", ""]
--- shown eval
[undef, 'open|default|ann|{"a":1}', '1|']
--- response_headers eval
["! App-Data\n! App_Subject\n! app-subject\n! APP_INFO\n! App-Info\nX-Session-Data: {\"b\":1}", "", ""]
--- upstream_json eval
[sub { !defined $_[0]->header('App-Data') && $_[0]->header('X-Session-Data') eq 'mine' or 'headers' }]
--- check eval
[sets('session')]

=== inherited, and switched off below
--- config
session_control on;
session_control_prefix S-;
location /on  { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /no  { session_control off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/on', 'S-Data: {"a":1}'), ::ask('/no', 'S-Data: {"a":1}')]
--- response_headers eval
["! S-Data", "S-Data: {\"a\":1}"]
--- check eval
[sets('session'), \&silent]

=== the client cannot speak as the upstream: no spelling reaches it, nothing is obeyed
--- config
underscores_in_headers on;
add_header X-Seen "[$http_x_session_data$http_x_session_action$http_x_session_subject]";
location /off    { session off; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /bypass { session_bypass 1; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /ending { session destroy; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[map { ("GET $_") x @::spellings } qw(/c /off /bypass /ending)]
--- more_headers eval
[(map { my $s = $_; join "\n", "X-One: 1", (map { $s =~ s/data/$_/ir . ': {"evil":1}' } @::words), "$s: again", 'X-Session-Id: 5', 'X-Session-Dat: 6' } @::spellings) x 4]
--- response_headers eval
[('X-Seen: []') x (4 * @::spellings)]
--- check eval
\&silent
--- upstream_json eval
all_hold(no_header(qr/^x[-_]session[-_](?:data|info|action|subject|audience|remember)$/i), sub {
    my $names = join ' ', grep { /^X-/ } map { $_->[0] } @{ $_[0]{headers} };
    $names eq 'X-One X-Session-Id X-Session-Dat' or $names;
})

=== the same by HTTP/2
--- http2
--- config
underscores_in_headers on;
--- request eval
[("GET /c") x @::spellings]
--- more_headers eval
[map { my $s = $_; join "\n", map { $s =~ s/data/$_/ir . ': {"evil":1}' } @::words } @::spellings]
--- check eval
\&silent
--- upstream_json eval
no_header(qr/^x[-_]session[-_]/i)

=== FastCGI, uwsgi, SCGI: obeyed, and taken away both ways
--- cookie_jar eval
[map { ($_) x 3 } sort keys %::gateway]
--- config eval
"underscores_in_headers on;\n$::gateways"
--- request eval
[map { (::ask("/$_", 'X-Session-Data: {"a":1}', 'x_session_subject: ann', 'X-Other: 1'), "GET /show", ::ask("/$_?st=404", 'X_Session-Action: destroy')) } sort keys %::gateway]
--- error_code eval
[(200, 200, 404) x 3]
--- more_headers eval
[("X-Session-Data: {\"evil\":1}\nx_session_data: {\"evil\":2}\nX_Session-Action: destroy\nX-One: 1", "", "") x 3]
--- response_headers eval
[("X-Other: 1", "", "") x 3]
--- shown eval
[(undef, 'open|default|ann|{"a":1}', undef) x 3]
--- upstream_json eval
[(all_hold(no_header(qr/^HTTP_X_SESSION/), sub { $_[0]->header('HTTP_X_ONE') eq '1' or 'X-One' }), undef, no_header(qr/^HTTP_X_SESSION/)) x 3]
--- check eval
[(all_hold(sets('session'), \&clean), undef, all_hold(expires('session'), \&clean)) x 3]

=== gRPC: obeyed, and taken away both ways, from trailers as well
--- http_config eval
$::grpc_server
--- config
underscores_in_headers on;
location /g   { session_control on; grpc_pass grpc://127.0.0.1:$TEST_NGINX_RAND_PORT_9; }
location /raw { grpc_pass grpc://127.0.0.1:$TEST_NGINX_RAND_PORT_9; }
--- cookie_jar
--- request eval
[::ask('/g?framing=close&trailer=%7b%22t%22:1%7d', 'X-Session-Data: {"a":1}', 'x_session_subject: ann', 'X-Other: 1'), "GET /show", "GET /info",
 ::ask('/raw?framing=close&trailer=7', 'X-Session-Data: {"b":1}'), ::ask('/g', 'X-Session-Action: logout')]
--- more_headers eval
[("TE: trailers\nX-Session-Data: {\"evil\":1}\nx_session_data: {\"evil\":2}\nX-One: 1") x 5]
--- response_headers eval
["X-Other: 1", "", "", "X-Session-Data: {\"b\":1}", ""]
--- shown eval
[undef, 'open|default|ann|{"a":1}', '|', undef, undef]
--- upstream_json eval
[all_hold(no_header(qr/^x[-_]session[-_]/i), sub { $_[0]->header('X-One') eq '1' or 'X-One' }), undef, undef, undef, no_header(qr/^x[-_]session[-_]/i)]
--- check eval
[all_hold(sets('session'), \&clean), undef, undef, sub { ($_[0]{trailers} // '') =~ /session-info: 7/i or 'no trailers at all' }, all_hold(expires('session'), \&clean)]

=== trailers of a proxied answer
--- skip_nginx: 5: < 1.27.2
--- config
proxy_http_version 1.1; proxy_pass_trailers on; proxy_set_header TE trailers; proxy_set_header Connection TE;
location /raw { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
['GET /c?text=abc&rt=X-Session-Data:%7b%22a%22:1%7d&rt=x_session_action:save&rt=X-T:1', 'GET /raw?text=abc&rt=X-Session-Data:1']
--- more_headers eval
["TE: trailers", "TE: trailers"]
--- response_body eval
["abc", "abc"]
--- check eval
[all_hold(\&silent, \&clean, sub { $_[0]{trailers} =~ /\AX-T: ?1\r\n\z/ or $_[0]{trailers} }), sub { $_[0]{trailers} =~ /X-Session-Data/ or 'the rig passes no trailers' }]

=== a location answered by return: works, and what nginx itself adds is not obeyed
--- config
location = /return { session_control on; add_header X-Session-Data '{"a":1}'; return 200 "here [$http_x_session_data]"; }
--- request
GET /return
--- more_headers
X-Session-Data: {"evil":1}
--- response_body chomp
here []
--- check eval
\&silent

=== what proxy_hide_header hides is obeyed
--- cookie_jar
--- config
proxy_hide_header X-Session-Data;
proxy_pass_header X-Session-Subject;
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}', 'X-Session-Subject: ann'), "GET /show"]
--- shown eval
[undef, 'open|default|ann|{"a":1}']
--- check eval
[all_hold(sets('session'), \&clean)]

=== errors, redirects, and answers without a body
--- cookie_jar eval
[map { ($_) x 2 } 1 .. 10]
--- request eval
[map { (::asking(($_ == 299 ? 'HEAD' : 'GET'), '/c?st=' . ($_ == 299 ? 200 : $_), "X-Session-Data: {\"a\":$_}", 'X-Session-Subject: ann', 'Location: /there'), 'GET /show') } 200, 204, 299, 301, 302, 304, 401, 404, 500, 503]
--- error_code eval
[map { ($_ == 299 ? 200 : $_, 200) } 200, 204, 299, 301, 302, 304, 401, 404, 500, 503]
--- shown eval
[map { (undef, qq(open|default|ann|{"a":$_})) } 200, 204, 299, 301, 302, 304, 401, 404, 500, 503]
--- check eval
[(all_hold(sets('session'), \&clean), undef) x 10]

=== POST with a body, a large answer, one in parts
--- cookie_jar
--- request eval
[::asking('POST', '/c', 'X-Session-Data: {"a":1}') . "\nthe body", ::ask('/c?size=1000003', 'X-Session-Data: {"b":1}'), ::ask('/c?text=abcdefghij&parts=5&pause=40', 'X-Session-Data: {"c":1}'), "GET /show"]
--- upstream_json eval
[sub { $_[0]{method} eq 'POST' && $_[0]{body} eq 'the body' or 'body' }]
--- response_body_like eval
["", '\A0000000\n.*0124999\n012\z', '\Aabcdefghij\z', '"a":1,"b":1,"c":1']
--- check eval
[sets('session'), all_hold(sets('session'), \&clean, sub { length $_[0]{body} == 1_000_003 or 'length' }), all_hold(sets('session'), \&clean), undef]

=== an upgraded connection
--- config
location /up { session_control on; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- raw_request eval
["GET /up?up=1&" . ::wanted_lines('X-Session-Data: {"a":1}') . " HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", "hello\nquit\n"]
--- raw_request_middle_delay: 0.2
--- error_code: 101
--- check eval
all_hold(sets('session'), \&clean, sub { $_[0]{body} eq "hello\nquit\n" or "got <$_[0]{body}>" })

=== a response that is replaced by an error page is obeyed, by the location whose upstream answered
--- cookie_jar eval
['a', 'a', 'b', 'b', 'b', 'c', 'c', 'd', 'd']
--- config
location /i {
    session_control on; proxy_intercept_errors on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
    error_page 404 /page; error_page 401 = @named; error_page 403 = @proxied;
}
location = /page  { return 200 "a page"; }
location @named   { session_control off; return 200 "named"; }
location @proxied { session_control off; rewrite ^ /?text=proxied? break; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/i?st=404', 'X-Session-Data: {"a":404}'), "GET /show", ::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/i?st=401', 'X-Session-Action: logout'), "GET /show",
 ::ask('/i?st=403', 'X-Session-Subject: ann'), "GET /show", ::ask('/i?st=404', 'X-Session-Data: {'), "GET /show"]
--- error_code eval
[404, 200, 200, 200, 200, 200, 200, 404, 200]
--- response_body_like eval
['a page', '^open\|default\|\|\{"a":404\}$', "", '^named$', '^missing', '^proxied', '^open\|default\|ann\|', 'a page', '^missing']
--- check eval
[all_hold(sets('session'), \&clean), undef, undef, all_hold(expires('session'), \&clean), undef, all_hold(sets('session'), \&clean), undef, all_hold(\&silent, \&clean), undef]
--- error_log eval
qr/\[error\].*session: .*X-Session-Data/

=== X-Accel-Redirect: obeyed, by the location whose upstream answered
--- cookie_jar eval
['a', 'a', 'b', 'b', 'c', 'c', 'd', 'd']
--- config
location /file/ { internal; alias $TEST_NGINX_HTML_DIR/; }
location /quiet { internal; session off; return 200 "quiet"; }
location @named { return 200 "named"; }
location /chain { internal; session_control on; rewrite ^ "/?rh=X-Session-Data:%7b%22b%22:2%7d" break; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- user_files
>>> a.txt
a file
--- request eval
[map { (::ask('/c', "X-Accel-Redirect: $_", 'X-Session-Data: {"a":1}', 'X-Session-Subject: ann'), 'GET /show') } '/file/a.txt', '/quiet', '@named', '/chain']
--- response_body_like eval
['^a file$', '^open\|default\|ann\|\{"a":1\}$', '^quiet$', '^open\|default\|ann\|\{"a":1\}$', '^named$', '^open\|default\|ann\|\{"a":1\}$', '', '^open\|default\|ann\|\{"a":1,"b":2\}$']
--- check eval
[(all_hold(sets('session'), \&clean), undef) x 4]

=== the answer of an auth_request changes the session in memory: the main request sees and saves it
--- cookie_jar
--- config
location /main {
    set $lines $arg_auth;
    auth_request /auth;
    session_map_header X-N n;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
location = /auth { internal; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/auth?rh=$lines; }
--- request eval
['GET /main?auth=' . ::hexed('X-Session-Data: {"n":7}'), "GET /show", 'GET /main?auth=' . ::hexed('X-Session-Action: regenerate'), 'GET /main?auth=' . ::hexed('X-Session-Subject: ann'), "GET /show"]
--- shown eval
[undef, 'open|default||{"n":7}', undef, undef, 'open|default|ann|{"n":7}']
--- upstream_json eval
[sub { ($_[0]->header('X-N') // '') eq '7' or 'X-N' }]
--- check eval
[all_hold(sets('session'), keeps_id('one'), \&clean), undef, all_hold(sets('session'), new_id('one'), keeps_id('two'), \&clean), all_hold(new_id('two'), \&clean)]

=== an auth_request and the content speak both: one Set-Cookie, nothing is lost
--- cookie_jar
--- config
location /main { auth_request /auth; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /auth { internal; session_control on; rewrite ^ "/?rh=X-Session-Data:%7b%22auth%22:1%7d" break; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/main', 'X-Session-Data: {"main":1}'), "GET /show"]
--- shown eval
[undef, 'open|default||{"auth":1,"main":1}']
--- check eval
[all_hold(sets('session'), \&clean)]

=== a subrequest cannot touch, log out or destroy: one error line, nothing is obeyed
--- cookie_jar
--- config
location /main { set $lines $arg_auth; auth_request /auth; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /auth { internal; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/auth?rh=X-Session-Data:%7b%22n%22:1%7d&rh=$lines; }
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), (map { 'GET /main?auth=' . ::hexed("X-Session-Action: $_") } qw(touch logout destroy)), "GET /show"]
--- shown eval
[(undef) x 4, 'open|default||{"a":1}']
--- before eval
\&mark_log
--- check eval
[undef, (all_hold(\&silent, \&clean, one_error('X-Session-Action'))) x 3]

=== an auth_request that refuses: nothing of what it says is stored
--- config
location /main { set $lines $arg_auth; auth_request /auth; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /auth { internal; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/auth?st=403&rh=$lines; }
--- request eval
'GET /main?auth=' . ::hexed('X-Session-Data: {"n":7}')
--- error_code: 403
--- check eval
all_hold(\&silent, \&clean)

=== SSI: the header is out, so what a part says comes too late, and is told
--- cookie_jar
--- config
location = /page.html { ssi on; alias $TEST_NGINX_HTML_DIR/page.txt; default_type text/html; }
location = /part { session_control on; rewrite ^ "/?text=part&rh=X-Session-Data:%7b%22n%22:1%7d" break; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- user_files
>>> page.txt
<!--# include virtual="/part" -->
--- request eval
["GET /page.html", "GET /show"]
--- response_body_like eval
['^part', '^missing']
--- check eval
[all_hold(\&silent, \&clean)]
--- error_log eval
qr/\[warn\].*session: /

=== a mirrored request's answer is nobody's
--- config
location /main { mirror /mirror; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /mirror { internal; session_control on; rewrite ^ "/?rh=X-Session-Data:%7b%22n%22:1%7d?" break; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request
GET /main?delay=200
--- check eval
all_hold(\&silent, \&clean)

=== with rules for the request in the same location: one Set-Cookie, both stored
--- cookie_jar
--- config
location /both { session_control on; session_create always; session_set rule 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/both', 'X-Session-Data: {"said":1}'), "GET /show"]
--- shown eval
[undef, 'open|default||{"rule":"1","said":1}']
--- check eval
[all_hold(sets('session'), \&clean)]

=== a request that is refused is not proxied, so nothing is said
--- config
location /need { session_require on; session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
::ask('/need', 'X-Session-Data: {"a":1}')
--- error_code: 401
--- check eval
\&silent

=== the response that sets the cookie is not for caches
--- config
location /own { session_control on; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[::ask('/own', 'X-Session-Data: {"a":1}'), "GET /own", ::ask('/own', 'X-Session-Data: {"a":1}', 'Cache-Control: no-store')]
--- response_headers eval
['Cache-Control: no-cache="Set-Cookie"', '! Cache-Control', 'Cache-Control: no-store']

=== session_max_data: what is too large is kept out, the old session stays valid
--- cookie_jar
--- config
session_max_data 200;
session_compression_threshold 0;
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c?text=hello', 'X-Session-Data: {"b":"' . 'x' x 300 . '"}', 'X-Other: 1'), "GET /show", ::ask('/c', 'X-Session-Data: {"b":"y"}'), "GET /show"]
--- shown eval
[undef, 'hello', 'open|default||{"a":1}', undef, 'open|default||{"a":1,"b":"y"}']
--- response_headers eval
["", "X-Other: 1\n! Cache-Control", "", "", ""]
--- check eval
[sets('session'), all_hold(\&silent, \&clean), undef, sets('session')]
--- error_log eval
qr/\[error\].*session: the session is not saved: /

=== more than the cookies hold: kept out, the old session stays valid
--- cookie_jar
--- config
proxy_buffer_size 64k; proxy_buffers 4 64k;
session_compression_threshold 0;
--- rig: none
--- http_config
large_client_header_buffers 4 256k;
session start;
session_secret x;
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c?text=hello', 'X-Session-Data: {"b":"' . 'x' x 40_000 . '"}'), "GET /show"]
--- shown eval
[undef, 'hello', 'open|default||{"a":1}']
--- check eval
[undef, all_hold(\&silent, \&clean)]
--- error_log eval
qr/\[error\].*session: the session is not saved: /

=== redis: login, a second login, and logout; the record is there when its cookie is
--- rig: none
--- http_config eval
$::in_redis
--- cookie_jar
--- before eval
[sub { $::redis->ask('FLUSHALL') }]
--- request eval
[::ask('/c', 'X-Session-Subject: ann', 'X-Session-Data: {"user":"ann"}'), "GET /show", ::ask('/c', 'X-Session-Subject: ann'), "GET /show", ::ask('/c', 'X-Session-Info: {"i":1}'), "GET /info",
 ::ask('/c', 'X-Session-Action: touch'), ::ask('/c', 'X-Session-Action: logout'), "GET /show"]
--- sleep_before eval
[0, 0, 0, 0, 0, 0, 2.2, 0, 0]
--- shown eval
[undef, 'open|default|ann|{"user":"ann"}', undef, 'open|default|ann|{"user":"ann"}', undef, '1|', undef, undef, 'missing|||']
--- check eval
sub keys_of_redis { my ($wanted) = @_; sub { my @keys = split /\n/, $::redis->ask('KEYS', '*'); @keys == $wanted or "records: @keys" } }
[all_hold(sets('session'), keeps_id('one'), \&clean, keys_of_redis(1)), undef, all_hold(sets('session'), new_id('one'), keeps_id('two'), keys_of_redis(2)), undef,
 all_hold(\&silent, \&clean), undef, all_hold(same_id('two'), keys_of_redis(1)), all_hold(expires('session'), \&clean, keys_of_redis(0)), undef]

=== redis is away, on_error fail: 503, and nothing of the login is shown
--- rig: none
--- http_config eval
$::in_redis
--- before eval
[sub { $::redis->stop }, undef, sub { comes_back($::redis) }]
--- cookie_jar
--- request eval
[::ask('/c?st=302&text=welcome-ann', 'X-Session-Subject: ann', 'Location: /welcome', 'X-Secret: 1'), ::ask('/c?text=welcome-ann&size=0', 'X-Session-Action: save'), ::ask('/c', 'X-Session-Subject: ann'), "GET /show"]
--- error_code eval
[503, 503, 200, 200]
--- response_headers eval
["! Location\n! X-Secret", "", "", ""]
--- response_body_unlike eval
[('welcome-ann') x 2, undef, undef]
--- shown eval
[undef, undef, undef, 'open|default|ann|{}']
--- check eval
[(all_hold(\&silent, \&clean)) x 2, sets('session'), undef]

=== redis is away, on_error pass: the answer without a cookie
--- rig: none
--- http_config eval
"session_on_error pass;\n$::in_redis"
--- before eval
[undef, sub { $::redis->stop }, undef, undef, sub { comes_back($::redis) }]
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c?text=welcome', 'X-Session-Subject: ann', 'X-Other: 1'), ::ask('/c?text=welcome', 'X-Session-Action: logout'), ::ask('/c?text=welcome', 'X-Session-Data: {"b":1}'), "GET /show"]
--- shown eval
[undef, 'welcome', 'welcome', 'welcome', 'open|default||{"a":1}']
--- response_headers eval
["", "X-Other: 1", "", "", ""]
--- check eval
[sets('session'), (all_hold(\&silent, \&clean)) x 3]

=== redis goes away while the upstream answers: fail shows nothing of the logout, the cookie is left alone
--- rig: none
--- http_config eval
$::in_redis
--- before eval
[undef, sub { my $pid = fork // die "fork: $!"; if (!$pid) { select undef, undef, undef, 0.4; kill KILL => $::redis->{pid}; POSIX::_exit(0) } }]
--- cookie_jar
--- request eval
[::ask('/c', 'X-Session-Data: {"a":1}'), ::ask('/c?text=welcome-ann&delay=1000', 'X-Session-Subject: ann')]
--- error_code eval
[200, 503]
--- response_body_unlike eval
["", 'welcome-ann']
--- check eval
[sets('session'), all_hold(\&silent, \&clean)]
