# The variables of section 10: in every state of the session, in every place nginx takes variables.
use lib 't/lib';
use SessT 'no_plan';

rig 'B2';

# /vars shows all of them.
my @names = qw(id exists new status audience subject timeout idling_timeout rolling_timeout absolute_timeout remember data_user info_seen json);
my $all = join ' ', map { "$_=[\$session_$_]" } @names;

add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->must_die;
    $block->set_value(http_config => ($block->http_config // '') . <<'END');
log_format after '$uri status=$session_status exists=[$session_exists] new=[$session_new] id=[$session_id] user=[$session_data_user] subject=[$session_subject] json=$session_json';
log_format plain '$uri';
END
    $block->set_value(config => ($block->config // '') . <<"END");
access_log logs/access.log after;
location = /vars { return 200 "$all"; }
location = /in   { session_set user \$arg_u; session_subject \$arg_s; session_info_set seen \$arg_i if=\$arg_i; return 204; }
location = /js   { session_set k \$arg_v type=json; return 204; }
location = /json { return 200 "\$session_json"; }
END
});

# name => value, as /vars shows them.
sub values_of {
    my ($res) = @_;
    return { $res->{body} =~ /(\w+)=\[(.*?)\](?= \w+=\[|\z)/g };
}

# All are empty but those named.
sub only {
    my (%expected) = @_;
    return sub {
        my ($res) = @_;
        my $got = values_of($res);
        return 'only ' . keys(%$got) . ' variables' if keys %$got != 14;
        for my $name (sort keys %$got) {
            my $wanted = $expected{$name} // '';
            return "$name is [$got->{$name}]" if ref $wanted ? $got->{$name} !~ $wanted : $got->{$name} ne $wanted;
        }
        return 1;
    };
}

# Of an open session with the default limits.
sub open_with {
    my (%more) = @_;
    return only(id => qr/\A[\w-]{43}\z/, exists => 1, status => 'open', audience => 'default', timeout => qr/\A(?:900|89\d)\z/,
        idling_timeout => qr/\A(?:900|89\d)\z/, rolling_timeout => qr/\A(?:3600|359\d)\z/, absolute_timeout => qr/\A(?:86400|8639\d)\z/, %more);
}

run_tests();
__DATA__

=== no session: missing, bad-format, bad-signature
--- request eval
[("GET /vars") x 8]
--- more_headers eval
["", "Cookie: a=1", "Cookie: session=", "Cookie: session", "Cookie: session=made-up", "Cookie: session=" . 'A' x 500,
    "Cookie: session=AQAA" . 'x' x 106, "Cookie: session=" . 'x' x 5000]
--- check eval
[(only(status => 'missing')) x 4, (only(status => 'bad-format')) x 2, (only(status => qr/\Abad-(?:format|signature)\z/)) x 2]

=== open
--- cookie_jar
--- request eval
["GET /in?u=ann&s=subj", "GET /in?u=ann&i=now", "GET /vars", "GET /in?u=%20", "GET /vars"]
--- error_code eval
[204, 204, 200, 204, 200]
--- check eval
[undef, undef, open_with(data_user => 'ann', subject => 'subj', info_seen => 'now', json => '{"user":"ann"}'), undef,
    open_with(data_user => '%20', subject => 'subj', info_seen => 'now', json => '{"user":"%20"}')]

=== bypassed, off, another audience
--- cookie_jar
--- config
location / { session_bypass $arg_b; proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/vars; }
location = /bypass { session_bypass 1; return 200 "$session_status [$session_id$session_exists$session_new$session_audience$session_subject$session_timeout$session_remember$session_data_user$session_json]"; }
location = /off    { session off; return 200 "$session_status [$session_id$session_exists$session_new$session_audience$session_subject$session_timeout$session_remember$session_data_user$session_json]"; }
location = /aud    { session_audience x; return 200 "$session_status [$session_id$session_exists$session_new$session_audience$session_subject$session_timeout$session_remember$session_data_user$session_json]"; }
location = /nothing { session off; return 200 "$session_status"; }
--- rig_locations: off
--- request eval
["GET /bypass", "GET /off", "GET /aud", "GET /in?u=ann&s=s", "GET /bypass", "GET /off", "GET /aud", "GET /nothing"]
--- error_code eval
[200, 200, 200, 204, 200, 200, 200, 200]
--- response_body eval
["bypassed []", "off []", "missing []", "", "bypassed []", "off []", "no-audience []", "off"]

=== expired-idling, expired-rolling, expired-absolute
--- cookie_jar
--- config
location = /idling   { session_idling_timeout 1s; return 200 "$session_status [$session_id$session_exists$session_audience$session_timeout$session_data_user$session_json]"; }
location = /rolling  { session_rolling_timeout 1s; session_idling_timeout 0; return 200 "$session_status [$session_id$session_exists$session_audience$session_timeout$session_data_user$session_json]"; }
location = /absolute { session_absolute_timeout 1s; session_idling_timeout 0; session_rolling_timeout 0; return 200 "$session_status [$session_id$session_exists$session_audience$session_timeout$session_data_user$session_json]"; }
--- request eval
["GET /in?u=ann", "GET /idling", "GET /rolling", "GET /absolute"]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef, undef]
--- more_headers eval
["", ('Cookie: $CAPTURED_tok') x 3]
--- sleep_before eval
[0, 2.1, 0, 0]
--- error_code eval
[204, 200, 200, 200]
--- response_body eval
["", "expired-idling []", "expired-rolling []", "expired-absolute []"]

=== new and remembered: what the request made of it is seen by what comes later
--- cookie_jar
--- config
session_remember on;
session_remember_safety None;
add_header X-Vars "$session_status [$session_new] [$session_exists] [$session_remember] [$session_data_user]" always;
location = /up { session_set user $arg_u if=$arg_u; proxy_set_header X-Vars "$session_status [$session_new] [$session_exists] [$session_remember] [$session_data_user]"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /up", "GET /up?u=ann", "GET /up", "GET /up", "GET /up?u=bob"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete $cookies->{session} if $i == 3 }
--- response_headers eval
["X-Vars: missing [] [] [] []", "X-Vars: new [1] [1] [1] [ann]", "X-Vars: open [] [1] [1] [ann]", "X-Vars: remembered [] [1] [1] [ann]",
    "X-Vars: open [] [1] [1] [bob]"]
--- upstream_json eval
my $is = sub { my ($text) = @_; sub { $_[0]->header('X-Vars') eq $text or $_[0]->header('X-Vars') } };
[$is->('missing [] [] [] []'), $is->('new [1] [1] [1] [ann]'), $is->('open [] [1] [1] [ann]'), $is->('remembered [] [1] [1] [ann]'),
    $is->('open [] [1] [1] [bob]')]

=== $session_remember is empty where nobody is remembered
--- cookie_jar
--- config
location = /keep { session_remember on; session_remember_safety None; session_set user ann; return 204; }
location = /ask  { session_remember $arg_r; session_remember_safety None; session_set n $arg_n; return 204; }
location = /seen { session_remember $arg_none; session_remember_safety None; return 200 "[$session_remember]"; }
--- request eval
["GET /in?u=ann", "GET /seen", "GET /keep?x=1", "GET /ask?r=1&n=1", "GET /seen", "GET /ask?r=0&n=2", "GET /seen"]
--- error_code eval
[204, 200, 204, 204, 200, 204, 200]
--- response_body eval
["", "[]", "", "", "[1]", "", "[]"]

=== the seconds left: a limit of 0 is empty, the smallest is the timeout
--- cookie_jar
--- config
location = /zero { session_idling_timeout 0; session_rolling_timeout 0; session_absolute_timeout 0; return 200 "[$session_timeout][$session_idling_timeout][$session_rolling_timeout][$session_absolute_timeout]"; }
location = /abs  { session_idling_timeout 0; session_absolute_timeout 100s; return 200 "[$session_timeout][$session_idling_timeout][$session_rolling_timeout][$session_absolute_timeout]"; }
location = /roll { session_rolling_timeout 50s; session_touch_threshold 0; return 200 "[$session_timeout][$session_idling_timeout][$session_rolling_timeout][$session_absolute_timeout]"; }
--- request eval
["GET /in?u=ann", "GET /zero", "GET /abs", "GET /roll", "GET /roll"]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 4]
--- more_headers eval
["", ('Cookie: $CAPTURED_tok') x 4]
--- sleep_before eval
[0, 0, 0, 0, 2.1]
--- error_code eval
[204, 200, 200, 200, 200]
--- response_body_like eval
["", qr/\A\[\]\[\]\[\]\[\]\z/, qr/\A\[(100|99)\]\[\]\[3(600|599)\]\[\1\]\z/, qr/\A\[(50|49)\]\[(900|899)\]\[\1\]\[(86400|86399)\]\z/,
    qr/\A\[(4[678])\]\[89[678]\]\[\1\]\[8639[678]\]\z/]

=== $session_data_…: each type as text
--- cookie_jar
--- config
location = /show { return 200 "[$session_data_k]"; }
--- request eval
[map { ("GET /js?v=$_", "GET /show") } '42', '-1.5', 'true', 'false', 'null', '%22text%22', '"text"', '""', '[1,"x"]', '{"a":{"b":null}}', '9223372036854775807', '1e3']
--- error_code eval
[(204, 200) x 12]
--- response_body eval
["", '[42]', "", '[-1.5]', "", '[true]', "", '[false]', "", '[]', "", '[]', "", '[text]', "", '[]', "", '[[1,"x"]]', "", '[{"a":{"b":null}}]', "",
    '[9223372036854775807]', "", '[1000.0]']

=== $session_data_…: __ steps into objects, the exact key first
--- cookie_jar
--- config
location = /show { return 200 "[$session_data_k__a][$session_data_k__a__b][$session_data_k__none][$session_data_k__a__b__c][$session_data_none__a][$session_data_][$session_data_k__]"; }
location = /two  { session_set k__a exact; return 204; }
--- request eval
['GET /js?v={"a":{"b":"deep"}}', "GET /show", 'GET /js?v={"a__b":1,"A":{"B":2}}', "GET /show", "GET /two", "GET /show", 'GET /js?v=["x"]', "GET /show"]
--- error_code eval
[(204, 200) x 4]
--- response_body eval
["", '[{"b":"deep"}][deep][][][][][]', "", '[{"B":2}][1][][][][][]', "", '[exact][1][][][][][]', "", '[exact][][][][][][]']

=== $session_data_…: the exact key first, then one that differs in case
--- cookie_jar
--- config
location = /mixed { session_set UserName mixed; return 204; }
location = /lower { session_set username lower; return 204; }
location = /deep  { session_set Org.UnitName u; return 204; }
location = /show  { return 200 "[$session_data_username][$session_data_UserName][$session_data_USERNAME][$session_data_org__unitname]"; }
--- request eval
["GET /mixed", "GET /show", "GET /lower", "GET /show", "GET /deep", "GET /show"]
--- error_code eval
[(204, 200) x 3]
--- response_body eval
["", "[mixed][mixed][mixed][]", "", "[lower][lower][lower][]", "", "[lower][lower][lower][u]"]

=== session_var: the key as it is written, dotted paths, in map and if
--- cookie_jar
--- http_config
session_var $mixed UserName;
session_var $plan  account.Plan;
session_var $whole account;
map $plan $rate { default slow; gold fast; }
--- config
location = /fill  { session_set username lower; session_set UserName Mixed; session_set account.Plan $arg_p; return 204; }
location = /show  { if ($plan = gold) { return 200 "gold $rate [$mixed] $whole"; } return 200 "none $rate [$mixed] $whole"; }
location = /off   { session off; return 200 "[$plan][$mixed]"; }
--- request eval
["GET /show", "GET /fill?p=gold", "GET /show", "GET /off"]
--- error_code eval
[200, 204, 200, 200]
--- response_body eval
["none slow [] ", "", 'gold fast [Mixed] {"Plan":"gold"}', "[][]"]

=== $session_info_…
--- cookie_jar
--- config
location = /info { session_info_set LastSeen $arg_v; return 204; }
location = /show { return 200 "[$session_info_lastseen][$session_info_none]"; }
--- request eval
["GET /show", "GET /in?u=ann", "GET /info?v=now", "GET /show", "GET /out", "GET /show"]
--- error_code eval
[200, 204, 204, 200, 204, 200]
--- response_body eval
["[][]", "", "", "[now][]", "", "[][]"]

=== $session_json shows this audience's data alone, and no info
--- cookie_jar
--- config
location = /other { session_audience other; session_set secret 1; return 204; }
--- request eval
["GET /json", "GET /in?u=ann&i=1", "GET /in?u=ann&i=1", "GET /other", "GET /json"]
--- error_code eval
[200, 204, 204, 204, 200]
--- response_body eval
["", "", "", "", '{"user":"ann"}']

=== $session_id: as long as the session is not saved
--- cookie_jar
--- config
location = /id { return 200 "$session_id"; }
session_touch_threshold 0;
--- request eval
["GET /in?u=ann", "GET /id", "GET /id", "GET /id", "GET /in?u=bob", "GET /id"]
--- sleep_before eval
[0, 0, 0, 1.1, 0, 0]
--- error_code eval
[204, 200, 200, 200, 204, 200]
--- capture eval
[undef, { one => qr/\n([\w-]{43})\z/ }, { two => qr/\n([\w-]{43})\z/ }, { touched => qr/\n([\w-]{43})\z/ }, undef, { three => qr/\n([\w-]{43})\z/ }]
--- check eval
[(undef) x 5, sub {
    return 'read' if captured('one') ne captured('two');
    return 'touched' if captured('one') ne captured('touched');
    captured('one') ne captured('three') or 'saved';
}]

=== the access log is written after the request, with what it made
--- cookie_jar
--- config
location = /sub  { auth_request /.sub; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /.sub { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /post { session_set user posted; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /off  { session off; return 204; }
location = /deny { deny all; }
location = /gone { session logout; return 204; }
--- request eval
["GET /json?0", "GET /in?u=ann&s=s", "GET /json", "POST /post\nbody", "GET /sub", "GET /off", "GET /deny", "GET /gone", "GET /json"]
--- error_code eval
[200, 204, 200, 200, 200, 204, 403, 204, 200]
--- check eval
my @lines = (qr/^\/json status=missing exists=\[-\] new=\[-\] id=\[-\] user=\[-\] subject=\[-\] json=-$/m,
    qr/^\/in status=new exists=\[1\] new=\[1\] id=\[[\w-]{43}\] user=\[ann\] subject=\[s\] json=/m,
    qr/^\/json status=open exists=\[1\] new=\[-\] id=\[[\w-]{43}\] user=\[ann\]/m,
    qr/^\/post status=open exists=\[1\] new=\[-\] id=\[[\w-]{43}\] user=\[posted\]/m,
    qr/^\/sub status=open exists=\[1\] .* user=\[posted\]/m,
    qr/^\/off status=off exists=\[-\] new=\[-\] id=\[-\] user=\[-\]/m,
    qr/^\/deny status=open exists=\[1\] .* user=\[posted\]/m,
    qr/^\/gone status=open exists=\[-\] new=\[-\] id=\[-\] user=\[-\]/m);
[(undef) x 8, sub {
    my $log = SessT::Room::slurp(server_root() . '/logs/access.log');
    my @missing = grep { $log !~ $_ } @lines;
    @missing ? "none is $missing[0]:\n$log" : 1;
}]

=== in limit_req_zone, limit_conn_zone, map, if, set, rewrite, proxy_pass, root, log_format with if=
--- cookie_jar
--- http_config
limit_conn_zone $session_id zone=conn:1m;
limit_req_zone  $session_subject zone=req:1m rate=1r/m;
map $session_data_role $is_boss { default 0; boss 1; }
map "$session_status:$session_subject" $both { default other; "open:ann" ann; }
--- config
location = /role  { session_set role $arg_r; session_subject $arg_s; return 204; }
location = /if    { if ($is_boss) { return 200 "boss $both"; } return 200 "nobody $both"; }
location = /limit { limit_conn conn 1; limit_req zone=req; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /set   { set $x "$session_data_role"; rewrite ^ /to/$x break; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /page  { root $TEST_NGINX_HTML_DIR; try_files /$session_subject.txt =404; }
--- user_files
>>> ann.txt
hello ann
--- request eval
["GET /if", "GET /limit", "GET /limit", "GET /page", "GET /role?r=boss&s=ann", "GET /if", "GET /limit", "GET /limit", "GET /set", "GET /page"]
--- error_code eval
[200, 200, 200, 404, 204, 200, 200, 503, 200, 200]
--- response_body_like eval
[qr/\Anobody other\z/, "", "", "", "", qr/\Aboss ann\z/, "", "", qr/"\/to\/boss"/, qr/\Ahello ann$/]

=== what a client sends cannot be mistaken for a variable of the session
--- request
GET /vars?session_data_user=evil&user=evil
--- more_headers
Session-Data-User: evil
Session_Id: evil
Cookie: session_data_user=evil
--- check eval
only(status => 'missing')

=== a value with dollar signs and quotes stays what it is
--- cookie_jar
--- config
location = /put  { session_set user $http_x_user; return 204; }
location = /show { return 200 "[$session_data_user]"; }
--- request eval
["GET /put", "GET /show"]
--- more_headers eval
['X-User: $host "a" \b {} %41', ""]
--- error_code eval
[204, 200]
--- response_body eval
["", '[$host "a" \b {} %41]']

=== a large value
--- cookie_jar
--- config
location = /show { return 200 "$session_data_user"; }
--- request eval
["GET /in?u=" . 'xy' x 10000, "GET /show"]
--- error_code eval
[204, 200]
--- response_body eval
["", 'xy' x 10000]

=== an unknown variable of that beginning
--- config
location = /x { return 200 $session_nothing; }
--- must_die
--- error_log
unknown "session_nothing" variable

=== a variable of ours cannot be set
--- config
location = /x { set $session_id x; return 204; }
--- must_die
--- error_log
the duplicate "session_id" variable

=== a line break in the data never becomes one in a header
--- cookie_jar
--- config
location = /hdr  { add_header X-V "[$session_data_k]" always; add_header X-J "$session_json" always; return 302 "/x?$session_data_k"; }
location = /up   { proxy_set_header X-V "[$session_data_k]"; session_map_header X-K k; session_map_header X-O o; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /deep { add_header X-V "[$session_data_k__a]" always; return 204; }
--- request eval
['GET /js?v="a\r\nX-Evil:1"', "GET /hdr", "GET /up", 'GET /js?v="a\nX-Evil:1"', "GET /hdr", "GET /up", 'GET /js?v={"a":"a\rX-Evil:1"}', "GET /hdr",
    "GET /deep", 'GET /js?v="a\u0000b"', "GET /up"]
--- error_code eval
[204, 302, 200, 204, 302, 200, 204, 302, 204, 204, 200]
--- check eval
my $clean = sub { $_[0]{head} =~ s/\r\n//gr !~ /[\r\n\0]/ && !defined $_[0]->header('X-Evil') or $_[0]{head} };
[undef, $clean, undef, undef, $clean, undef, undef, $clean, $clean, undef, undef]
--- upstream_json eval
my $clean = sub {
    my ($up) = @_;
    return 'X-Evil' if defined $up->header('X-Evil');
    !grep { $_->[1] =~ /[\r\n\0]/ } @{ $up->{headers} } or 'a control character';
};
[undef, undef, $clean, undef, undef, $clean, (undef) x 4, $clean]
