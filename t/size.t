# Group K: sessions that are too long for one cookie, or for all of them.
use lib 't/lib';
use SessT 'no_plan';

rig 'B2';

# /v stores what it gets, /len reads how long that is.
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(config => ($block->config // '') . <<'END');
location = /v       { session_set v $arg_v; return 204; }
location = /read    { return 200 "$session_status $session_data_v"; }
location = /status  { return 200 "$session_status"; }
location = /up      { proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location = /destroy { session destroy; return 204; }
location = /plain/v { session_compression_threshold 0; session_set v $arg_v; return 204; }
END
});

# Text that hardly compresses, and a letter many times.
sub noise {
    my ($length) = @_;
    my ($text, $x) = ('', 12345);
    while (length $text < $length) {
        $x = ($x * 1103515245 + 12345) % 2**31;
        $text .= chr(97 + ($x >> 16) % 26);
    }
    return $text;
}

sub names { join ' ', map { $_->{name} } $_[0]->set_cookies }

# Each cookie with a value fits into what a browser keeps.
sub too_long {
    my ($res) = @_;
    return grep { length("$_->{name}=$_->{value}") > 4096 } $res->set_cookies;
}

sub is_cleared {
    my ($res, @names) = @_;
    for my $name (@names) {
        my $cookie = $res->set_cookie($name) // return "no line for $name";
        return "$name has a value" if $cookie->{value} ne '';
        return "$name: no Max-Age=0" if ($cookie->{attr}{'max-age'} // '') ne '0';
    }
    return 1;
}

run_tests();
__DATA__

=== K1: three cookies, each small enough, and back
--- cookie_jar
--- config
session_compression_threshold 0;
--- request eval
["GET /v?v=" . noise(8000), "GET /read", "GET /read"]
--- error_code eval
[204, 200, 200]
--- check eval
[sub {
    my ($res) = @_;
    return names($res) if names($res) ne 'session session2 session3';
    return 'too long' if too_long($res);
    my @lengths = map { length "$_->{name}=$_->{value}" } $res->set_cookies;
    return "@lengths" if $lengths[0] != 4096 || $lengths[1] != 4096;
    my %attributes = map { $_->{line} =~ s/^[^;]*//r => 1 } $res->set_cookies;
    keys %attributes == 1 or 'the attributes differ';
}, (sub { $_[0]{body} eq 'open ' . noise(8000) && names($_[0]) eq '' or 'read back' }) x 2]

=== K1: the order of the cookies does not matter, nor do strange ones
--- config
session_compression_threshold 0;
--- request eval
["GET /v?v=" . noise(8000), ("GET /read") x 5]
--- capture eval
[{ one => qr/^Set-Cookie: (session=[^;]+)/m, two => qr/^Set-Cookie: (session2=[^;]+)/m, three => qr/^Set-Cookie: (session3=[^;]+)/m },
    (undef) x 5]
--- more_headers eval
["", 'Cookie: $CAPTURED_three; $CAPTURED_one; a=b; $CAPTURED_two',
    "Cookie: \$CAPTURED_two\nCookie: \$CAPTURED_three\nCookie: \$CAPTURED_one",
    'Cookie: $CAPTURED_one; $CAPTURED_two; $CAPTURED_three; session4=stray; session9=stray; session10=x',
    'Cookie: $CAPTURED_one; $CAPTURED_two; session2=stray; $CAPTURED_three',
    'Cookie: a="x; $CAPTURED_one;$CAPTURED_two;   $CAPTURED_three  ; b']
--- error_code eval
[204, (200) x 5]
--- check eval
[undef, (sub { $_[0]{body} eq 'open ' . noise(8000) or substr $_[0]{body}, 0, 60 }) x 5]

=== K1: a chunk that is missing, cut, changed or of another session
--- config
session_compression_threshold 0;
--- request eval
["GET /v?v=" . noise(8000), "GET /v?v=" . noise(9000), ("GET /status") x 6]
--- capture eval
my @chunks = map { qr/^Set-Cookie: ($_=[^;]+)/m } qw(session session2 session3);
[{ one => $chunks[0], two => $chunks[1], three => $chunks[2] }, { other => $chunks[1] }, (undef) x 6]
--- more_headers eval
["", "", 'Cookie: $CAPTURED_one', 'Cookie: $CAPTURED_one; $CAPTURED_three', 'Cookie: $CAPTURED_two; $CAPTURED_three',
    'Cookie: $CAPTURED_one; $CAPTURED_other; $CAPTURED_three', 'Cookie: $CAPTURED_one; $CAPTURED_two; $CAPTURED_three.x',
    'Cookie: $CAPTURED_one; $CAPTURED_three; session2=' . 'A' x 4087]
--- error_code eval
[204, 204, (200) x 6]
--- response_body_like eval
["", "", qr/^bad-(format|signature)$/, qr/^bad-(format|signature)$/, qr/^missing$/, (qr/^bad-(format|signature)$/) x 3]

=== K1: every length around the limits of one, two and nine cookies
--- cookie_jar
--- config
session_compression_threshold 0;
--- request eval
[map { ("GET /v?v=" . noise($_), "GET /read") } 2955 .. 2970, 6020 .. 6030, 27000]
--- error_code eval
[(204, 200) x 28]
--- check eval
[map {
    my $length = $_;
    (sub { !too_long($_[0]) or "$length: too long" }, sub { $_[0]{body} eq 'open ' . noise($length) or $length })
} 2955 .. 2970, 6020 .. 6030, 27000]

=== K1: with a prefix and a long name
--- cookie_jar
--- config
session_compression_threshold 0;
session_cookie_prefix __Host-;
session_cookie_name a-name-that-is-quite-long;
--- request eval
["GET /v?v=" . noise(8000), "GET /read", "GET /destroy"]
--- error_code eval
[204, 200, 204]
--- check eval
my @names = map { "__Host-a-name-that-is-quite-long$_" } '', 2, 3;
[sub { names($_[0]) eq "@names" && !too_long($_[0]) or names($_[0]) }, sub { $_[0]{body} eq 'open ' . noise(8000) or 'read' },
    sub { is_cleared($_[0], @names) }]

=== K3: too much for the cookies
--- cookie_jar
--- config
session_compression_threshold 0;
session_map_header X-V v;
location = /up/v { session_set v $arg_v; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT/seen; }
--- request eval
["GET /v?v=old", "GET /v?v=" . noise(40000), "GET /read", "GET /up/v?v=" . noise(40000), "GET /read", "GET /v?v=new", "GET /read"]
--- error_code eval
[204, 204, 200, 200, 200, 204, 200]
--- response_headers eval
["", "! Set-Cookie\n! Cache-Control", "", "! Set-Cookie\n! Cache-Control", "", "", ""]
--- response_body_like eval
["", "", qr/\Aopen old\z/, "", qr/\Aopen old\z/, "", qr/\Aopen new\z/]
--- error_log eval
qr/\[error\].*session: the session is not saved: /

=== K3: too much with no session before
--- config
session_compression_threshold 0;
--- request eval
["GET /v?v=" . noise(40000), "GET /v?v=" . noise(40000)]
--- more_headers eval
["", "Cookie: session=made-up"]
--- error_code eval
[204, 204]
--- response_headers eval
["! Set-Cookie", ""]
--- error_log eval
qr/\[error\].*session: the session is not saved: /

=== K5: one letter many times is one cookie, without compression seven
--- cookie_jar
--- request eval
["GET /v?v=" . 'x' x 20000, "GET /read", "GET /plain/v?v=" . 'y' x 20000, "GET /read"]
--- error_code eval
[204, 200, 204, 200]
--- check eval
[sub { names($_[0]) eq 'session' or names($_[0]) }, sub { $_[0]{body} eq 'open ' . 'x' x 20000 or 'read' },
    sub { names($_[0]) eq 'session session2 session3 session4 session5 session6 session7' && !too_long($_[0]) or names($_[0]) },
    sub { $_[0]{body} eq 'open ' . 'y' x 20000 or 'read' }]

=== K5: compression from the threshold on, and only where it helps
--- cookie_jar
--- config
session_compression_threshold 500;
location = /low { session_compression_threshold 100k; session_set v $arg_v; return 204; }
--- request eval
["GET /v?v=" . 'x' x 400, "GET /v?v=" . 'x' x 600, "GET /read", "GET /low?v=" . 'y' x 600, "GET /read"]
--- error_code eval
[204, 204, 200, 204, 200]
--- check eval
sub size { length $_[0]->set_cookie('session')->{value} }
[sub { size(@_) > 600 or 'compressed' }, sub { size(@_) < 300 or 'not compressed' }, sub { $_[0]{body} eq 'open ' . 'x' x 600 or 'read' },
    sub { size(@_) > 800 or 'compressed' }, sub { $_[0]{body} eq 'open ' . 'y' x 600 or 'read' }]

=== K6: destroy expires every cookie of the session
--- cookie_jar
--- config
session_compression_threshold 0;
--- request eval
["GET /v?v=" . noise(8000), "GET /destroy", "GET /read"]
--- error_code eval
[204, 204, 200]
--- check eval
[undef, sub { names($_[0]) eq 'session session2 session3' ? is_cleared($_[0], qw(session session2 session3)) : names($_[0]) },
    sub { $_[0]{body} eq 'missing ' or $_[0]{body} }]

=== a session that became shorter leaves no cookies behind
--- cookie_jar
--- config
session_compression_threshold 0;
--- request eval
["GET /v?v=" . noise(12000), "GET /v?v=" . noise(6000), "GET /read", "GET /v?v=short", "GET /read"]
--- error_code eval
[204, 204, 200, 204, 200]
--- check eval
sub kept_and_gone {
    my ($res) = @_;
    my @kept = map { $_->{name} } grep { length $_->{value} } $res->set_cookies;
    my @gone = map { $_->{name} } grep { !length $_->{value} } $res->set_cookies;
    return join ' ', (sort @kept), '-', sort @gone;
}
[sub { kept_and_gone(@_) eq 'session session2 session3 session4 -' or kept_and_gone(@_) },
    sub { kept_and_gone(@_) eq 'session session2 - session3 session4' or kept_and_gone(@_) },
    sub { $_[0]{body} eq 'open ' . noise(6000) or 'read' },
    sub { kept_and_gone(@_) eq 'session - session2' or kept_and_gone(@_) },
    sub { $_[0]{body} eq 'open short' or 'read' }]

=== a touch of a long session is read again
--- cookie_jar
--- config
session_compression_threshold 0;
session_touch_threshold 0;
--- request eval
["GET /v?v=" . noise(8000), "GET /read", "GET /read"]
--- sleep_before eval
[0, 1.1, 0]
--- error_code eval
[204, 200, 200]
--- check eval
[undef, sub { names($_[0]) =~ /^session\b/ && !too_long($_[0]) && $_[0]{body} eq 'open ' . noise(8000) or names($_[0]) },
    sub { $_[0]{body} eq 'open ' . noise(8000) or 'read' }]

=== all cookies of a long session are hidden, no other
--- cookie_jar
--- config
session_compression_threshold 0;
session_hide on;
--- request eval
["GET /v?v=" . noise(8000), "GET /up", "GET /up"]
--- more_headers eval
["", "Cookie: a=1; session2x=2; xsession=3", ""]
--- error_code eval
[204, 200, 200]
--- upstream_json eval
[undef, sub { ($_[0]->header('Cookie') // '') eq 'a=1; session2x=2; xsession=3' or $_[0]->header('Cookie') },
    sub { !defined $_[0]->header('Cookie') or $_[0]->header('Cookie') }]

=== a long session is remembered in as many cookies
--- cookie_jar
--- config
session_compression_threshold 0;
session_remember on;
session_remember_safety None;
location = /forgotten { session destroy; return 204; }
--- request eval
["GET /v?v=" . noise(8000), "GET /read", "GET /read", "GET /forgotten"]
--- jar_edit eval
sub { my ($cookies, $i) = @_; delete @$cookies{qw(session session2 session3)} if $i == 1 }
--- error_code eval
[204, 200, 200, 204]
--- check eval
my $all = 'remember remember2 remember3 session session2 session3';
my $names = sub { join ' ', sort map { $_->{name} } $_[0]->set_cookies };
[sub { $names->(@_) eq $all && !too_long($_[0]) or $names->(@_) },
    sub { $names->(@_) eq $all && $_[0]{body} eq 'remembered ' . noise(8000) or $names->(@_) },
    sub { $_[0]{body} eq 'open ' . noise(8000) or 'read' },
    sub { $names->(@_) eq $all ? is_cleared($_[0], split ' ', $all) : $names->(@_) }]

=== a bomb is not unpacked beyond session_max_data
--- config
location = /small { session_max_data 1k; return 200 "$session_status"; }
--- request eval
["GET /v?v=" . 'x' x 60000, "GET /small", "GET /status"]
--- capture eval
[{ tok => qr/^Set-Cookie: (session=[^;]+)/m }, undef, undef]
--- more_headers eval
["", ('Cookie: $CAPTURED_tok') x 2]
--- error_code eval
[204, 200, 200]
--- response_body eval
["", "bad-format", "open"]

=== a long session over HTTP/2
--- http2
--- cookie_jar
--- config
session_compression_threshold 0;
--- request eval
["GET /v?v=" . noise(12000), "GET /read"]
--- error_code eval
[204, 200]
--- check eval
[sub { names($_[0]) eq 'session session2 session3 session4' && !too_long($_[0]) or names($_[0]) }, sub { $_[0]{body} eq 'open ' . noise(12000) or 'read' }]
