# Tokens and keys: what is accepted, what is refused and how that is called, and section 2 of the directives.
use lib 't/lib';
use SessT 'no_plan';

use MIME::Base64 qw(encode_base64url);

require './t/refused.pl';
rig 'B2';

our $vector = 'AQAAS3ZGU0k8tUKsWSci9Fb6PM5xbm469FlR5g_B5HWZ6KYGSOZjAAAAAABcAABTCuHjqpE7B6Ux7m4GCylZAAAAzcWnTvzG51whooR_4QQwDgGdMOOa5W7t'
    . 'G4JWiDFU3zuYLFzakWEi-y-ogrwTpnt24zQXP_uJK7r5lMPNzRSMJM9H1a_MIegzEMm-QSgVRaoZVJq3Oo';
our $ikm = '0123456789abcdef0123456789abcdef';

sub no_set_cookie { my ($res) = @_; !$res->set_cookies or 'a Set-Cookie: ' . $res->header('Set-Cookie') }
sub user { my ($wanted) = @_; sub { ($_[0]->header('X-User') // '-') eq $wanted or 'X-User ' . ($_[0]->header('X-User') // '-') } }

# The character with some of its six bits changed.
sub other_bits {
    my ($char, $bits) = @_;
    my $alphabet = join '', 'A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_';
    return substr $alphabet, index($alphabet, $char) ^ $bits, 1;
}

# The token with the character at a place changed.
sub changed {
    my ($token, $at, $bits) = @_;
    substr($token, $at, 1) = other_bits(substr($token, $at, 1), $bits);
    return $token;
}

# A file of secrets in the server root, made before nginx reads it.
sub secrets {
    my ($text, $mode) = @_;
    my $path = server_root() . '/conf/secrets';
    open my $file, '>', $path or die "$path: $!";
    print {$file} $text;
    close $file;
    chmod $mode // 0600, $path;
}

refused('T19: an ikm of 31 bytes', 'session_ikm 0123456789abcdef0123456789abcde;', qr/31 bytes.*exactly 32/, lacks => '0123456789abcde');
refused('T19: an ikm of 33 bytes', 'session_ikm 0123456789abcdef0123456789abcdef0;', qr/33 bytes.*exactly 32/, lacks => '0123456789abcdef');
refused('T19: an empty ikm', 'session_ikm "";', qr/exactly 32/);
refused('T19: a bad fallback', 'session_ikm_fallbacks 0123456789abcdef0123456789abcdef short;', qr/5 bytes.*exactly 32/, lacks => '0123456789abcdef');
refused('T19: two ikm', "session_ikm 0123456789abcdef0123456789abcdef;\nsession_ikm 0123456789abcdef0123456789abcdef;", qr/duplicate/);
refused('an empty secret', 'session_secret "";', qr/empty/);
refused('an empty fallback', 'session_secret_fallbacks one "";', qr/empty/);
refused('two secrets', "session_secret geheim1;\nsession_secret geheim2;", qr/duplicate/, lacks => 'geheim');
refused('two words', 'session_secret geheim1 geheim2;', qr/invalid number of arguments/, lacks => 'geheim');
refused('no fallback', 'session_secret_fallbacks;', qr/invalid number of arguments/);
refused('a file that is not there', 'session_secret_file no-such-file;', qr/no-such-file.*(?:cannot be read|No such file)/);
refused('a directory', 'session_secret_file .;', qr/cannot be read|directory|mode \d+/);
refused('a file and a secret', "session_secret geheim;\nsession_secret_file no-such-file;", qr/session_secret/, names => 'session_secret_file', lacks => 'geheim');
refused('in a location', 'location /a { session_ikm short; }', qr/exactly 32/, names => 'session_ikm');
refused('an unknown word', 'session_bind foo;', qr/invalid value "foo".*"off".*"ip", "scheme", "user_agent"/);
refused('off with another', 'session_bind ip off;', qr/invalid value "off"/);
refused('nothing', 'session_bind;', qr/invalid number of arguments/);
refused('twice', "session_bind ip;\nsession_bind scheme;", qr/duplicate/);

add_refused();
run_tests();
__DATA__

=== T1: a valid cookie gives the session, and no new cookie
--- config
add_header X-Cause $session_status always;
--- cookie_jar
--- request eval
["GET /set?u=ann", ("GET /get") x 3]
--- response_headers eval
["X-Cause: new", ("X-Cause: open") x 3]
--- check eval
[undef, (\&no_set_cookie) x 3]
--- upstream_json eval
[undef, (user('ann')) x 3]

=== T2: one changed character anywhere, header or payload, is refused: B2
--- config
add_header X-Cause $session_status always;
--- capture eval
[{ tok => qr/^Set-Cookie: session=([^;]+)/m }]
--- request eval
["GET /set?u=ann", ("GET /get") x 36]
--- cookie_jar
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{session} = changed(captured('tok'), $i < 28 ? 4 * $i : -($i - 27), $i % 2 ? 1 : 32) if $i }
--- response_headers_like eval
['X-Cause: new', ('X-Cause: bad-(?:signature|format)') x 36]
--- upstream_json eval
[undef, (user('-')) x 36]

=== T2: the same with B1
--- rig: B1
--- config
add_header X-Cause $session_status always;
--- capture eval
[{ tok => qr/^Set-Cookie: sid=([^;]+)/m }]
--- request eval
["GET /set?u=ann", ("GET /get") x 3]
--- cookie_jar
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{sid} = changed(captured('tok'), (undef, 109, 110, -1)[$i], 32) if $i }
--- response_headers_like eval
['X-Cause: new', ('X-Cause: bad-(?:signature|format)') x 3]
--- upstream_json eval
[undef, (user('-')) x 3]

=== T2: unused base64 bits of header and payload; junk between, behind, in front; cut; padded; other alphabet
--- config
add_header X-Cause $session_status always;
location /put { session_set user $arg_u; return 204; }
--- capture eval
[{ tok => qr/^Set-Cookie: session=([^;]+)/m }]
--- request eval
["GET /put?u=ann", ("GET /get") x 14]
--- cookie_jar
--- jar_edit eval
sub {
    my ($cookies, $i) = @_;
    return unless $i;
    my $good = captured('tok');
    my ($header, $payload) = (substr($good, 0, 110), substr $good, 110);
    die "the payload has no unused bits\n" if length($payload) % 4 == 0;
    $cookies->{session} = (undef,
        changed($header, 109, 1) . $payload, changed($header, 109, 8) . $payload, $header . changed($payload, -1, 1),
        "${header}AAAA$payload", "$header.$payload", "${good}AAAA", "AAAA$good", "$good=", "$good==", substr($good, 0, -1), $header,
        substr($header, 0, 109), $header . reverse($payload), lc $good)[$i];
}
--- error_code eval
[204, (200) x 14]
--- response_headers_like eval
['X-Cause: new', ('X-Cause: bad-(?:signature|format)') x 14]
--- upstream_json eval
[undef, (user('-')) x 14]

=== T2: header of one token, payload of another
--- config
add_header X-Cause $session_status always;
--- capture eval
[{ one => qr/^Set-Cookie: session=([^;]+)/m }, { two => qr/^Set-Cookie: session=([^;]+)/m }]
--- request eval
["GET /set?u=ann", "GET /set?u=bob", "GET /get"]
--- cookie_jar eval
['a', 'b', 'c']
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{session} = substr(captured('one'), 0, 110) . substr(captured('two'), 110) if $i == 2 }
--- response_headers_like eval
['', '', 'X-Cause: bad-(?:signature|format)']
--- upstream_json eval
[undef, undef, user('-')]

=== T2: other types, flags and sizes in the header, made without the key, are refused in bounded time
--- config
add_header X-Cause $session_status always;
--- request eval
[("GET /get") x 5]
--- more_headers eval
[map { 'Cookie: session=' . encode_base64url($_->[0] . $_->[1] . 'i' x 32 . pack('Vx', time) . "\0" x 4 . $_->[2] . 't' x 16 . "\0" x 3 . 'm' x 16) . 'A' x 40 }
    ["\1", "\0\0", "\x28\0\0"], ["\2", "\0\0", "\x28\0\0"], ["\1", "\1\0", "\x28\0\0"], ["\1", "\xff\xff", "\x28\0\0"], ["\1", "\0\0", "\xff\xff\xff"]]
--- response_headers_like eval
[('X-Cause: bad-(?:signature|format)') x 5]

=== T4: a cookie made under another secret is no session, in a location, a server; the new one replaces it
--- config
add_header X-Cause $session_status always;
location /other { session_secret other; session_set user eve if=$arg_u; session_map_header X-User user; add_header X-Cause $session_status always; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- jar_edit eval
our $first;
sub { my ($cookies, $i) = @_; $first = $cookies->{session} if $i == 1; $cookies->{session} = $first if $i == 2 }
--- request eval
["GET /set?u=ann", "GET /other", "GET /other?u=1", "GET /other", "GET /get"]
--- response_headers eval
["X-Cause: new", "X-Cause: bad-signature", "X-Cause: new", "X-Cause: open", "X-Cause: bad-signature"]
--- upstream_json eval
[undef, user('-'), user('eve'), user('eve'), user('-')]

=== T4: a reload with another secret ends sessions; one with the same keeps them
--- config
session_secret one;
--- cookie_jar
--- reload eval
[undef, 1, 'session_secret two;', 'session_secret one;']
--- request eval
["GET /set?u=ann", "GET /get", "GET /get", "GET /get"]
--- jar_edit eval
our $good;
sub { my ($cookies, $i) = @_; $good = $cookies->{session} if $i == 1; $cookies->{session} = $good if $i == 3 }
--- upstream_json eval
[undef, user('ann'), user('-'), user('ann')]

=== T5: a fallback opens old cookies, the next save uses the new key, and then the fallback may go
--- config
session_secret old;
--- cookie_jar eval
['a', 'b', 'a', 'a', 'a', 'b']
--- reload eval
[undef, undef, 'session_secret new; session_secret_fallbacks ancient old;', undef, 'session_secret new; add_header X-Cause $session_status;', undef]
--- request eval
["GET /set?u=ann", "GET /set?u=bob", "GET /get", "GET /set?u=cyd", "GET /get", "GET /get"]
--- check eval
[undef, undef, \&no_set_cookie, sub { $_[0]->set_cookie('session') ? 1 : 'not re-issued' }, \&no_set_cookie, undef]
--- response_headers eval
["", "", "", "", "X-Cause: open", "X-Cause: bad-signature"]
--- upstream_json eval
[undef, undef, user('ann'), undef, user('cyd'), user('-')]

=== T5: fallbacks never make cookies; they are inherited beside an own secret; an own list replaces them
--- config
session_secret_fallbacks one two;
location /one   { session_secret one; session_secret_fallbacks x; session_set user one; return 204; }
location /two   { session_secret two; session_secret_fallbacks x; session_set user two; return 204; }
location /three { session_secret three; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /list  { session_secret three; session_secret_fallbacks two; session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- capture eval
[{ one => qr/^Set-Cookie: session=([^;]+)/m }, { two => qr/^Set-Cookie: session=([^;]+)/m }]
--- request eval
["GET /one", "GET /two", ("GET /three", "GET /list", "GET /get") x 2]
--- more_headers eval
['', '', ('Cookie: session=$CAPTURED_one') x 3, ('Cookie: session=$CAPTURED_two') x 3]
--- error_code eval
[204, 204, (200) x 6]
--- upstream_json eval
[undef, undef, map { user($_) } 'one', '-', 'one', 'two', 'two', 'two']

=== T10: the vector of the format
--- config
session_audience my_application;
session_idling_timeout 0;
session_rolling_timeout 0;
session_absolute_timeout 0;
session_map_header X-Q quote;
session_request_headers subject audience;
add_header X-Cause $session_status;
--- request eval
["GET /", "GET / HTTP/1.0"]
--- more_headers eval
[("Cookie: session=$::vector") x 2]
--- response_headers eval
[("X-Cause: open\n! Set-Cookie") x 2]
--- upstream_json eval
sub { my ($up) = @_; my $got = join '|', map { $up->header($_) // '-' } qw(X-Q Session-Subject Session-Audience); $got eq 'Lorem ipsum dolor sit amet|Lua Fan|my_application' or $got }

=== T10, T11: refused by each limit alone; another audience is no-audience
--- config
add_header X-Cause $session_status;
session_audience my_application;
session_idling_timeout 0;
session_rolling_timeout 0;
session_absolute_timeout 0;
location /default  { session_absolute_timeout 1d; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /rolling  { session_rolling_timeout 1h; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /idling   { session_idling_timeout 15m; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /audience { session_audience other; add_header X-Cause $session_status; add_header X-E "[$session_exists]"; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- request eval
[map { "GET /$_" } qw(default rolling idling audience)]
--- more_headers eval
[("Cookie: session=$::vector") x 4]
--- response_headers eval
["X-Cause: expired-absolute", "X-Cause: expired-rolling", "X-Cause: expired-idling", "X-Cause: no-audience\nX-E: []\n! Set-Cookie"]

=== T11: with the default limits the vector is refused, expired-absolute
--- config
session_audience my_application;
session_map_header X-Q quote;
session_request_headers subject audience;
add_header X-Cause $session_status;
--- request
GET /
--- more_headers eval
"Cookie: session=$::vector"
--- response_headers
X-Cause: expired-absolute
--- upstream_json eval
sub { my ($up) = @_; !defined $up->header('X-Q') && !defined $up->header('Session-Subject') or 'let in' }

=== T10: under another secret, and with the name of another cookie, the vector is nothing
--- config
add_header X-Cause $session_status;
session_secret another;
session_absolute_timeout 0;
session_rolling_timeout 0;
session_idling_timeout 0;
--- request
GET /
--- more_headers eval
"Cookie: session=$::vector"
--- response_headers
X-Cause: bad-signature

=== T16: $session_status names the cause: tampered, foreign, cut, expired by each clock
--- config
add_header X-Cause $session_status always;
location /idling   { session_cookie_name i; session_idling_timeout 1s; session_set a 1 if=$arg_s; add_header X-Cause $session_status always; return 204; }
location /rolling  { session_cookie_name r; session_rolling_timeout 1s; session_set a 1 if=$arg_s; add_header X-Cause $session_status always; return 204; }
location /absolute { session_cookie_name a; session_absolute_timeout 1s; session_set a 1 if=$arg_s; add_header X-Cause $session_status always; return 204; }
--- cookie_jar
--- sleep_before eval
[0, 0, 0, 0, 2.1, 0, 0, 0, 0]
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{session} = ('x', changed($cookies->{session}, -1, 32))[$i - 7] if $i > 6 }
--- request eval
["GET /set?u=ann", map({ "GET /$_?s=1" } qw(idling rolling absolute)), map({ "GET /$_" } qw(idling rolling absolute)), "GET /set?u=ann", "GET /get"]
--- error_code eval
[200, (204) x 6, 200, 200]
--- response_headers eval
[map { "X-Cause: $_" } qw(new new new new expired-idling expired-rolling expired-absolute new bad-signature)]
--- error_log eval
[map { qr/\[info\].*session: cookie "$_->[0]" refused.*$_->[1]/ } ['i', 'expired-idling'], ['r', 'expired-rolling'], ['a', 'expired-absolute'], ['session', 'bad-format']]

=== T18: without a secret there is a warning; sessions survive a reload, and not a restart
--- rig: none
--- http_config
session start;
--- config
location / { session_set user $arg_u if=$arg_u; session_map_header X-User user; add_header X-Cause $session_status; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- reload eval
[undef, undef, 1, 1]
--- restart eval
[undef, undef, undef, undef, 1]
--- request eval
["GET /?u=ann", "GET /", "GET /", "GET /", "GET /"]
--- response_headers eval
[map { "X-Cause: $_" } qw(new open open open bad-signature)]
--- upstream_json eval
[map { user($_) } qw(ann ann ann ann -)]
--- error_log eval
[qr/\[warn\].*session_secret/]

=== T18: the random key is the same in all workers and all locations; the warning comes only where it is used
--- rig: none
--- http_config
session start;
server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location / { session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; } }
--- config
location /in { session_set user ann; return 204; }
location / { session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar
--- port eval
[undef, (undef, '$TEST_NGINX_RAND_PORT_1') x 4]
--- request eval
["GET /in", ("GET /") x 8]
--- error_code eval
[204, (200) x 8]
--- upstream_json eval
[undef, (user('ann')) x 8]

=== T18: no warning with a secret
--- request
GET /
--- no_error_log
[warn]

=== T18: no warning where no location uses sessions
--- rig: none
--- config
location / { return 204; }
--- request
GET /
--- error_code: 204
--- no_error_log
[warn]

=== T18: a configured secret, then none, then the secret again: the cookie of the secret works again
--- config
session_secret one;
--- cookie_jar
--- reload eval
[undef, { http_config => 'session_cookie_clear_invalid off;', config => 'session_secret two;' }, { config => 'session_secret one;' }]
--- request eval
["GET /set?u=ann", "GET /get", "GET /get"]
--- upstream_json eval
[undef, user('-'), user('ann')]

=== ikm: it works, it wins over the secret of its level, and fallbacks of both kinds mix
--- config eval
"location /ikm   { session_ikm $::ikm; session_set user ikm; return 204; }
 location /both  { session_secret x; session_ikm $::ikm; session_map_header X-User user; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }
 location /fall  { session_secret x; session_ikm_fallbacks $::ikm; session_map_header X-User user; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }
 location /mixed { session_ikm ffffffffffffffffffffffffffffffff; session_secret_fallbacks y x; session_ikm_fallbacks eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee $::ikm; session_map_header X-User user; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }
 location /text  { session_secret $::ikm; session_map_header X-User user; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }"
--- capture eval
[{ tok => qr/^Set-Cookie: session=([^;]+)/m }]
--- request eval
["GET /ikm", map { "GET /$_" } qw(both fall mixed text)]
--- more_headers eval
['', ('Cookie: session=$CAPTURED_tok') x 4]
--- error_code eval
[204, (200) x 4]
--- upstream_json eval
[undef, (user('ikm')) x 3, user('-')]

=== keys are inherited as a group: an inner secret is not overruled by an outer ikm, nor the other way round
--- http_config eval
"session_ikm $::ikm;"
--- rig: none
--- config eval
"session start; session_secret inner; session_map_header X-User user;
 location /in  { session_set user ann; return 204; }
 location /see { session_secret inner; session_ikm_fallbacks ffffffffffffffffffffffffffffffff; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }
 location /ikm { session_ikm $::ikm; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }
 location /sub { session_idling_timeout 1h; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; location /sub/sub { session_touch_threshold 1h; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; } }"
--- capture eval
[{ tok => qr/^Set-Cookie: session=([^;]+)/m }]
--- request eval
["GET /in", "GET /see", "GET /ikm", "GET /sub", "GET /sub/sub"]
--- more_headers eval
['', ('Cookie: session=$CAPTURED_tok') x 4]
--- error_code eval
[204, (200) x 4]
--- upstream_json eval
[undef, map { user($_) } 'ann', '-', 'ann', 'ann']

=== a secrets file: the first line is current, the rest are fallbacks; blank lines do not count; the path starts at the configuration folder
--- post_setup_server_root
main::secrets("\none\n\ntwo words \nthree");
--- rig: none
--- config
session start;
session_secret_file secrets;
session_map_header X-User user;
location /file  { session_set user file; return 204; }
location /one   { session_secret one; session_set user one; return 204; }
location /two   { session_secret "two words "; session_set user two; return 204; }
location /three { session_secret three; session_set user three; return 204; }
location /four  { session_secret four; session_set user four; return 204; }
location /see   { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /is-one { session_secret one; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar eval
[qw(file file one one two two three three four four)]
--- request eval
["GET /file", "GET /is-one", map { ("GET /$_", "GET /see") } qw(one two three four)]
--- error_code eval
[(204, 200) x 5]
--- upstream_json eval
[undef, user('file'), undef, user('one'), undef, user('two'), undef, user('three'), undef, user('-')]

=== a secrets file: a new first line and a reload keep all logged in; then the old line goes
--- post_setup_server_root
main::secrets("old\n");
--- rig: none
--- config
session start;
session_secret_file secrets;
session_cookie_clear_invalid off;
location /put { session_set user $arg_u; return 204; }
location /see { session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
--- cookie_jar eval
['a', 'b', 'a', 'a', 'a', 'b']
--- before eval
[undef, undef, sub { secrets("new\nold\n") }, undef, sub { secrets("new\n") }, undef]
--- reload eval
[undef, undef, 1, undef, 1, undef]
--- request eval
["GET /put?u=ann", "GET /put?u=bob", "GET /see", "GET /put?u=cyd", "GET /see", "GET /see"]
--- error_code eval
[204, 204, 200, 204, 200, 200]
--- upstream_json eval
[undef, undef, user('ann'), undef, user('cyd'), user('-')]

=== a secrets file: mode 640 is fine, an absolute path too
--- post_setup_server_root
main::secrets("one\n", 0640);
--- rig: none
--- config
session start;
session_secret_file $TEST_NGINX_SERVROOT/conf/secrets;
location / { session_create always; return 204; }
--- request
GET /
--- error_code: 204
--- no_error_log
[warn]

=== a secrets file that others can read is refused
--- post_setup_server_root
main::secrets("geheim\n", 0644);
--- rig: none
--- config
session_secret_file secrets;
--- must_die: 1
--- error_log eval
[qr/\[emerg\] .*"session_secret_file" .*secrets.*644.* in \S+nginx\.conf:\d+/]
--- no_error_log
geheim

=== a secrets file that others can write is refused
--- post_setup_server_root
main::secrets("geheim\n", 0602);
--- rig: none
--- config
session_secret_file secrets;
--- must_die: 1
--- error_log eval
[qr/\[emerg\] .*"session_secret_file" .*602.* in \S+nginx\.conf:\d+/]

=== an empty secrets file, and one of blank lines, is refused
--- post_setup_server_root
main::secrets("\n\n");
--- rig: none
--- config
session_secret_file secrets;
--- must_die: 1
--- error_log eval
[qr/\[emerg\] .*"session_secret_file" .*empty.* in \S+nginx\.conf:\d+/]

=== neither keys nor tokens nor ids are in the log, at any level
--- log_level: debug
--- config
session_secret geheim;
session_secret_fallbacks auchgeheim;
location /id { add_header X-Id $session_id; return 204; }
--- capture eval
[{ head => qr/^Set-Cookie: session=(.{60})/m }, { id => qr/^X-Id: (\S+)/m }, undef]
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /id", "GET /get"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; $cookies->{session} .= 'x' if $i == 2 }
--- error_code eval
[200, 204, 200]
--- no_error_log eval
[qr/session: .*(?:geheim|AQAA[\w-]{10})/]

=== keys at server level: no two workers give the same ids
--- rig: none
--- config
session_secret of-the-server;
location /new { session start; session_set a 1; add_header X-Id $session_id; return 204; }
--- parallel
--- request eval
[("GET /new") x 60]
--- error_code eval
[(204) x 60]
--- check eval
my %ids;
sub {
    my ($res, $i) = @_;
    my ($id) = $res->{head} =~ /^X-Id: (\S{43})\r?$/m or return 'no id';
    return $ids{$id}++ ? "request $i got the id of another" : 1;
}
