# The session cookie as the browser gets it: section 3 of the directives, and session_cache_control.
use lib 't/lib';
use SessT 'no_plan';

use HTTP::Date ();

require './t/refused.pl';
rig 'B1';

# The attributes of the one session cookie, as written behind its value.
sub attributes {
    my ($res, $name) = @_;
    my $cookie = $res->set_cookie($name // 'sid') or return 'no cookie';
    return $cookie->{line} =~ /\A[^=;]+=AQ[\w-]+(?:; (.*))?\z/ ? $1 // '' : "not a cookie: $cookie->{line}";
}

# A check: the attributes are just these.
sub has {
    my ($wanted, $name) = @_;
    return sub { my $got = attributes($_[0], $name); $got eq $wanted or "$got, not $wanted" };
}

# A check: Max-Age, and Expires at that very time.
sub lives {
    my ($seconds, $name) = @_;
    return sub {
        my $cookie = $_[0]->set_cookie($name // 'sid') or return 'no cookie';
        my ($age, $expires) = @{ $cookie->{attr} }{qw(max-age expires)};
        return "Max-Age " . ($age // '-') if ($age // '') ne $seconds;
        return "Expires $expires" if $expires !~ /\A\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\z/;
        my $off = HTTP::Date::str2time($expires) - time - $seconds;
        return abs $off <= 2 || "Expires is $off s off";
    };
}

our $set = 'session_set a $request_id; return 204;';

for my $flag (qw(http_only same_party partitioned clear_invalid)) {
    refused("session_cookie_$flag: another word", "session_cookie_$flag yes;", qr/invalid value "yes".*"on", "off"/);
    refused("session_cookie_$flag: upper case", "session_cookie_$flag ON;", qr/invalid value "ON"/);
    refused("session_cookie_$flag: twice", "session_cookie_$flag on;\nsession_cookie_$flag on;", qr/duplicate/);
    refused("session_cookie_$flag: no word", "session_cookie_$flag;", qr/invalid number of arguments/);
}
refused('session_cache_control: another word', 'session_cache_control private;', qr/invalid value "private".*"on", "off"/);
refused('session_cache_control: twice', "session_cache_control on;\nsession_cache_control off;", qr/duplicate/);
refused('C17: ;', 'session_cookie_name "a;b";', qr/invalid value "a;b"/);
refused('C17: a blank', 'session_cookie_name "a b";', qr/invalid value "a b"/);
refused('C17: only a blank', 'session_cookie_name " ";', qr/invalid value " "/);
refused('C17: nothing', 'session_cookie_name "";', qr/invalid value ""/);
refused('C17: =', 'session_cookie_name "a=b";', qr/invalid value "a=b"/);
refused('C17: ,', 'session_cookie_name "a,b";', qr/invalid value "a,b"/);
refused('C17: a quote', 'session_cookie_name \'a"b\';', qr/invalid value/);
refused('C17: a tab', "session_cookie_name \"a\tb\";", qr/invalid value/);
refused('C17: a byte above 127', "session_cookie_name \xc3\xa4;", qr/invalid value/);
refused('C17: a variable', 'session_cookie_name $host;', qr/invalid value "\$host".*variable/);
refused('C17: the remember cookie', 'session_remember_cookie_name "a;b";', qr/invalid value "a;b"/);
refused('C17: so long that no token fits', 'session_cookie_name ' . 'n' x 4000 . ';', qr/invalid value/);
refused('session_cookie_name: twice', "session_cookie_name a;\nsession_cookie_name b;", qr/duplicate/);
refused('session_cookie_name: two words', 'session_cookie_name a b;', qr/invalid number of arguments/);
refused('both cookies of one name', "session_remember_cookie_name a;\nsession_cookie_name a;", qr/"a"/, names => 'session_(?:remember_)?cookie_name');
refused('session_cookie_prefix: an unknown one', 'session_cookie_prefix Host-;', qr/invalid value "Host-".*"off", "__Host-", "__Secure-"/);
refused('session_cookie_prefix: twice', "session_cookie_prefix off;\nsession_cookie_prefix off;", qr/duplicate/);
refused('C6: a domain', "session_cookie_domain example.org;\nsession_cookie_prefix __Host-;", qr/__Host-.*domain/, names => 'session_cookie_domain');
refused('C6: a domain, the prefix in the name', "session_cookie_domain example.org;\nsession_cookie_name __Host-sid;", qr/__Host-.*domain/, names => 'session_cookie_domain');
refused('C6: a domain, the prefix in lower case', "session_cookie_domain example.org;\nsession_cookie_name __host-sid;", qr/__Host-.*domain/i, names => 'session_cookie_domain');
refused('C6: a domain from the level above', "session_cookie_domain example.org;\nlocation /a { session_cookie_prefix __Host-; }", qr/__Host-.*domain/, names => 'session_cookie_domain');
refused('C6: a path', "session_cookie_path /app;\nsession_cookie_prefix __Host-;", qr/__Host-.*path/, names => 'session_cookie_path');
refused('session_cookie_path: no /', 'session_cookie_path api;', qr/invalid value "api"/);
refused('session_cookie_path: ;', 'session_cookie_path "/a;b";', qr/invalid value "\/a;b"/);
refused('session_cookie_path: a line end', "session_cookie_path \"/a\nb\";", qr/invalid value/);
refused('session_cookie_path: nothing', 'session_cookie_path "";', qr/invalid value ""/);
refused('session_cookie_path: a variable', 'session_cookie_path /$host;', qr/invalid value/);
refused('session_cookie_path: twice', "session_cookie_path /a;\nsession_cookie_path /b;", qr/duplicate/);
refused('session_cookie_domain: ;', 'session_cookie_domain "a;b";', qr/invalid value "a;b"/);
refused('session_cookie_domain: nothing', 'session_cookie_domain "";', qr/invalid value ""/);
refused('session_cookie_domain: a URL', 'session_cookie_domain http://example.org;', qr/invalid value/);
refused('session_cookie_domain: a port', 'session_cookie_domain example.org:80;', qr/invalid value/);
refused('session_cookie_domain: a variable', 'session_cookie_domain $host;', qr/invalid value/);
refused('session_cookie_domain: twice', "session_cookie_domain a.org;\nsession_cookie_domain b.org;", qr/duplicate/);
refused('session_cookie_secure: an unknown word', 'session_cookie_secure always;', qr/invalid value "always".*"auto", "on", "off"/);
refused('session_cookie_secure: twice', "session_cookie_secure on;\nsession_cookie_secure auto;", qr/duplicate/);
refused('session_cookie_same_site: lower case', 'session_cookie_same_site lax;', qr/invalid value "lax".*"Lax", "Strict", "None", "Default", "off"/);
refused('session_cookie_same_site: twice', "session_cookie_same_site Lax;\nsession_cookie_same_site Lax;", qr/duplicate/);
refused('session_cookie_priority: lower case', 'session_cookie_priority high;', qr/invalid value "high".*"Low", "Medium", "High"/);
refused('session_cookie_priority: twice', "session_cookie_priority Low;\nsession_cookie_priority High;", qr/duplicate/);
refused('C9: same party and Strict', "session_cookie_same_site Strict;\nsession_cookie_same_party on;", qr/Strict/, names => 'session_cookie_same_party');
refused('C9: over two levels', "session_cookie_same_site Strict;\nlocation /a { session_cookie_same_party on; }", qr/Strict/, names => 'session_cookie_same_party');
refused('session_cookie_max_age: no time', 'session_cookie_max_age long;', qr/invalid value "long".*time/);
refused('session_cookie_max_age: negative', 'session_cookie_max_age -1;', qr/invalid value "-1"/);
refused('session_cookie_max_age: a variable', 'session_cookie_max_age $arg_a;', qr/invalid value/);
refused('session_cookie_max_age: twice', "session_cookie_max_age 1h;\nsession_cookie_max_age off;", qr/duplicate/);

add_refused();
run_tests();
__DATA__

=== C1: the defaults, plain, TLS, and HTTP/2; attributes in their order
--- tls eval
[0, 1, 1]
--- request eval
["GET /set?u=ann", "GET /set?u=ann", "GET /set?u=ann HTTP/1.0"]
--- check eval
[has('Path=/; SameSite=Lax; HttpOnly'), (has('Path=/; SameSite=Lax; Secure; HttpOnly')) x 2]

=== C1: by HTTP/2
--- http2
--- tls eval
[0, 1]
--- request eval
["GET /set?u=ann", "GET /set?u=ann"]
--- check eval
[has('Path=/; SameSite=Lax; HttpOnly'), has('Path=/; SameSite=Lax; Secure; HttpOnly')]

=== C1: the default name is session
--- rig: B2
--- request
GET /set?u=ann
--- check eval
has('Path=/; SameSite=Lax; HttpOnly', 'session')

=== C2: http_only off and on
--- config eval
"location /off { session_cookie_http_only off; $::set location /off/on { session_cookie_http_only on; $::set } }"
--- request eval
["GET /off", "GET /off/on"]
--- error_code eval
[204, 204]
--- check eval
[has('Path=/; SameSite=Lax'), has('Path=/; SameSite=Lax; HttpOnly')]

=== C3: every SameSite; None adds Secure; off leaves it out
--- config eval
join '', map { "location /$_ { session_cookie_same_site $_; $::set }\n" } qw(Lax Strict None Default off)
--- request eval
[map { "GET /$_" } qw(Lax Strict None Default off)]
--- error_code eval
[(204) x 5]
--- check eval
[(map { has("Path=/; SameSite=$_" . ($_ eq 'None' ? '; Secure' : '') . '; HttpOnly') } qw(Lax Strict None Default)), has('Path=/; HttpOnly')]

=== C3: None is Secure even with secure off
--- config
session_cookie_same_site None;
session_cookie_secure off;
--- request
GET /set?u=a
--- check eval
has('Path=/; SameSite=None; Secure; HttpOnly')

=== C4: a domain is sent, localhost is not, off neither
--- config eval
join '', map { my $d = s/^\.//r; "location /$d { session_cookie_domain $_; $::set }\n" } qw(example.org localhost off .example.com)
--- request eval
[map { "GET /$_" } qw(example.org localhost off example.com)]
--- error_code eval
[(204) x 4]
--- check eval
[has('Domain=example.org; Path=/; SameSite=Lax; HttpOnly'), (has('Path=/; SameSite=Lax; HttpOnly')) x 2, has('Domain=.example.com; Path=/; SameSite=Lax; HttpOnly')]

=== C4: off in a location overrides the domain above
--- config eval
"session_cookie_domain example.org; location /off { session_cookie_domain off; $::set }"
--- request eval
["GET /off", "GET /set?u=1"]
--- error_code eval
[204, 200]
--- check eval
[has('Path=/; SameSite=Lax; HttpOnly'), has('Domain=example.org; Path=/; SameSite=Lax; HttpOnly')]

=== C5: the path; a store-keeping client counts 1, 2 there and has no session at /
--- config
session_cookie_path /api;
location /api { session_set n $session_data_n$arg_more; session_map_header X-N n; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /look { session_map_header X-N n; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar: strict
--- request eval
["GET /api?more=x", "GET /api/deeper?more=x", "GET /look", "GET /api?more=x"]
--- check eval
my $path = has('Path=/api; SameSite=Lax; HttpOnly');
[$path, $path, sub { !$_[0]->set_cookies or 'a cookie' }, $path]
--- upstream_json eval
[map { my $n = $_; sub { ($_[0]->header('X-N') // '-') eq $n or $_[0]->header('X-N') } } 'x', 'xx', '-', 'xxx']

=== C6: __Host- as prefix, and written into the name: Secure, Path=/, no Domain, also in plain
--- config eval
"location /prefix { session_cookie_prefix __Host-; $::set }
 location /literal { session_cookie_name __Host-sid; $::set }
 location /both { session_cookie_prefix __Host-; session_cookie_name __Host-sid; $::set }
 location /off { session_cookie_prefix __Host-; session_cookie_secure off; session_cookie_path /; session_cookie_domain off; $::set }"
--- request eval
[map { "GET /$_" } qw(prefix literal both off)]
--- error_code eval
[(204) x 4]
--- check eval
has('Path=/; SameSite=Lax; Secure; HttpOnly', '__Host-sid')

=== C6: the prefix is inherited, and off takes it away; the name is read back
--- config eval
"session_cookie_prefix __Host-; location /off { session_cookie_prefix off; $::set }"
--- cookie_jar
--- tls eval
[1, 1, 1]
--- request eval
["GET /off", "GET /set?u=ann", "GET /get"]
--- error_code eval
[204, 200, 200]
--- check eval
[has('Path=/; SameSite=Lax; Secure; HttpOnly'), has('Path=/; SameSite=Lax; Secure; HttpOnly', '__Host-sid'), undef]
--- upstream_json eval
[undef, undef, sub { $_[0]->header('X-User') eq 'ann' or 'no session' }]

=== C6, C7: the prefix is that of the remember cookie too
--- config eval
"session_remember on; session_remember_safety None;
 location /host { session_cookie_prefix __Host-; $::set }
 location /secure { session_cookie_prefix __Secure-; $::set }
 location /literal { session_cookie_name __Host-sid; $::set }"
--- request eval
["GET /host", "GET /secure", "GET /literal"]
--- error_code eval
[(204) x 3]
--- check eval
my $names = sub { my ($res, $wanted) = @_; my $names = join ' ', sort map { $_->{name} } $res->set_cookies; $names eq $wanted or $names };
[
    sub { $names->($_[0], '__Host-remember __Host-sid') },
    sub { $names->($_[0], '__Secure-remember __Secure-sid') },
    sub { $_[0]->set_cookie('__Host-sid') && (grep { $_->{name} =~ /remember/ && exists $_->{attr}{secure} } $_[0]->set_cookies) == 1 or 'remember is not Secure' },
]

=== C7: __Secure- as prefix, and written into the name, with secure off; a domain and a path are fine
--- config eval
"session_cookie_secure off;
 location /prefix { session_cookie_prefix __Secure-; $::set }
 location /literal { session_cookie_name __Secure-sid; $::set }
 location /more { session_cookie_prefix __Secure-; session_cookie_domain example.org; session_cookie_path /x; $::set }"
--- request eval
["GET /prefix", "GET /literal", "GET /more"]
--- error_code eval
[(204) x 3]
--- check eval
[(has('Path=/; SameSite=Lax; Secure; HttpOnly', '__Secure-sid')) x 2, has('Domain=example.org; Path=/x; SameSite=Lax; Secure; HttpOnly', '__Secure-sid')]

=== secure: auto, on, off, by plain and TLS; inherited
--- config eval
"location /auto { session_cookie_secure auto; $::set } location /on { session_cookie_secure on; $::set location /on/in { $::set } } location /off { session_cookie_secure off; $::set }"
--- tls eval
[0, 1, 0, 1, 0, 0, 1]
--- request eval
["GET /auto", "GET /auto", "GET /on", "GET /on", "GET /on/in", "GET /off", "GET /off"]
--- error_code eval
[(204) x 7]
--- check eval
my ($no, $yes) = (has('Path=/; SameSite=Lax; HttpOnly'), has('Path=/; SameSite=Lax; Secure; HttpOnly'));
[$no, $yes, $yes, $yes, $yes, $no, $no]

=== C8: priority, partitioned, same party
--- config eval
join '', (map { "location /$_ { session_cookie_priority $_; $::set }\n" } qw(Low Medium High off)),
    "location /partitioned { session_cookie_partitioned on; $::set }\n",
    "location /party { session_cookie_same_party on; session_cookie_secure off; $::set }\n"
--- request eval
[map { "GET /$_" } qw(Low Medium High off partitioned party)]
--- error_code eval
[(204) x 6]
--- check eval
[(map { has("Path=/; SameSite=Lax; Priority=$_; HttpOnly") } qw(Low Medium High)), map { has("Path=/; SameSite=Lax; ${_}HttpOnly") } '', 'Partitioned; ', 'SameParty; Secure; ']

=== C8: everything at once, in the order of the contract
--- config
session_cookie_domain example.org;
session_cookie_path /app;
session_cookie_same_site None;
session_cookie_priority High;
session_cookie_same_party on;
session_cookie_partitioned on;
session_cookie_max_age 1h;
--- request
GET /set?u=a
--- check eval
sub {
    my $got = attributes($_[0]);
    $got =~ /\ADomain=example\.org; Path=\/app; SameSite=None; Priority=High; SameParty; Partitioned; Secure; HttpOnly; Expires=[^;]+ GMT; Max-Age=3600\z/ or $got
}

=== C9: same party with the other SameSite values is fine
--- config eval
join '', map { "location /$_ { session_cookie_same_site $_; session_cookie_same_party on; $::set }\n" } qw(Lax None Default off)
--- request eval
[map { "GET /$_" } qw(Lax None Default off)]
--- error_code eval
[(204) x 4]
--- check eval
sub { exists $_[0]->set_cookie('sid')->{attr}{sameparty} && exists $_[0]->set_cookie('sid')->{attr}{secure} or 'not SameParty and Secure' }

=== C11, C16: Max-Age and Expires; cut to 400 days; off; inherited
--- config eval
"session_cookie_max_age 2h;
 location /two { $::set }
 location /long { session_cookie_max_age 500d; $::set }
 location /edge { session_cookie_max_age 400d; $::set }
 location /second { session_cookie_max_age 1; $::set }
 location /off { session_cookie_max_age off; $::set }"
--- request eval
[map { "GET /$_" } qw(two long edge second off)]
--- error_code eval
[(204) x 5]
--- check eval
[lives(7200), lives(34560000), lives(34560000), lives(1), has('Path=/; SameSite=Lax; HttpOnly')]

=== C16: 1000 days, and what nginx calls a year, start and are cut
--- config eval
"session_cookie_max_age 1y; location /days { session_cookie_max_age 1000d; $::set } location /year { $::set }"
--- request eval
["GET /days", "GET /year"]
--- error_code eval
[204, 204]
--- check eval
[lives(34560000), lives(31536000)]

=== C12: without Max-Age the limits of the session hold all the same
--- config
session_absolute_timeout 1s;
add_header X-Cause $session_status always;
--- cookie_jar
--- sleep_before eval
[0, 0, 2.1]
--- request eval
["GET /set?u=ann", "GET /get", "GET /get"]
--- check eval
[has('Path=/; SameSite=Lax; HttpOnly'), undef, sub { $_[0]->set_cookie('sid')->{attr}{'max-age'} eq '0' or 'not cleared' }]
--- response_headers eval
["X-Cause: new", "X-Cause: open", "X-Cause: expired-absolute"]

=== C13: destroy: an empty value, the same flags, Max-Age=0 and a past Expires
--- config
session_cookie_domain example.org;
session_cookie_path /x;
session_cookie_same_site None;
session_cookie_priority Low;
session_cookie_max_age 1h;
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /out", "GET /get"]
--- error_code eval
[200, 204, 200]
--- check eval
[undef, sub {
    my ($line, @more) = map { $_->{line} } $_[0]->set_cookies;
    return 'more lines' if @more;
    return $line =~ /\Asid=; Domain=example\.org; Path=\/x; SameSite=None; Priority=Low; Secure; HttpOnly; Expires=Thu, 01 Jan 1970 00:00:0\d GMT; Max-Age=0\z/ || $line;
}, sub { !$_[0]->set_cookies or 'a cookie' }]
--- upstream_json eval
[undef, undef, sub { !defined $_[0]->header('X-User') or 'still logged in' }]

=== C13: destroy over TLS and with a prefix; by HTTP/1.0
--- config
session_cookie_prefix __Host-;
--- cookie_jar
--- tls eval
[1, 1]
--- request eval
["GET /set?u=ann", "GET /out HTTP/1.0"]
--- error_code eval
[200, 204]
--- response_headers_like eval
["", "Set-Cookie: __Host-sid=; Path=/; SameSite=Lax; Secure; HttpOnly; Expires=Thu, 01 Jan 1970 .*; Max-Age=0"]

=== C13: destroy replaces a line of the upstream with that name, and leaves the others
--- config
location /bye { session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /bye?sc=sid=theirs&sc=a=1"]
--- check eval
[undef, sub { my $lines = join '|', map { $_->{name} . '=' . $_->{value} } $_[0]->set_cookies; $lines eq 'a=1|sid=' or $lines }]

=== a refused cookie is expired with path and domain of the location; off leaves it
--- config
session_cookie_domain example.org;
location /keep { session_cookie_clear_invalid off; return 204; }
location /keep/clear { session_cookie_clear_invalid on; session_cookie_path /k; return 204; }
--- request eval
["GET /get", "GET /keep", "GET /keep/clear", "GET /set?u=x"]
--- more_headers eval
[("Cookie: sid=broken; sid2=part; sid3=part") x 4]
--- error_code eval
[200, 204, 204, 200]
--- check eval
my $expired = sub {
    my ($res, $attributes) = @_;
    my @bad = grep { $_->{line} !~ /\Asid[23]?=; \Q$attributes\E; Expires=Thu, 01 Jan 1970 [^;]*; Max-Age=0\z/ } $res->set_cookies;
    return "$bad[0]{line}" if @bad;
    my $names = join ' ', sort map { $_->{name} } $res->set_cookies;
    return $names eq 'sid sid2 sid3' || $names;
};
[
    sub { $expired->($_[0], 'Domain=example.org; Path=/; SameSite=Lax; HttpOnly') },
    sub { !$_[0]->set_cookies or 'a cookie' },
    sub { $expired->($_[0], 'Domain=example.org; Path=/k; SameSite=Lax; HttpOnly') },
    sub { $_[0]->set_cookie('sid')->{value} =~ /^AQ/ or 'the new session is not set' },
]

=== session_cache_control: with a cookie that is set or expired; not without; off
--- config
location /off { session_cache_control off; session_set a $request_id; return 204; location /off/on { session_cache_control on; session_set a $request_id; return 204; } }
--- cookie_jar
--- request eval
["GET /", "GET /set?u=a", "GET /get", "GET /out", "GET /off", "GET /off/on"]
--- error_code eval
[200, 200, 200, 204, 204, 204]
--- response_headers eval
["! Cache-Control", 'Cache-Control: no-cache="Set-Cookie"', "! Cache-Control", 'Cache-Control: no-cache="Set-Cookie"', "! Cache-Control", 'Cache-Control: no-cache="Set-Cookie"']

=== session_cache_control: beside what the upstream says; nothing where storing is forbidden
--- request eval
[map { "GET /set?u=a&rh=Cache-Control:%20$_" } 'max-age=60', 'no-store', 'private', 'Private,%20max-age=1', 'NO-STORE', 'no-cache="Set-Cookie"', 'public']
--- response_headers eval
[map { "Cache-Control: $_" } 'max-age=60, no-cache="Set-Cookie"', 'no-store', 'private', 'Private, max-age=1', 'NO-STORE', 'no-cache="Set-Cookie"', 'public, no-cache="Set-Cookie"']

=== session_cache_control: words that only look like it do not count
--- request eval
[map { "GET /set?u=a&rh=Cache-Control:%20$_" } 'x=no-store', 'no-storex', 'x-private', 'private="X-A"', 'no-cache="X-A"']
--- response_headers_like eval
[('Cache-Control: .*no-cache="Set-Cookie"') x 5]

=== session_cache_control: also where a refused cookie is expired
--- request
GET /get
--- more_headers
Cookie: sid=broken
--- response_headers
Cache-Control: no-cache="Set-Cookie"

=== names: all characters a name may have; two locations with two names share nothing
--- config
location /a { session_cookie_name "a.b-c_d!#%&'*+^`|~1"; session_set who a; session_map_header X-Who who; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /b { session_cookie_name b; session_map_header X-Who who; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- request eval
["GET /a", "GET /a", "GET /b"]
--- check eval
[has('Path=/; SameSite=Lax; HttpOnly', q{a.b-c_d!#%&'*+^`|~1}), (sub { !$_[0]->set_cookies or 'a cookie' }) x 2]
--- upstream_json eval
[map { my $who = $_; sub { ($_[0]->header('X-Who') // '-') eq $who or 'X-Who ' . ($_[0]->header('X-Who') // '-') } } 'a', 'a', '-']

=== attributes are inherited from http over server to location, one by one
--- http_config
session_cookie_same_site Strict;
session_cookie_priority Low;
session_cookie_max_age 1h;
session_cookie_path /top;
--- config eval
"session_cookie_path /; session_cookie_priority Medium;
 location /in { session_cookie_http_only off; $::set location /in/deep { session_cookie_priority High; session_cookie_max_age off; $::set } }"
--- request eval
["GET /in", "GET /in/deep"]
--- error_code eval
[204, 204]
--- check eval
[sub { my $got = attributes($_[0]); $got =~ /\APath=\/; SameSite=Strict; Priority=Medium; Expires=[^;]+; Max-Age=3600\z/ or $got },
 has('Path=/; SameSite=Strict; Priority=High')]
