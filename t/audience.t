# Group A: audiences, info, and what ends a session.
use lib 't/lib';
use SessT 'no_plan';

rig 'B2';

# Two applications under one cookie, each with its own data; what ends them.
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(config => ($block->config // '') . <<'END');
location = /a       { session_audience a; session_subject s1; session_set x 1; return 204; }
location = /b       { session_audience b; session_subject s2; session_set y 2; return 204; }
location = /show/a  { session_audience a; return 200 "$session_status $session_audience $session_subject $session_json"; }
location = /show/b  { session_audience b; return 200 "$session_status $session_audience $session_subject $session_json"; }
location = /show    { return 200 "$session_status $session_json"; }
location = /out/a   { session_audience a; session logout; return 204; }
location = /out/b   { session_audience b; session logout; return 204; }
location = /logout  { session logout; return 204; }
location = /destroy { session destroy; return 204; }
END
});

# The value of the session cookie a response sets; 'none' without one.
sub value_of {
    my ($res, $name) = @_;
    my $cookie = $res->set_cookie($name // 'session');
    return $cookie ? $cookie->{value} : 'none';
}

sub is_expired {
    my ($cookie) = @_;
    return 'no such Set-Cookie' unless $cookie;
    return "it has a value" if $cookie->{value} ne '';
    return "Max-Age=$cookie->{attr}{'max-age'}" if ($cookie->{attr}{'max-age'} // '') ne '0';
    return 'no Expires in the past' unless ($cookie->{attr}{expires} // '') =~ /19[79]\d/;
    return 1;
}

run_tests();
__DATA__

=== A1: two audiences, one cookie
--- cookie_jar
--- request eval
["GET /a", "GET /b", "GET /show/a", "GET /show/b", "GET /show"]
--- error_code eval
[204, 204, 200, 200, 200]
--- response_body eval
["", "", 'open a s1 {"x":"1"}', 'open b s2 {"y":"2"}', 'no-audience ']
--- check eval
[(sub { $_[0]->headers('Set-Cookie') == 1 or 'one Set-Cookie' }) x 2, (sub { value_of($_[0]) eq 'none' or 'saved' }) x 3]

=== A1: property headers and mapped headers are those of the audience
--- cookie_jar
--- config
session_request_headers audience subject id;
session_map_header X-X x;
session_map_header X-Y y;
location = /up/a { session_audience a; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /up/b { session_audience b; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /up/c { session_audience c; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /a", "GET /b", "GET /up/a", "GET /up/b", "GET /up/c"]
--- error_code eval
[204, 204, 200, 200, 200]
--- upstream_json eval
sub all_of { my ($up) = @_; join ' ', map { $up->header($_) // '-' } qw(Session-Audience Session-Subject X-X X-Y) }
[undef, undef,
    sub { all_of(@_) eq 'a s1 1 -' or all_of(@_) },
    sub { all_of(@_) eq 'b s2 - 2' or all_of(@_) },
    sub { all_of(@_) eq '- - - -' && !defined $_[0]->header('Session-Id') or all_of(@_) }]

=== A2: another audience's data is kept by a save
--- cookie_jar
--- request eval
["GET /a", "GET /show/b", "GET /b", "GET /show/a", "GET /show/b"]
--- error_code eval
[204, 200, 204, 200, 200]
--- response_body eval
["", "no-audience   ", "", 'open a s1 {"x":"1"}', 'open b s2 {"y":"2"}']
--- check eval
[undef, sub { value_of($_[0]) eq 'none' or 'a cookie that is only not for this audience is not cleared' }, undef, undef, undef]

=== A2: the session has no other audience's subject, and no value without its own audience
--- cookie_jar
--- config
location = /vars { session_audience b; return 200 "[$session_exists][$session_id][$session_subject][$session_timeout][$session_data_x]"; }
location = /need { session_audience b; session_require on; root html; }
--- request eval
["GET /a", "GET /vars", "GET /need"]
--- error_code eval
[204, 200, 401]
--- response_body_like eval
["", qr/\A\[\]\[\]\[\]\[\]\[\]\z/, ""]

=== an audience from a variable
--- cookie_jar
--- config
location = /put { session_audience $arg_a; session_set v $arg_v; return 204; }
location = /got { session_audience $arg_a; return 200 "$session_audience=$session_data_v"; }
--- request eval
["GET /put?a=one&v=1", "GET /put?a=two&v=2", "GET /got?a=one", "GET /got?a=two", "GET /got?a=tw", "GET /got?a=TWO"]
--- error_code eval
[204, 204, 200, 200, 200, 200]
--- response_body eval
["", "", "one=1", "two=2", "=", "="]

=== A6: with cookie storage info makes a new cookie, and stays apart from data
--- cookie_jar
--- config
location = /info  { session_audience a; session_set @k data; session_info_set k info; return 204; }
location = /again { session_audience a; session_set none 1 if=0; session_info_set k info; return 204; }
location = /look  { session_audience a; return 200 "$session_info_k $session_json"; }
location = /b/i   { session_audience b; session_info_set k other; return 204; }
location = /b/l   { session_audience b; return 200 "$session_info_k $session_json"; }
--- request eval
["GET /a", "GET /info", "GET /look", "GET /again", "GET /b", "GET /b/i", "GET /b/l", "GET /look"]
--- error_code eval
[204, 204, 200, 204, 204, 204, 200, 200]
--- response_body eval
["", "", 'info {"x":"1","@k":"data"}', "", "", "", 'other {"y":"2"}', 'info {"x":"1","@k":"data"}']
--- check eval
[undef, sub { value_of($_[0]) ne 'none' or 'not saved' }, undef, sub { value_of($_[0]) eq 'none' or 'saved' }, (undef) x 4]

=== A7: info without a session
--- config
location = /info { session_info_set k info; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /info", "GET /info", "GET /show"]
--- more_headers eval
["", "Cookie: session=made-up", ""]
--- response_headers eval
["! Set-Cookie", "", "! Set-Cookie"]
--- check eval
[undef, sub { is_expired($_[0]->set_cookie('session')) }, undef]

=== A9: logout ends one audience, the last one ends the session
--- cookie_jar
--- request eval
["GET /a", "GET /b", "GET /out/b", "GET /show/a", "GET /show/b", "GET /out/b", "GET /out/a", "GET /show/a"]
--- error_code eval
[204, 204, 204, 200, 200, 204, 204, 200]
--- response_body eval
["", "", "", 'open a s1 {"x":"1"}', 'no-audience   ', "", "", 'missing   ']
--- check eval
[undef, undef,
    sub { value_of($_[0]) =~ /\A[\w-]{110,}\z/ or 'the cookie goes on with a: ' . value_of($_[0]) },
    undef, undef,
    sub { value_of($_[0]) eq 'none' or 'who is not there cannot leave' },
    sub { is_expired($_[0]->set_cookie('session')) },
    undef]

=== A9: logout in a proxied location; the upstream no longer sees who it was
--- cookie_jar
--- config
session_request_headers subject;
location = /out/up { session_audience b; session logout; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /a", "GET /b", "GET /out/up", "GET /show/a", "GET /show/b"]
--- error_code eval
[204, 204, 200, 200, 200]
--- upstream_json eval
[undef, undef, sub { !defined $_[0]->header('Session-Subject') or 'still there' }, undef, undef]
--- response_body_like eval
["", "", "", qr/^open a s1/, qr/^no-audience/]

=== A9: an audience with info can leave as well
--- cookie_jar
--- config
location = /info { session_audience b; session_info_set k 1; return 204; }
location = /ia   { session_audience a; session_info_set k 2; return 204; }
location = /look { session_audience a; return 200 "$session_info_k $session_json"; }
--- request eval
["GET /a", "GET /b", "GET /info", "GET /ia", "GET /out/b", "GET /look", "GET /b", "GET /show/b"]
--- error_code eval
[204, 204, 204, 204, 204, 200, 204, 200]
--- response_body eval
["", "", "", "", "", '2 {"x":"1"}', "", 'open b s2 {"y":"2"}']

=== destroy ends all audiences
--- cookie_jar
--- request eval
["GET /a", "GET /b", "GET /destroy", "GET /show/a", "GET /show/b"]
--- error_code eval
[204, 204, 204, 200, 200]
--- response_body_like eval
["", "", "", qr/^missing/, qr/^missing/]
--- check eval
[undef, undef, sub { is_expired($_[0]->set_cookie('session')) }, undef, undef]

=== destroy from a location of an audience that the session does not have
--- cookie_jar
--- config
location = /out/c { session_audience c; session destroy; return 204; }
--- request eval
["GET /a", "GET /out/c", "GET /show/a"]
--- error_code eval
[204, 204, 200]
--- response_body_like eval
["", "", qr/^missing/]
--- check eval
[undef, sub { is_expired($_[0]->set_cookie('session')) }, undef]

=== A11: nothing to end, nothing said
--- config
location = /out/up { session destroy; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /log/up { session logout; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /destroy", "GET /logout", "GET /out/a", "GET /out/up", "GET /log/up"]
--- error_code eval
[204, 204, 204, 200, 200]
--- response_headers eval
[("! Set-Cookie\n! Cache-Control") x 5]
--- no_error_log
[error]
[warn] 

=== A11: a cookie that cannot be opened is cleared by destroy too
--- request eval
["GET /destroy", "GET /logout"]
--- more_headers
Cookie: session=made-up
--- error_code eval
[204, 204]
--- check eval
[(sub { is_expired($_[0]->set_cookie('session')) }) x 2]

=== A14: each save makes a new id, the data stays
--- cookie_jar
--- config
location = /id { return 200 "$session_id $session_json"; }
--- request eval
["GET /set?u=ann", "GET /id", "GET /set?u=bob", "GET /id", "GET /id"]
--- capture eval
[undef, { one => qr/\n([\w-]{43}) / }, undef, { two => qr/\n([\w-]{43}) / }, { three => qr/\n([\w-]{43}) / }]
--- response_body_like eval
["", qr/\{"user":"ann"\}/, "", qr/\{"user":"bob"\}/, ""]
--- check eval
[(undef) x 4, sub {
    return 'the id stayed with the save' if captured('one') eq captured('two');
    captured('two') eq captured('three') or 'the id changed without a save';
}]

=== A19: an invalid cookie is expired with the attributes it was made with
--- config
session_cookie_path     /app;
session_cookie_domain   example.org;
session_cookie_same_site Strict;
location = /pass { session_cookie_clear_invalid off; return 204; }
location = /up   { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /uppass { session_cookie_clear_invalid off; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /show", "GET /pass", "GET /up", "GET /uppass"]
--- more_headers
Cookie: session=made-up
--- error_code eval
[200, 204, 200, 200]
--- check eval
my $cleared = sub {
    my $cookie = $_[0]->set_cookie('session');
    my $line = $cookie->{line} // '';
    return $line unless $line =~ m{^session=; Domain=example\.org; Path=/app; SameSite=Strict; HttpOnly; };
    is_expired($cookie);
};
my $left = sub { !$_[0]->headers('Set-Cookie') or 'touched' };
[$cleared, $left, $cleared, $left]

=== A19: no clearing beside a new session, and none of what is missing or empty
--- request eval
["GET /set?u=ann", "GET /show", "GET /show", "GET /show"]
--- more_headers eval
["Cookie: session=made-up", "Cookie: session=", "Cookie: session", "Cookie: other=1"]
--- check eval
[sub { $_[0]->headers('Set-Cookie') == 1 && value_of($_[0]) =~ /^[\w-]{110,}$/ or 'one line, with the new session' },
    (sub { !$_[0]->headers('Set-Cookie') or 'cleared' }) x 3]

=== A19: a refused request clears a bad cookie, and changes nothing else
--- config
location = /need { session_require on; session_set x 1; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
["GET /need", "GET /need"]
--- more_headers eval
["Cookie: session=made-up", ""]
--- error_code eval
[401, 401]
--- check eval
[sub { is_expired($_[0]->set_cookie('session')) }, sub { !$_[0]->headers('Set-Cookie') or 'something is set' }]

=== A19: chunks that came along with a bad cookie go as well
--- request
GET /show
--- more_headers
Cookie: session=made-up; session2=x; a=b; session3=y; session10=z; xsession2=1
--- check eval
sub {
    my ($res) = @_;
    my $names = join ' ', sort map { $_->{name} } $res->set_cookies;
    return $names if $names ne 'session session2 session3';
    for my $cookie ($res->set_cookies) {
        my $is = is_expired($cookie);
        return $is if $is ne '1';
    }
    1;
}

=== several cookies of the name: the first that verifies wins, whatever the order
--- request eval
["GET /set?u=ann", ("GET /get") x 4]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 4]
--- more_headers eval
["", 'Cookie: $CAPTURED_tok; session=made-up', 'Cookie: session=made-up; $CAPTURED_tok',
    'Cookie: session=; a=b; $CAPTURED_tok; session', "Cookie: session=x\nCookie: \$CAPTURED_tok"]
--- upstream_json eval
[undef, (sub { ($_[0]->header('X-User') // '') eq 'ann' or 'not found' }) x 4]
--- response_headers eval
["", ("! Set-Cookie") x 4]

=== logout with several cookies of the name ends that which was open
--- request eval
["GET /a", "GET /out/a"]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, undef]
--- more_headers eval
["", 'Cookie: session=made-up; $CAPTURED_tok']
--- error_code eval
[204, 204]
--- check eval
[undef, sub { is_expired($_[0]->set_cookie('session')) }]
