# Group D: what a session holds. Also the rules of session_set, session_unset, session_info_set and session_max_data.
use lib 't/lib';
use SessT 'no_plan';

rig 'B2';

# In every block: /json shows the data as it was found, /saved what the request made of it.
add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->must_die || ($block->rig // '') eq 'none';
    $block->set_value(config => ($block->config // '') . <<'END');
location = /json { return 200 $session_json; }
END
});

# The value of a cookie a response sets, or the text 'none'.
sub cookie_of {
    my ($res, $name) = @_;
    my $cookie = $res->set_cookie($name // 'session');
    return $cookie ? $cookie->{value} : 'none';
}

# The id is the part of the token that a touch leaves as it is: bytes 3 to 34.
sub id_of {
    require MIME::Base64;
    my $header = substr cookie_of($_[0]), 0, 110;
    return substr MIME::Base64::decode_base64($header =~ tr{-_}{+/}r . '=='), 3, 32;
}

run_tests();
__DATA__

=== D1: set, get, another key
--- cookie_jar
--- config
location = /other { session_map_header X-User user; session_map_header X-Mail mail; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /set?u=ann", "GET /other"]
--- raw_response_headers_like eval
[qr/^Set-Cookie: session=[\w-]{120,}; /m, ""]
--- raw_response_headers_unlike eval
["", "Set-Cookie"]
--- upstream_json eval
[undef, sub {
    my ($up) = @_;
    return 'X-User' if ($up->header('X-User') // '') ne 'ann';
    return 'X-Mail' if defined $up->header('X-Mail');
    1;
}]

=== D2: one key is removed, the session stays
--- cookie_jar
--- config
location = /two   { session_set user ann; session_set mail a@b; return 204; }
location = /unset { session_unset user; return 204; }
location = /there { return 200 "$session_exists $session_status $session_json"; }
--- request eval
["GET /two", "GET /unset", "GET /there", "GET /unset", "GET /there"]
--- error_code eval
[204, 204, 200, 204, 200]
--- response_body eval
["", "", '1 open {"mail":"a@b"}', "", '1 open {"mail":"a@b"}']
--- check eval
[
    sub { cookie_of($_[0]) ne 'none' or 'the first is saved' },
    sub { cookie_of($_[0]) ne 'none' or 'the removal is saved' },
    sub { cookie_of($_[0]) eq 'none' or 'reading saves nothing' },
    sub { cookie_of($_[0]) eq 'none' or 'removing what is not there saves nothing' },
    undef,
]

=== D3: all keys are removed, the session is there
--- cookie_jar
--- config
location = /two   { session_set user ann; session_set a.b.c 1; session_subject s; return 204; }
location = /unset { session_unset all; return 204; }
location = /there { return 200 "$session_exists $session_subject $session_json"; }
--- request eval
["GET /two", "GET /unset", "GET /there"]
--- error_code eval
[204, 204, 200]
--- response_body eval
["", "", '1 s {}']

=== D7: ten reads change nothing
--- cookie_jar
--- keepalive
--- request eval
["GET /set?u=ann", ("GET /get") x 10]
--- upstream_json eval
[undef, (sub { $_[0]->header('X-User') eq 'ann' or 'no X-User' }) x 10]
--- response_headers eval
["", ("! Set-Cookie\n! Cache-Control") x 10]

=== D8: an empty key
--- config
session_set "" x;
--- must_die
--- error_log eval
qr/\[emerg\].*"session_set" has invalid value "".*nginx\.conf:\d+/

=== D8: an empty key to unset
--- config
session_unset "";
--- must_die
--- error_log eval
qr/\[emerg\].*"session_unset" has invalid value "".*nginx\.conf:\d+/

=== D9: every type comes back as it was
--- cookie_jar
--- config
location = /types {
    session_set text    "ann \"b\" \\ c";
    session_set empty   "";
    session_set digits  007;
    session_set int     42 type=int;
    session_set minus   -7 type=int;
    session_set big     9223372036854775807 type=int;
    session_set small   -9223372036854775808 type=int;
    session_set huge    18446744073709551615 type=int;
    session_set float   1.5 type=float;
    session_set yes     true type=bool;
    session_set no      0 type=bool;
    session_set null    null type=json;
    session_set list    '[1,"x",[],{"y":null}]' type=json;
    session_set object  '{"a":{"b":[1.25,false]}, "z" : 12345678901234567}' type=json;
    session_set utf8    "ä€𝄞";
    return 204;
}
--- request eval
["GET /types", "GET /json"]
--- error_code eval
[204, 200]
--- response_body eval
["", '{"text":"ann \"b\" \\\\ c","empty":"","digits":"007","int":42,"minus":-7,"big":9223372036854775807,'
    . '"small":-9223372036854775808,"huge":18446744073709551615,"float":1.5,"yes":true,"no":false,"null":null,'
    . '"list":[1,"x",[],{"y":null}],"object":{"a":{"b":[1.25,false]},"z":12345678901234567},'
    . "\"utf8\":\"\xc3\xa4\xe2\x82\xac\xf0\x9d\x84\x9e\"}"]
--- no_error_log
[warn] 
[error]

=== D9: types from variables, and texts that are not of the type
--- cookie_jar
--- config
location = /start { session_set k keep; session_set n 1 type=int; return 204; }
location = /int   { session_set n $arg_v type=int; return 204; }
location = /float { session_set n $arg_v type=float; return 204; }
location = /bool  { session_set n $arg_v type=bool; return 204; }
location = /js    { session_set n $arg_v type=json; return 204; }
--- request eval
["GET /start", map { ("GET $_", "GET /json") } "/int?v=12", "/int?v=1x", "/int?v=", "/int?v=1.0", "/int?v=18446744073709551616",
    "/float?v=2.5", "/float?v=nan", "/float?v=inf", "/float?v=x", "/bool?v=on", "/bool?v=off", "/bool?v=1", "/bool?v=",
    "/bool?v=yes", "/js?v=[1]", "/js?v={", "/js?v="]
--- error_code eval
[204, (204, 200) x 17]
--- response_body eval
["", map { ("", "{\"k\":\"keep\",\"n\":$_}") } 12, 12, 12, 12, 12, 2.5, 2.5, 2.5, 2.5, "true", "false", "true", "false",
    "false", "[1]", "[1]", "[1]"]
--- error_log eval
[qr/\[warn\].*session: the value for "n" is not a whole number/, qr/\[warn\].*session: the value for "n" is not a finite number/,
    qr/\[warn\].*session: the value for "n" is not 1, true or on/, qr/\[warn\].*session: the value for "n" is not a JSON text/]
--- no_error_log
[error]

=== a text that is not UTF-8 is not stored
--- cookie_jar
--- config
location = /start { session_set n old; return 204; }
location = /raw   { session_set n $http_x_raw; session_set m new; return 204; }
--- request eval
["GET /start", "GET /raw", "GET /json", "GET /raw", "GET /json"]
--- more_headers eval
["", "X-Raw: a\xffb", "", "X-Raw: \xc3\xa4", ""]
--- error_code eval
[204, 204, 200, 204, 200]
--- response_body eval
["", "", '{"n":"old","m":"new"}', "", "{\"n\":\"\xc3\xa4\",\"m\":\"new\"}"]
--- error_log eval
qr/\[warn\].*session: the value for "n" is not UTF-8/

=== D12: with the login pattern the id changes and the data stays
--- cookie_jar
--- config
location = /login { session_subject $arg_u; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /who   { return 200 "$session_subject $session_json"; }
--- request eval
["GET /set?u=ann", "GET /login?u=ann", "GET /who", "GET /login?u=bob", "GET /who", "GET /login", "GET /login?u=bob"]
--- capture eval
[{ first => qr/^Set-Cookie: (session=[^;]+)/m }, { second => qr/^Set-Cookie: (session=[^;]+)/m }, undef,
    { third => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef, undef]
--- response_body_like eval
["", "", qr/^ann \{"user":"ann"\}$/, "", qr/^bob \{"user":"ann"\}$/, "", ""]
--- response_headers eval
[("") x 5, ("! Set-Cookie") x 2]
--- check eval
[(undef) x 4, sub {
    my %ids = map { substr(captured($_), 8, 50) => 1 } qw(first second third);
    keys %ids == 3 or 'each save has an id of its own';
}, undef, undef]

=== an equal value changes nothing, another type does
--- cookie_jar
--- config
location = /js { session_set user $arg_u type=json; return 204; }
--- request eval
["GET /set?u=1", "GET /set?u=1", "GET /js?u=1", "GET /js?u=1", "GET /js?u=1.0", "GET /set?u="]
--- error_code eval
[200, 200, 204, 204, 204, 200]
--- check eval
my $saved = sub { cookie_of($_[0]) ne 'none' or 'not saved' };
my $quiet = sub { cookie_of($_[0]) eq 'none' or 'saved' };
[$saved, $quiet, $saved, $quiet, $saved, $saved]

=== an empty value without if= is an empty string
--- cookie_jar
--- request eval
["GET /set", "GET /json"]
--- response_body_like eval
["", qr/\A\{"user":""\}\z/]

=== if=
--- cookie_jar
--- config
location = /if {
    session_set   a $arg_v if=$arg_i;
    session_set   b $arg_v if=1;
    session_set   c $arg_v if=0;
    session_set   d $arg_v if=;
    return 204;
}
location = /unset { session_unset a b if=$arg_i; return 204; }
--- request eval
["GET /if?v=1", "GET /json", "GET /if?v=2&i=0", "GET /json", "GET /if?v=3&i=1", "GET /json", "GET /if?v=4&i=00", "GET /json",
    "GET /if?v=5&i=off", "GET /json", "GET /unset", "GET /json", "GET /unset?i=0", "GET /json", "GET /unset?i=x", "GET /json"]
--- error_code eval
[(204, 200) x 8]
--- response_body eval
["", '{"b":"1"}', "", '{"b":"2"}', "", '{"b":"3","a":"3"}', "", '{"b":"4","a":"4"}', "", '{"b":"5","a":"5"}',
    ("", '{"b":"5","a":"5"}') x 2, "", '{}']

=== lazy: nothing is created while if= says no, or by unset
--- config
location = /if     { session_set a 1 if=$arg_i; return 204; }
location = /unset  { session_unset a; return 204; }
location = /all    { session_unset all; return 204; }
location = /info   { session_info_set a 1; return 204; }
location = /nobody { session_subject $arg_none; return 204; }
--- request eval
["GET /if", "GET /unset", "GET /all", "GET /info", "GET /nobody"]
--- error_code eval
[(204) x 5]
--- response_headers eval
[("! Set-Cookie\n! Cache-Control") x 5]

=== unset comes before set, in one save
--- cookie_jar
--- config
location = /fill   { session_set a 1; session_set b 2; return 204; }
location = /change { session_set a 3; session_unset all; session_set c 4; return 204; }
location = /swap   { session_set c 5; session_unset c; return 204; }
--- request eval
["GET /fill", "GET /change", "GET /json", "GET /swap", "GET /json"]
--- error_code eval
[204, 204, 200, 204, 200]
--- response_body eval
["", "", '{"a":"3","c":"4"}', "", '{"a":"3","c":"5"}']
--- check eval
[(sub { my @lines = $_[0]->headers('Set-Cookie'); @lines == 1 or @lines . ' Set-Cookie lines' }) x 2, undef,
 sub { my @lines = $_[0]->headers('Set-Cookie'); @lines == 1 or @lines . ' Set-Cookie lines' }, undef]

=== dotted keys make and go through objects
--- cookie_jar
--- config
location = /fill  { session_set user.name ann; session_set user.mail.home h; session_set user.mail.work w; session_set other x; return 204; }
location = /more  { session_set user.name $arg_n; return 204; }
location = /less  { session_unset user.mail.home user.none none.at.all; return 204; }
location = /whole { session_unset user; return 204; }
--- request eval
["GET /fill", "GET /json", "GET /more?n=bob", "GET /json", "GET /less", "GET /json", "GET /whole", "GET /json"]
--- error_code eval
[(204, 200) x 4]
--- response_body eval
["", '{"user":{"name":"ann","mail":{"home":"h","work":"w"}},"other":"x"}', "",
    '{"user":{"name":"bob","mail":{"home":"h","work":"w"}},"other":"x"}', "",
    '{"user":{"name":"bob","mail":{"work":"w"}},"other":"x"}', "", '{"other":"x"}']

=== a dotted key replaces what is no object
--- cookie_jar
--- config
location = /fill { session_set user ann; return 204; }
location = /deep { session_set user.name bob; return 204; }
--- request eval
["GET /fill", "GET /deep", "GET /json", "GET /fill", "GET /json"]
--- error_code eval
[204, 204, 200, 204, 200]
--- response_body eval
["", "", '{"user":{"name":"bob"}}', "", '{"user":"ann"}']

=== keys that begin with @ and $@ stay apart from info
--- cookie_jar
--- config
location = /fill { session_set @k data; session_set @@k two; session_info_set k info; return 204; }
location = /info { session_info_set k info; session_info_set @k more; return 204; }
location = /show { return 200 "$session_json $session_info_k"; }
--- request eval
["GET /fill", "GET /info", "GET /show"]
--- error_code eval
[204, 204, 200]
--- response_body eval
["", "", '{"@k":"data","@@k":"two"} info']

=== a list at a level replaces the one above
--- cookie_jar
--- config
session_set   http_level 1;
session_unset old;
location = /inherits { return 204; }
location = /own      { session_set own 1; return 204; }
location = /seed     { session_set old 1; session_unset none; return 204; }
--- request eval
["GET /seed", "GET /own", "GET /inherits"]
--- error_code eval
[204, 204, 204]
--- capture eval
[undef, undef, undef]
--- check eval
[undef, undef, sub { cookie_of($_[0]) ne 'none' or 'the inherited list is done' }]

=== a list at a level replaces the one above: what is stored
--- cookie_jar
--- config
session_set   server_level 1;
session_unset old;
location = /seed     { session_set old 1; session_unset none; return 204; }
location = /own      { session_set own 1; return 204; }
location = /look     { session open; session_set none 1 if=0; session_unset none; return 200 $session_json; }
location = /inherits { return 204; }
--- request eval
["GET /seed", "GET /look", "GET /own", "GET /look", "GET /inherits", "GET /look"]
--- error_code eval
[204, 200, 204, 200, 204, 200]
--- response_body eval
["", '{"old":"1"}', "", '{"own":"1"}', "", '{"own":"1","server_level":"1"}']

=== open stores too, logout and destroy ignore set
--- cookie_jar
--- config
location = /open    { session open; session_set a 1; return 204; }
location = /out     { session destroy; session_set b 1; session_subject x; return 204; }
location = /logout  { session logout; session_set b 1; session_unset all; return 204; }
location = /off     { session off; session_set b 1; return 204; }
--- request eval
["GET /out", "GET /logout", "GET /off", "GET /open", "GET /json", "GET /logout", "GET /json"]
--- error_code eval
[204, 204, 204, 204, 200, 204, 200]
--- response_headers eval
[("! Set-Cookie") x 3, ("") x 4]
--- response_body eval
["", "", "", "", '{"a":"1"}', "", ""]

=== session_info_set: read back the next time, a change saves
--- cookie_jar
--- config
location = /info { session_info_set last $arg_l; session_info_set n 2 if=$arg_n; return 204; }
location = /show { return 200 "$session_info_last $session_info_n $session_json"; }
--- request eval
["GET /set?u=ann", "GET /info?l=1", "GET /show", "GET /info?l=1", "GET /info?l=2&n=1", "GET /show"]
--- error_code eval
[200, 204, 200, 204, 204, 200]
--- response_body_like eval
["", "", qr/\A1  \{"user":"ann"\}\z/, "", "", qr/\A2 2 \{"user":"ann"\}\z/]
--- check eval
[undef, sub { cookie_of($_[0]) ne 'none' or 'not saved' }, undef, sub { cookie_of(@_) eq 'none' or 'saved' },
    sub { cookie_of($_[0]) ne 'none' or 'not saved' }, undef]

=== info is set in the request that makes the session
--- cookie_jar
--- config
location = /both { session_set a 1; session_info_set i 2; return 204; }
location = /show { return 200 "$session_info_i $session_json"; }
--- request eval
["GET /both", "GET /show"]
--- error_code eval
[204, 200]
--- response_body eval
["", '2 {"a":"1"}']

=== session_create always makes a session with nothing in it
--- rig: B3
--- cookie_jar
--- config
location = /show { return 200 "$session_status $session_exists $session_json"; }
--- request eval
["GET /", "GET /show", "GET /"]
--- response_body_like eval
["", qr/\Aopen 1 \{\}\z/, ""]
--- check eval
[sub { cookie_of($_[0], 'sid') ne 'none' or 'no cookie' }, (sub { cookie_of($_[0], 'sid') eq 'none' or 'one more cookie' }) x 2]

=== session_create always stays away where session is off, logout or destroy
--- rig: B3
--- config
location = /off     { session off; return 204; }
location = /logout  { session logout; return 204; }
location = /destroy { session destroy; return 204; }
location = /open    { session open; return 204; }
--- request eval
["GET /off", "GET /logout", "GET /destroy", "GET /open"]
--- error_code eval
[204, 204, 204, 204]
--- response_headers eval
[("! Set-Cookie") x 3, ""]
--- check eval
[undef, undef, undef, sub { cookie_of($_[0], 'sid') ne 'none' or 'open creates' }]

=== session_max_data: the old session stays valid
--- cookie_jar
--- config
session_max_data 200;
session_compression_threshold 0;
location = /small { session_set a 1; return 204; }
location = /large { session_set b $arg_b; return 200 "$session_json"; }
--- request eval
["GET /small", "GET /large?b=" . 'x' x 300, "GET /json", "GET /large?b=y", "GET /json"]
--- error_code eval
[204, 200, 200, 200, 200]
--- response_headers eval
["", "! Set-Cookie\n! Cache-Control", "", "", ""]
--- response_body eval
["", '{"a":"1"}', '{"a":"1"}', '{"a":"1"}', '{"a":"1","b":"y"}']
--- error_log eval
qr/\[error\].*session: the session is not saved: /

=== session_max_data with proxied content: the upstream sees what was stored before
--- cookie_jar
--- config
session_max_data 200;
session_map_header X-A a;
session_map_header X-B b;
location = /small { session_set a 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /large { session_set a 2; session_set b $arg_b; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /small", "GET /large?b=" . 'x' x 300]
--- response_headers eval
["", "! Set-Cookie"]
--- upstream_json eval
[sub { $_[0]->header('X-A') eq '1' or 'no X-A' }, sub {
    return 'X-B' if defined $_[0]->header('X-B');
    ($_[0]->header('X-A') // '') eq '1' or 'X-A';
}]
--- error_log eval
qr/\[error\].*session: the session is not saved: /

=== the upstream sees what this request stored
--- config
location = /login {
    session_subject ann; session_set user $arg_u; session_map_header X-User user; session_request_headers id subject;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- request
GET /login?u=ann
--- upstream_json eval
sub {
    my ($up) = @_;
    return 'X-User' if ($up->header('X-User') // '') ne 'ann';
    return 'Session-Subject' if ($up->header('Session-Subject') // '') ne 'ann';
    ($up->header('Session-Id') // '') =~ /\A[\w-]{43}\z/ or 'Session-Id';
}

=== session_enforce_same_subject drops audiences of others
--- cookie_jar
--- config
location = /a { session_audience a; session_subject ann; session_set x 1; return 204; }
location = /b { session_audience b; session_subject $arg_s; session_set y $arg_y; return 204; }
location = /c { session_audience b; session_subject $arg_s; session_set y $arg_y; session_enforce_same_subject on; return 204; }
location = /ja { session_audience a; return 200 "$session_status $session_json"; }
location = /jb { session_audience b; return 200 "$session_status $session_subject $session_json"; }
--- request eval
["GET /a", "GET /b?s=bob&y=1", "GET /ja", "GET /c?s=ann&y=2", "GET /ja", "GET /c?s=eve&y=3", "GET /ja", "GET /jb"]
--- error_code eval
[204, 204, 200, 204, 200, 204, 200, 200]
--- response_body eval
["", "", 'open {"x":"1"}', "", 'open {"x":"1"}', "", 'no-audience ', 'open eve {"y":"3"}']

