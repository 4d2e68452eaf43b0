# session_map_header: what a session holds becomes request headers that no client can forge.
use lib 't/lib';
use SessT 'no_plan';

require './t/refused.pl';
rig 'B1';

# A check: the upstream saw exactly one X-User (or another header) of that value; '-': none in any spelling.
sub saw {
    my ($wanted, $name) = @_;
    $name //= 'X-User';
    (my $like = $name) =~ tr/-/_/;
    return sub {
        my @got = map { $_->[1] } grep { (lc $_->[0] =~ tr/-/_/r) eq lc $like } @{ $_[0]{headers} };
        my $got = @got ? join('|', @got) : '-';
        return $got eq $wanted || "$name [$got], not [$wanted]";
    };
}
# Several such: all must hold.
sub saw_all {
    my @checks = @_;
    return sub { for my $check (@checks) { my $said = $check->(@_); return $said if $said ne '1' } 1 };
}

our $echo = 'proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;';

refused('one word', 'session_map_header X-User;', qr/key/);
refused('no word', 'session_map_header;', qr/invalid number of arguments/);
refused('an unknown parameter', 'session_map_header X-User user other=1;', qr/"other=1".*"default=" and "format="/);
refused('an unknown format', 'session_map_header X-User user format=xml;', qr/"xml".*"format=text" and "format=json"/);
refused('two formats', 'session_map_header X-User user format=text format=json;', qr/duplicate/);
refused('two defaults', 'session_map_header X-User user default=a default=b;', qr/duplicate/);
refused('one header twice', "session_map_header X-User a;\nsession_map_header X-User b;", qr/duplicate/);
refused('one header twice, in lower case', "session_map_header X-User a;\nsession_map_header x-user b;", qr/duplicate/);
refused('D8: an empty key', 'session_map_header X-User "";', qr/invalid value ""/);
refused('an empty part', 'session_map_header X-User a..b;', qr/invalid value "a..b"/);
refused('a variable as key', 'session_map_header X-User $arg_k;', qr/invalid value.*variable/);
refused('a blank in the name', 'session_map_header "X User" user;', qr/invalid value "X User"/);
refused('a colon in the name', 'session_map_header X-User: user;', qr/invalid value "X-User:"/);
refused('an empty name', 'session_map_header "" user;', qr/invalid value ""/);
refused('a line end in the name', "session_map_header \"X-A\nX-B: 1\" user;", qr/invalid value/);
refused('in a location', 'location /a { session_map_header X-User; }', qr/key/, names => 'session_map_header');
for my $name (qw(Host host Connection Content-Length Transfer-Encoding TE Upgrade Cookie content_length)) {
    refused('a header of the request itself', "session_map_header $name user;", qr/invalid value "$name"/);
}

add_refused();
run_tests();
__DATA__

=== M1: a value becomes a header; the client's own is replaced, by HTTP/1.0, 1.1 and TLS
--- cookie_jar
--- tls eval
[0, 0, 0, 1]
--- request eval
["GET /set?u=ann", "GET /get", "GET /get HTTP/1.0", "GET /get"]
--- more_headers eval
["", "X-User: evil", "X-User: evil\nx-user: two", "X-USER: evil"]
--- upstream_json eval
[undef, (saw('ann')) x 3]

=== M1: by HTTP/2
--- http2
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /get"]
--- more_headers eval
["", "X-User: evil\nX-USER: again"]
--- upstream_json eval
[undef, saw('ann')]

=== M7: no session of any kind: the client's header never passes, in no spelling
--- config
underscores_in_headers on;
add_header X-Cause $session_status always;
session_map_header X-User user;
location /off      { session off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /bypass   { session_bypass 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /open     { session open; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /destroy  { session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /logout   { session logout; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /audience { session_audience other; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[map { "GET /$_" } '', qw(off bypass open destroy logout audience get)]
--- more_headers eval
[("X-User: evil\nX_User: evil\nx-user: evil\nX_USER: evil\nx_uSER: evil\nX-Other: fine") x 7, "X_User: evil\nX-Other: fine\nCookie: sid=bad"]
--- upstream_json eval
saw_all(saw('-'), saw('fine', 'X-Other'))

=== M7: with ignore_invalid_headers off, and a name written with _
--- config
ignore_invalid_headers off;
underscores_in_headers on;
location /u { session_map_header X_User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /u", "GET /set?u=ann", "GET /u"]
--- more_headers eval
["X-User: evil\nX_User: evil", "", "X-User: evil\nx_user: evil"]
--- upstream_json eval
[saw('-'), undef, saw('ann')]

=== M7: destroyed, expired and tampered sessions give no header
--- config
session_absolute_timeout 1s;
location /gone { session destroy; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- capture eval
[{ tok => qr/^Set-Cookie: sid=([^;]+)/m }]
--- sleep_before eval
[0, 0, 0, 2.1]
--- request eval
["GET /set?u=ann", "GET /gone", "GET /get", "GET /get"]
--- more_headers eval
['', "X-User: evil\nCookie: sid=\$CAPTURED_tok", "X-User: evil\nCookie: sid=A\$CAPTURED_tok", "X-User: evil\nCookie: sid=\$CAPTURED_tok"]
--- upstream_json eval
[undef, (saw('-')) x 3]

=== M7: an error page, a named location, a rewrite and try_files take nothing from the client
--- config
session_map_header X-User user;
location /error   { error_page 404 = @named; return 404; }
location /refused { session_require on; error_page 401 = @named; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /try     { try_files /none @named; }
location /rewrite { rewrite ^ /x last; }
location /if      { if ($arg_a) { set $b 1; } proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location @named   { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /error", "GET /refused", "GET /try", "GET /rewrite", "GET /if?a=1"]
--- error_code eval
[(200) x 5]
--- more_headers eval
[("X-User: evil") x 5]
--- upstream_json eval
saw('-')

=== M7: the service that auth_request asks is told the truth
--- config
location /page  { auth_request /check; auth_request_set $seen $upstream_http_x_seen; add_header X-Seen "$seen"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /check { internal; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
--- http_config
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; session off; location / { add_header X-Seen "[$http_x_user]"; return 200; } }
--- cookie_jar
--- request eval
["GET /page", "GET /set?u=ann", "GET /page"]
--- more_headers eval
[("X-User: evil") x 3]
--- response_headers eval
["X-Seen: []", "", "X-Seen: [ann]"]

=== M2: numbers and booleans as text
--- config
location /put {
    session_set int 42 type=int;
    session_set neg -7 type=int;
    session_set big 9223372036854775807 type=int;
    session_set float 1.5 type=float;
    session_set yes 1 type=bool;
    session_set no 0 type=bool;
    session_set zero 0 type=int;
    return 204;
}
location /see {
    session_map_header X-Int int; session_map_header X-Neg neg; session_map_header X-Big big; session_map_header X-Float float;
    session_map_header X-Yes yes; session_map_header X-No no format=text; session_map_header X-Zero zero format=json;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- cookie_jar
--- request eval
["GET /put", "GET /see"]
--- error_code eval
[204, 200]
--- upstream_json eval
[undef, saw_all(map { saw(@$_) } [42, 'X-Int'], [-7, 'X-Neg'], ['9223372036854775807', 'X-Big'], ['1.5', 'X-Float'], ['true', 'X-Yes'], ['false', 'X-No'], [0, 'X-Zero'])]

=== M4: a missing key, null, an empty text; with and without a default
--- config
location /put { session_set nil null type=json; session_set empty ""; session_set user ann; return 204; }
location /see {
    session_map_header X-Missing missing;          session_map_header X-Nil nil;
    session_map_header X-Missing-D missing default=anon; session_map_header X-Nil-D nil default=$arg_d;
    session_map_header X-User-D user default=anon; session_map_header X-Quoted missing "default=two words";
    session_map_header X-Empty empty default=anon;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- cookie_jar
--- request eval
["GET /put", "GET /see?d=there"]
--- more_headers eval
["", join "\n", map { "$_: evil" } qw(X-Missing X-Nil X-Missing-D X-Nil-D X-User-D X-Quoted X-Empty)]
--- error_code eval
[204, 200]
--- upstream_json eval
[undef, saw_all((map { saw(@$_) } ['-', 'X-Missing'], ['-', 'X-Nil'], ['anon', 'X-Missing-D'], ['there', 'X-Nil-D'], ['ann', 'X-User-D'], ['two words', 'X-Quoted']),
    sub { ($_[0]->header('X-Empty') // '') eq '' or 'X-Empty ' . $_[0]->header('X-Empty') })]

=== M4: the default without a session, and no line feed comes in through it
--- config
location /see { session_map_header X-User user default=$arg_d; session_map_header X-Fixed no default=anon; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /see?d=ann", "GET /see"]
--- more_headers eval
[("X-User: evil\nX-Fixed: evil") x 2]
--- upstream_json eval
[saw_all(saw('ann'), saw('anon', 'X-Fixed')), saw_all(sub { ($_[0]->header('X-User') // '') eq '' or 'X-User' }, saw('anon', 'X-Fixed'))]

=== M5: objects and lists as compact JSON, at every format
--- config
location /put {
    session_set o.list '[1, "two", {"three": null}]' type=json;
    session_set o.name "a\"b";
    session_set text "say \"hi\"";
    session_set n 5 type=int;
    return 204;
}
location /see {
    session_map_header X-O o;                      session_map_header X-L o.list;
    session_map_header X-O-Json o format=json;     session_map_header X-Text text;
    session_map_header X-Text-Json text format=json; session_map_header X-N-Json n format=json;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
location /text { session_map_header X-O o format=text default=no; session_map_header X-L o.list format=text; session_map_header X-Text text format=text; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /put", "GET /see", "GET /text"]
--- more_headers eval
["", "X-O: evil", "X-O: evil\nX-L: evil"]
--- error_code eval
[204, 200, 200]
--- upstream_json eval
my $list = '[1,"two",{"three":null}]';
[undef,
    saw_all(map { saw(@$_) } [qq({"list":$list,"name":"a\\"b"}), 'X-O'], [$list, 'X-L'], [qq({"list":$list,"name":"a\\"b"}), 'X-O-Json'],
        ['say "hi"', 'X-Text'], ['"say \\"hi\\""', 'X-Text-Json'], [5, 'X-N-Json']),
    saw_all(saw('-', 'X-O'), saw('-', 'X-L'), saw('say "hi"', 'X-Text'))]
--- error_log eval
[qr/\[error\].* session: .*X-O/, qr/\[error\].* session: .*X-L/]

=== M5: a dotted path into nested values; what is not there is absent
--- config
location /put { session_set user.name ann; session_set user.mail.home a@b; session_set flat x; return 204; }
location /see {
    session_map_header X-Name user.name; session_map_header X-Home user.mail.home; session_map_header X-Not user.mail.home.deeper;
    session_map_header X-Off flat.x; session_map_header X-None user.none;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- cookie_jar
--- request eval
["GET /put", "GET /see"]
--- error_code eval
[204, 200]
--- upstream_json eval
[undef, saw_all(map { saw(@$_) } ['ann', 'X-Name'], ['a@b', 'X-Home'], ['-', 'X-Not'], ['-', 'X-Off'], ['-', 'X-None'])]

=== M11: one key to two headers, two keys to two headers, many
--- config eval
join "\n", 'location /put {', (map { "session_set k$_ v$_;" } 1 .. 40), 'return 204; }', 'location /see {', (map { "session_map_header X-K$_ k$_;" } 1 .. 40),
    'session_map_header X-Also-1 k1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }'
--- cookie_jar
--- request eval
["GET /put", "GET /see"]
--- more_headers eval
["", join "\n", map { "X-K$_: evil" } 1 .. 40]
--- error_code eval
[204, 200]
--- upstream_json eval
[undef, saw_all((map { saw("v$_", "X-K$_") } 1 .. 40), saw('v1', 'X-Also-1'))]

=== M12: Authorization from the session, the client's own replaced; $http_authorization agrees
--- config
location /put { session_set authorization "Bearer $arg_t"; return 204; }
location /see { session_map_header Authorization authorization; proxy_set_header X-Copy "$http_authorization"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /see", "GET /put?t=abc", "GET /see"]
--- more_headers eval
[("Authorization: Basic ZXZpbDpldmls") x 3]
--- error_code eval
[200, 204, 200]
--- upstream_json eval
[saw_all(saw('-', 'Authorization'), saw('-', 'X-Copy')), undef, saw_all(saw('Bearer abc', 'Authorization'), saw('Bearer abc', 'X-Copy'))]

=== M12: other headers nginx keeps a pointer to: User-Agent, Referer, Accept-Language, X-Forwarded-For, Content-Type
--- config
location /put { session_set v mine; return 204; }
location /see {
    session_map_header User-Agent v; session_map_header Referer v; session_map_header Accept-Language v; session_map_header X-Forwarded-For v; session_map_header Content-Type v;
    proxy_set_header X-Copy "$http_user_agent,$http_referer,$http_accept_language,$http_x_forwarded_for,$content_type,$http_content_type";
    proxy_set_header X-Added "$proxy_add_x_forwarded_for";
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- cookie_jar
--- request eval
["GET /put", "POST /see\nx", "GET /see"]
--- more_headers eval
["", (join "\n", map { "$_: evil" } qw(User-Agent Referer Accept-Language X-Forwarded-For X-Forwarded-For Content-Type)) x 2]
--- error_code eval
[204, 200, 200]
--- upstream_json eval
[undef, (saw_all((map { saw('mine', $_) } qw(User-Agent Referer Accept-Language X-Forwarded-For Content-Type)),
    saw('mine,mine,mine,mine,mine,mine', 'X-Copy'), saw('mine, 127.0.0.1', 'X-Added'))) x 2]

=== M13: proxy_set_header of the same name wins, one line; $http_x_user is the session's
--- config
location /fixed { session_map_header X-User user; proxy_set_header X-User fixed; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /copy  { session_map_header X-User user; proxy_set_header X-User "$http_x_user!"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /empty { session_map_header X-User user; proxy_set_header X-User ""; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /fixed", "GET /copy", "GET /empty", "GET /copy"]
--- more_headers eval
[("X-User: evil") x 4, "X-User: evil\nCookie: sid=bad"]
--- upstream_json eval
[undef, saw('fixed'), saw('ann!'), saw('-'), saw('ann!')]

=== M14: UTF-8 goes as the same bytes; what is not UTF-8 is not stored
--- config
location /put { session_set user $http_x_v; return 204; }
--- cookie_jar
--- request eval
["GET /put", "GET /get", "GET /put", "GET /get"]
--- more_headers eval
["X-V: J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80", "", "X-V: J\xf6rg", ""]
--- error_code eval
[204, 200, 204, 200]
--- upstream_json eval
[undef, saw("J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80"), undef, saw("J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80")]
--- error_log eval
[qr/\[warn\].* session: .*"user"/]

=== M15: 64 kB is not sent, with a log line; no 5xx, nothing of the value in the log
--- config
location /put { session_set user "$http_x_v$http_x_v"; return 204; }
location /see { session_map_header X-User user default=no; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /put", "GET /see", "GET /see HTTP/1.0"]
--- more_headers eval
['X-V: ' . 'vw' x 16384, "X-User: evil", "X-User: evil"]
--- error_code eval
[204, 200, 200]
--- upstream_json eval
[undef, saw('-'), saw('-')]
--- error_log eval
[qr/\[error\].* session: X-User is not sent/]
--- no_error_log
vwvw

=== M15: 32 kB is the most
--- config
location /put { session_set user $http_x_v; return 204; }
--- cookie_jar
--- request eval
["GET /put", "GET /get", "GET /put", "GET /get"]
--- more_headers eval
['X-V: ' . 'v' x 32768, '', 'X-V: ' . 'v' x 32769, 'X-User: evil']
--- error_code eval
[204, 200, 204, 200]
--- upstream_json eval
[undef, saw('v' x 32768), undef, saw('-')]
--- error_log eval
[qr/X-User is not sent/]

=== control characters are not sent, whatever the format of text; the default neither
--- config eval
my @codes = qw(000a 000d 0000 0001 001f 007f);
join "\n", (map { "location /put$_ { session_set user '\"a\\u${_}X-Evil: 1\"' type=json; return 204; }" } @codes),
    'location /see { session_map_header X-User user default=anon; session_map_header X-Text user format=text; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }',
    'location /json { session_map_header X-User user format=json; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }'
--- cookie_jar
--- request eval
[map { ("GET /put$_", "GET /see") } qw(000a 000d 0000 0001 001f 007f)]
--- more_headers eval
[("X-User: evil") x 12]
--- error_code eval
[(204, 200) x 6]
--- upstream_json eval
[(undef, saw_all(saw('-'), saw('-', 'X-Text'), saw('-', 'X-Evil'))) x 6]
--- error_log eval
[qr/\[error\].* session: X-User is not sent: .*control/]
--- no_error_log
X-Evil: 1

=== a line feed inside an object is escaped, so it is harmless
--- config
location /put { session_set o '{"a":"x\\u000ay"}' type=json; return 204; }
location /see { session_map_header X-O o; session_map_header X-J o.a format=json; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /put", "GET /see"]
--- error_code eval
[204, 200]
--- upstream_json eval
[undef, saw_all(saw('{"a":"x\\ny"}', 'X-O'), saw('"x\\ny"', 'X-J'))]

=== M16: a list of the location replaces the server's list; without one it is inherited, also from http
--- http_config
session_map_header X-Top user;
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location / { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; } }
--- config
session_map_header X-Server user;
location /own     { session_map_header X-Own user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; location /own/in { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; } }
location /inherit { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- port eval
[(undef) x 4, '$TEST_NGINX_RAND_PORT_1']
--- request eval
["GET /set?u=ann", "GET /own", "GET /own/in", "GET /inherit", "GET /"]
--- more_headers eval
[("X-Top: evil\nX-Server: evil\nX-Own: evil") x 5]
--- upstream_json eval
my $three = sub { my ($top, $server, $own) = @_; saw_all(saw($top, 'X-Top'), saw($server, 'X-Server'), saw($own, 'X-Own')) };
[undef, $three->('evil', 'evil', 'ann'), $three->('evil', 'evil', 'ann'), $three->('evil', 'ann', 'evil'), $three->('ann', 'evil', 'evil')]

=== a value that is stored in this very request is sent already; one that is removed is not
--- config
session_map_header X-User user;
location /in  { session_set user $arg_u; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /rm  { session_unset user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /in?u=ann", "GET /in?u=bob", "GET /rm", "GET /"]
--- more_headers eval
[("X-User: evil") x 4]
--- upstream_json eval
[saw('ann'), saw('bob'), saw('-'), saw('-')]

=== the audience's own data alone
--- config
session_map_header X-User user;
location /a { session_audience a; session_set user ann; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /b { session_audience b; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /a", "GET /b", "GET /a"]
--- more_headers eval
[("X-User: evil") x 3]
--- upstream_json eval
[saw('ann'), saw('-'), saw('ann')]

=== session_var and $session_data_ say the same as the header
--- http_config
session_var $who user.name;
--- config
location /put { session_set user.name ann; session_set Mixed x; return 204; }
location /see { session_map_header X-User user.name; proxy_set_header X-Vars "$who,$session_data_user__name,$session_data_mixed,$session_data_none"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /put", "GET /see"]
--- error_code eval
[204, 200]
--- upstream_json eval
[undef, saw_all(saw('ann'), saw('ann,ann,x,', 'X-Vars'))]
