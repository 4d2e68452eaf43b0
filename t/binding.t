# Group B: a token that only works where it was made.
use lib 't/lib';
use SessT 'no_plan';

rig 'B2';

# /bound/… bind each to something else; the status is what an error line, too, says.
add_block_preprocessor(sub {
    my ($block) = @_;
    return if defined $block->must_die;
    $block->set_value(config => ($block->config // '') . <<'END');
location /ua     { session_bind user_agent;            session_set u $arg_u if=$arg_u; return 200 "$session_status [$session_data_u]"; }
location /ip     { session_bind ip;                    session_set u $arg_u if=$arg_u; return 200 "$session_status [$session_data_u]"; }
location /scheme { session_bind scheme;                session_set u $arg_u if=$arg_u; return 200 "$session_status [$session_data_u]"; }
location /all    { session_bind ip scheme user_agent;  session_set u $arg_u if=$arg_u; return 200 "$session_status [$session_data_u]"; }
location /lang   { session_bind $http_accept_language; session_set u $arg_u if=$arg_u; return 200 "$session_status [$session_data_u]"; }
location /two    { session_bind user_agent $http_a $http_b; session_set u $arg_u if=$arg_u; return 200 "$session_status [$session_data_u]"; }
location /off    { session_bind off;                   session_set u $arg_u if=$arg_u; return 200 "$session_status [$session_data_u]"; }
END
});

run_tests();
__DATA__

=== B1: the same user agent, another one, none
--- request eval
["GET /ua?u=1", "GET /ua", "GET /ua", "GET /ua"]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef, undef]
--- more_headers eval
["User-Agent: one", "User-Agent: one\nCookie: \$CAPTURED_tok", "User-Agent: two\nCookie: \$CAPTURED_tok", 'Cookie: $CAPTURED_tok']
--- response_body eval
["missing []", "open [1]", "bad-signature []", "bad-signature []"]
--- response_headers_like eval
["", "! Set-Cookie", "Set-Cookie: session=; .*Max-Age=0.*", "Set-Cookie: session=; .*Max-Age=0.*"]
--- error_log
session: cookie "session" refused
bad-signature

=== B2: the same address, another one
--- request eval
["GET /ip?u=1", "GET /ip", "GET /ip"]
--- client_addr eval
["127.0.0.1", "127.0.0.1", "127.0.0.2"]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef]
--- more_headers eval
["", ('Cookie: $CAPTURED_tok') x 2]
--- response_body eval
["missing []", "open [1]", "bad-signature []"]

=== B2: the address is the one realip found
--- config
set_real_ip_from 127.0.0.1;
real_ip_header   X-Real-IP;
--- request eval
["GET /ip?u=1", ("GET /ip") x 4]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 4]
--- more_headers eval
["X-Real-IP: 192.0.2.1", map { "Cookie: \$CAPTURED_tok\nX-Real-IP: $_" } "192.0.2.1", "192.0.2.2", "2001:db8::1", "127.0.0.1"]
--- response_body eval
["missing []", "open [1]", ("bad-signature []") x 3]

=== B2: the same scheme, another one
--- request eval
["GET /scheme?u=1", ("GET /scheme") x 2, "GET /scheme?u=2", ("GET /scheme") x 2]
--- tls eval
[0, 0, 1, 1, 1, 0]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef, { tls => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef]
--- more_headers eval
["", ('Cookie: $CAPTURED_tok') x 2, "", ('Cookie: $CAPTURED_tls') x 2]
--- response_body eval
["missing []", "open [1]", "bad-signature []", "missing []", "open [2]", "bad-signature []"]

=== B3: no user agent at save and later
--- request eval
["GET /ua?u=1", "GET /ua", "GET /ua"]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef]
--- more_headers eval
["", 'Cookie: $CAPTURED_tok', "User-Agent: x\nCookie: \$CAPTURED_tok"]
--- response_body eval
["missing []", "open [1]", "bad-signature []"]

=== B4: an unknown word
--- config
session_bind foo;
--- must_die
--- error_log eval
qr/\[emerg\].*"session_bind" has invalid value "foo".*"ip".*"scheme".*"user_agent".*nginx\.conf:\d+/

=== B4: off beside others
--- config
session_bind off ip;
--- must_die
--- error_log eval
qr/\[emerg\].*"session_bind" .*"off".*nginx\.conf:\d+/

=== B4: twice
--- config
session_bind ip;
session_bind scheme;
--- must_die
--- error_log eval
qr/\[emerg\].*"session_bind" is duplicate.*nginx\.conf:\d+/

=== all three at once: each of them counts
--- request eval
["GET /all?u=1", ("GET /all") x 4]
--- client_addr eval
["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.1"]
--- tls eval
[0, 0, 0, 1, 0]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 4]
--- more_headers eval
["User-Agent: x", map { "User-Agent: $_\nCookie: \$CAPTURED_tok" } "x", "x", "x", "y"]
--- response_body eval
["missing []", "open [1]", ("bad-signature []") x 3]

=== a bound location refuses unbound tokens and those bound otherwise; an unbound one checks what the token says
--- request eval
["GET /off?u=9", "GET /ua?u=1", "GET /lang?u=2", map { ("GET $_") x 3 } qw(/off /ua /ip /lang)]
--- capture eval
[{ off => qr/^Set-Cookie: (session=[^;]+)/m }, { ua => qr/^Set-Cookie: (session=[^;]+)/m }, { lang => qr/^Set-Cookie: (session=[^;]+)/m },
    (undef) x 12]
--- more_headers eval
["", "User-Agent: x", "User-Agent: x\nAccept-Language: de",
    (map { "User-Agent: x\nAccept-Language: de\nCookie: \$CAPTURED_$_" } qw(off ua lang)) x 4]
--- response_body eval
[("missing []") x 3, "open [9]", "open [1]", "bad-signature []", "bad-signature []", "open [1]", "bad-signature []",
    ("bad-signature []") x 3, ("bad-signature []") x 2, "open [2]"]

=== an unbound location refuses a bound token of another client
--- request eval
["GET /ua?u=1", "GET /off", "GET /off"]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef]
--- more_headers eval
["User-Agent: x", map { "User-Agent: $_\nCookie: \$CAPTURED_tok" } qw(x y)]
--- response_body eval
["missing []", "open [1]", "bad-signature []"]

=== a value of the user's own
--- request eval
["GET /lang?u=1", ("GET /lang") x 3]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 3]
--- more_headers eval
["Accept-Language: de", map { "$_\nCookie: \$CAPTURED_tok" } "Accept-Language: de", "Accept-Language: fr", "X: y"]
--- response_body eval
["missing []", "open [1]", ("bad-signature []") x 2]

=== several values keep to their places
--- request eval
["GET /two?u=1", ("GET /two") x 6]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 6]
--- more_headers eval
["User-Agent: u\nA: x\nB: y", map { "$_\nCookie: \$CAPTURED_tok" }
    "User-Agent: u\nA: x\nB: y", "User-Agent: u\nA: y\nB: x", "User-Agent: u\nA: xy", "User-Agent: u\nB: xy",
    "User-Agent: u\nA: x|y", "User-Agent: u|x\nB: y"]
--- response_body eval
["missing []", "open [1]", ("bad-signature []") x 5]

=== a value moved from one place to an empty one
--- request eval
["GET /two?u=1", ("GET /two") x 3]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 3]
--- more_headers eval
["User-Agent: u\nA: x", map { "$_\nCookie: \$CAPTURED_tok" } "User-Agent: u\nA: x", "User-Agent: u\nB: x", "A: u\nB: x"]
--- response_body eval
["missing []", "open [1]", ("bad-signature []") x 2]

=== a bound session is saved, touched and renewed as bound
--- config
session_touch_threshold 0;
session_bind            user_agent;
location = /touch { return 200 "$session_status [$session_data_u]"; }
location = /renew { session_renew_after 1s; return 200 "$session_status [$session_data_u]"; }
--- request eval
["GET /ua?u=1", "GET /touch", "GET /ua", "GET /ua", "GET /renew", "GET /ua", "GET /ua", "GET /ip"]
--- sleep_before eval
[0, 1.1, 0, 0, 1.1, 0, 0, 0]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, { touched => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef,
    { renewed => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef, undef]
--- more_headers eval
["User-Agent: x", "User-Agent: x\nCookie: \$CAPTURED_tok", "User-Agent: x\nCookie: \$CAPTURED_touched",
    "User-Agent: y\nCookie: \$CAPTURED_touched", "User-Agent: x\nCookie: \$CAPTURED_touched",
    "User-Agent: x\nCookie: \$CAPTURED_renewed", "User-Agent: y\nCookie: \$CAPTURED_renewed", "User-Agent: x\nCookie: \$CAPTURED_renewed"]
--- response_body eval
["missing []", "open [1]", "open [1]", "bad-signature []", "open [1]", "open [1]", ("bad-signature []") x 2]

=== the remember cookie is bound as well
--- config
session_remember on;
session_remember_safety None;
location = /in { session_bind user_agent; session_set u 1; return 204; }
location = /at { session_bind user_agent; return 200 "$session_status [$session_data_u]"; }
--- request eval
["GET /in", "GET /at", "GET /at", "GET /ip"]
--- capture eval
[{ tok => qr/^Set-Cookie: (remember=[^;]+)/m }, undef, undef, undef]
--- more_headers eval
["User-Agent: x", map { "User-Agent: $_\nCookie: \$CAPTURED_tok" } qw(x y x)]
--- error_code eval
[204, 200, 200, 200]
--- response_body eval
["", "remembered [1]", "missing []", "missing []"]

=== session_bind inherits, and a level of its own replaces it
--- config
session_bind user_agent;
location = /in  { session_set u 1; return 204; }
location = /at  { return 200 "$session_status [$session_data_u]"; }
--- request eval
["GET /in", "GET /at", "GET /at", "GET /off", "GET /ip"]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, (undef) x 4]
--- more_headers eval
["User-Agent: x", map { "User-Agent: $_\nCookie: \$CAPTURED_tok" } qw(x y x x)]
--- error_code eval
[204, (200) x 4]
--- response_body eval
["", "open [1]", "bad-signature []", "open [1]", "bad-signature []"]
