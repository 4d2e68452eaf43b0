# The format of tokens and records against t/codec.py, which shares no line with the module: it reads what the module sets
# and makes what the module accepts, or has to refuse. What nginx cannot do yet goes through the crate's own codec.
use lib 't/lib';
use SessT 'no_plan';

use IPC::Open2 qw(open2);
use JSON::PP ();
use MIME::Base64 qw(encode_base64url);

rig 'B2';

our $secret = 'RaJKp8UQW1';
our $agent = 'Browser/1.0 (X11; "Linux")';
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# --- the two codecs ---

sub talk_to { my ($from, $to); my $pid = open2($from, $to, @_); return { from => $from, to => $to, pid => $pid } }

sub ask {
    my ($peer, %question) = @_;
    print { $peer->{to} } $json->encode(\%question), "\n";
    $peer->{to}->flush;
    my $line = readline $peer->{from};
    die "a codec has ended: " . $json->encode(\%question) unless defined $line;
    return $json->decode($line);
}

sub hang_up { my ($peer) = @_; close $peer->{to}; waitpid $peer->{pid}, 0 }

my ($interpreter) = grep { system("$_ -c 'import cryptography' 2>/dev/null") == 0 } qw(python3 /usr/bin/python3);
die "python3 with the package cryptography is missing (scripts/setup test)\n" unless $interpreter;
our $python = talk_to($interpreter, 't/codec.py');

# SESSION_CODEC, or else the example of the crate, built where scripts/test builds.
sub crate_codec {
    return $ENV{SESSION_CODEC} if $ENV{SESSION_CODEC};
    return if system 'cargo --version >/dev/null 2>&1';
    $ENV{CARGO_TARGET_DIR} //= 'target/system';
    $ENV{CARGO_PROFILE_DEV_OPT_LEVEL} //= 1;
    $ENV{CARGO_PROFILE_DEV_DEBUG} //= 'line-tables-only';
    die "the codec of crates/session does not build\n" if system 'cargo build --quiet --package session --example codec >&2';
    return "$ENV{CARGO_TARGET_DIR}/debug/examples/codec";
}

# --- reading what the module sets ---

# The Cookie line a browser would send after this response.
sub cookie_line { my ($res) = @_; join '; ', map { "$_->{name}=$_->{value}" } grep { length $_->{value} } $res->set_cookies }

# A check: codec.py reads the cookies of the response, and what it finds has these fields (texts are compared, subs asked).
sub reads {
    my ($question, %wanted) = @_;
    return sub {
        my ($res) = @_;
        my $got = ask($python, op => 'decode', secret => $secret, now => time, cookie => cookie_line($res), %$question);
        return "$got->{status}: $got->{error}" if !$got->{ok};
        my $age = time - $got->{header}{created};
        # time(2) may be a few milliseconds behind the clock that nginx reads.
        return "created $age s ago" if !$question->{old} && ($age < -1 || $age > 30);
        for my $field (sort keys %wanted) {
            my $value = exists $got->{$field} ? $got->{$field} : $got->{header}{$field};
            my $said = ref $wanted{$field} eq 'CODE' ? $wanted{$field}->($value) : same($value, $wanted{$field});
            return "$field: " . (ref $value ? $json->encode($value) : $value // 'null') . ($said ? ", $said" : '') unless $said && $said eq '1';
        }
        return 1;
    };
}
sub same { my ($got, $wanted) = @_; $json->encode($got) eq $json->encode($wanted) || 0 }

# A check: codec.py does not read them, and says why.
sub cannot_read {
    my ($question, $status) = @_;
    return sub {
        my $got = ask($python, op => 'decode', secret => $secret, now => time, cookie => cookie_line($_[0]), %$question);
        return !$got->{ok} && $got->{status} eq $status || 'it reads them';
    };
}

# --- making what the module reads ---

our $next_id = 1;
our $born = time - 3000;
sub made {
    my (%question) = @_;
    my $answer = ask($python, op => 'encode', secret => $secret, now => time, id => sprintf('%064x', $next_id++), %question);
    die "$answer->{status}: $answer->{error}\n" unless $answer->{ok};
    return $answer;
}

# For jar_edit: request $i has just the cookies that codec.py makes of the $i-th list of fields.
sub cookies_of {
    my @questions = @_;
    return sub {
        my ($cookies, $i) = @_;
        my $question = ref $questions[$i] eq 'CODE' ? $questions[$i]->() : $questions[$i];
        %$cookies = $question ? map { $_->{name} => $_->{value} } @{ made(%$question)->{cookies} } : ();
    };
}

# A check: status, subject and data as the module has them.
sub sees {
    my ($status, $subject, $data) = @_;
    return sub {
        my ($up) = @_;
        my $got = join ' | ', map { $_ // '-' } map { scalar $up->header($_) } qw(X-Cause Session-Subject X-Json);
        my $wanted = join ' | ', map { $_ // '-' } $status, $subject, $data;
        return $got eq $wanted || substr("$got, not $wanted", 0, 400);
    };
}

# Behind this the module says what it has.
our $see = 'session_request_headers subject; proxy_set_header X-Cause "$session_status"; proxy_set_header X-Json "$session_json"; '
    . 'proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;';
our $noise = join '', map { substr 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', (($_ * 2654435761) >> 7) % 64, 1 } 1 .. 20000;

run_tests();

# --- records, which nginx cannot keep yet: the crate against codec.py ---

my $codec = crate_codec();
SKIP: {
    skip 'neither SESSION_CODEC nor cargo', 1 unless $codec;
    our $crate = talk_to($codec);
    my %both = (secret => $secret, now => 1_700_000_000, place => 'server');
    my %plain = (%both, id => 'ab' x 32, data => { user => 'ann', '@at' => 1 }, subject => "J\xf6rg");
    my %cases = (
        plain      => { %plain },
        info       => { %plain, info => { seen => 'now', n => 5 } },
        hashed     => { %plain, hash_storage_key => JSON::PP::true },
        large      => { %plain, data => { v => 'v' x 50_000 } },
        audiences  => { %plain, audience => 'b', info => { i => 1 }, others => [{ audience => 'a', subject => 's', data => { x => 1 }, info => { j => 2 } }] },
        bound      => { %plain, bind => [qw(ip scheme user_agent)], address => '10.0.0.1', scheme => 'https', user_agent => $agent },
        renewed    => { %plain, created => 1_699_999_000, times => { rolling => 3600, absolute => 86400 } },
        nearly     => { %plain, created => 1_699_913_700, times => { rolling => 3600, absolute => 86400 } },
        endless    => { %plain, times => { rolling => 0, absolute => 0 } },
        touched    => { %plain, touched => 1_700_000_100 },
        remembered => { %plain, kind => 'remember', cookie_name => 'remember', safety => 'Low', times => { remember_rolling => 604800, remember_absolute => 2592000 } },
        empty      => { %both, id => '01' x 32, data => {} },
    );
    for my $name (sort keys %cases) {
        my %case = %{ $cases{$name} };
        my @encoders = ([crate => $crate, $python], ['codec.py' => $python, $crate]);
        my (@lives, @keys);
        for my $encoder (@encoders) {
            my ($who, $from, $to) = @$encoder;
            my $made = ask($from, op => 'encode', %case);
            ok $made->{ok}, "$name: $who makes it" or diag $made->{error};
            my ($cookie, @more) = @{ $made->{cookies} };
            ok !@more && length $cookie->{value} == 110, "$name: the cookie of $who is the header alone";
            push @lives, $made->{ttl};
            push @keys, $made->{key};
            my %question = %case;
            delete @question{qw(id data info others subject created touched)};
            $question{now} = $case{touched} if $case{touched};
            my $read = ask($to, op => 'decode', %question, token => $made->{token}, record => $made->{record});
            ok $read->{ok}, "$name: of $who is read" or diag $read->{error};
            is $json->encode([ @$read{qw(data subject)}, $read->{info} || {} ]), $json->encode([ @case{qw(data subject)}, $case{info} || {} ]), "$name: of $who has the same content";
            is_deeply [ @{ $read->{header} }{qw(created rolling_offset idling_offset)} ],
                [ $case{created} // $case{now}, $case{now} - ($case{created} // $case{now}), ($case{touched} // $case{now}) - $case{now} ], "$name: of $who has the same times";
            my $wrong = $json->decode($made->{record});
            $wrong->[0] =~ s/\A(.)/$1 eq 'A' ? 'B' : 'A'/e;
            $read = ask($to, op => 'decode', %question, token => $made->{token}, record => $json->encode($wrong));
            ok !$read->{ok}, "$name: of $who with a changed record is refused";
        }
        is $lives[0], $lives[1], "$name: both give the record the same life";
        is $keys[0], $keys[1], "$name: both name the record alike";
    }

    my $successor = ask($python, op => 'encode', %plain, successor => 'x' x 110);
    ok ask($crate, op => 'decode', %both, token => $successor->{token}, record => $successor->{record})->{ok}, 'a third element of the record is taken';
    for my $hash (JSON::PP::false, JSON::PP::true) {
        my $made = ask($crate, op => 'encode', %plain, audience => 'app/1', store_metadata => JSON::PP::true, hash_subject => $hash,
            others => [{ audience => 'other', subject => 'two' }]);
        my @wanted = map { my $m = ask($python, op => 'record', audience => $_->[0], subject => $_->[1], hash_subject => $hash); { audience => $m->{audience}, subject => $m->{subject} } }
            ['other', 'two'], ['app/1', "J\xf6rg"];
        is_deeply [ sort { $a->{audience} cmp $b->{audience} } @{ $made->{metadata} } ], [ sort { $a->{audience} cmp $b->{audience} } @wanted ],
            'names of collections, subjects ' . ($hash ? 'hashed' : 'encoded') . ', with two audiences too';
    }
    my $cookie = ask($python, op => 'encode', %plain, place => 'cookie');
    ok !ask($crate, op => 'decode', %both, token => $cookie->{token}, record => '["AAAA"]')->{ok}, 'T14: a token with its content in the cookie is refused where records are kept';
    my $server = ask($python, op => 'encode', %plain);
    ok !ask($crate, op => 'decode', %both, place => 'cookie', token => $server->{token})->{ok}, 'T14: and the other way round';
    for my $broken ('', 'x', '[]', '{}', 'null', '[1]', '["A"]', '["!"]', '["AAAA","!"]', '["AAAA","bm8"]', '[' x 100_000) {
        my $read = ask($crate, op => 'decode', %both, token => $server->{token}, record => $broken);
        ok !$read->{ok}, 'O3: a broken record is refused: ' . substr $broken, 0, 20;
    }
    hang_up($crate);
}
hang_up($python);

__DATA__

=== out: a plain session
--- request
GET /set?u=ann
--- check eval
reads({}, json => '[[{"user":"ann"},"default"]]', flags => 0, rolling_offset => 0, idling_offset => 0, data_size => 38, key_index => 0, subject => undef)

=== out: every type, a subject, an audience, UTF-8, keys with @
--- config
location /put {
    session_audience "my app";
    session_subject $http_x_s;
    session_set int -9223372036854775808 type=int;
    session_set big 18446744073709551615 type=int;
    session_set float 0.5 type=float;
    session_set yes 1 type=bool;
    session_set nil null type=json;
    session_set o.list '[1, "a/b", {}]' type=json;
    session_set o.name $http_x_s;
    session_set empty "";
    session_set @at x;
    return 204;
}
--- request
GET /put
--- more_headers eval
"X-S: J\xc3\xb6rg \xf0\x9f\x98\x80"
--- error_code: 204
--- check eval
reads({ audience => 'my app' }, flags => 0, subject => "J\xf6rg \x{1f600}", json => sub {
    my ($text) = @_;
    for my $part ('"int":-9223372036854775808', '"big":18446744073709551615', '"float":0.5', '"yes":true', '"nil":null', '"list":[1,"a/b",{}]', '"empty":""', '"$@at":"x"', qq("name":"J\xf6rg \x{1f600}"})) {
        return "no $part" if index($text, $part) < 0;
    }
    return $text =~ /\A\[\[\{.*\},"my app","J.*"\]\]\z/ ? 1 : 'another form';
})

=== out: info stands beside the data, with an @
--- config
location /info { session_info_set seen $arg_i; return 204; }
--- cookie_jar
--- request eval
["GET /set?u=ann", "GET /info?i=now"]
--- error_code eval
[200, 204]
--- check eval
[undef, reads({}, data => { user => 'ann' }, info => { seen => 'now' }, flags => 0)]

=== out: deflated above the threshold, if that is smaller; not with 0
--- config
location /put  { session_set v $http_x_v; return 204; }
location /none { session_compression_threshold 0; session_set v $http_x_v; return 204; }
location /low  { session_compression_threshold 10; session_set v $http_x_v; return 204; }
--- request eval
["GET /put", "GET /put", "GET /none", "GET /low", "GET /low"]
--- more_headers eval
['X-V: ' . 'v' x 2000, 'X-V: ' . 'v' x 500, 'X-V: ' . 'v' x 2000, 'X-V: ' . 'v' x 500, 'X-V: q']
--- error_code eval
[(204) x 5]
--- check eval
my $is = sub { my ($flags, $length) = @_; reads({}, flags => $flags, data => { v => 'v' x $length }) };
[$is->(16, 2000), $is->(0, 500), $is->(0, 2000), $is->(16, 500), reads({}, flags => 0, data => { v => 'q' })]

=== out: in several cookies, cut where the format says; each at most 4096 with its name
--- config
session_compression_threshold 0;
location /put { session_cookie_name a-name; session_set v $http_x_v; return 204; }
--- request eval
["GET /put", "GET /put", "GET /put"]
--- more_headers eval
[map { 'X-V: ' . substr $::noise, 0, $_ } 5000, 20000, 2950]
--- error_code eval
[204, 204, 204]
--- check eval
sub {
    my ($res, $i) = @_;
    my @length = (5000, 20000, 2950);
    my $read = reads({ cookie_name => 'a-name' }, data => { v => substr $::noise, 0, $length[$i] })->($res);
    return $read if $read ne '1';
    my @cookies = $res->set_cookies;
    my $token = join '', map { $_->{value} } @cookies;
    my $wanted = ask($::python, op => 'decode', secret => $::secret, now => time, cookie_name => 'a-name', cookie => cookie_line($res))->{header}{data_size} + 110;
    return 'length ' . length $token if length $token != $wanted;
    for my $n (1 .. @cookies) {
        my $name = 'a-name' . ($n > 1 ? $n : '');
        return "cookie $n is $cookies[$n - 1]{name}" if $cookies[$n - 1]{name} ne $name;
        my $due = $n == 1 ? 4096 - 6 - 1 : 4096 - 6 - 2;
        my $length = length $cookies[$n - 1]{value};
        return "$name has $length" if $n < @cookies ? $length != $due : $length > $due;
    }
    return 1;
}

=== out: bound to each value, to all, and to none that is there
--- config eval
join '', map { my $name = join '', @$_; "location /$name { session_bind @$_; session_set user ann; return 204; }\n" } ['ip'], ['scheme'], ['user_agent'], [qw(user_agent scheme ip)]
--- tls eval
[0, 1, 0, 1, 0]
--- request eval
["GET /ip", "GET /scheme", "GET /user_agent", "GET /user_agentschemeip", "GET /user_agent"]
--- more_headers eval
[("User-Agent: $::agent") x 4, '']
--- error_code eval
[(204) x 5]
--- check eval
my %values = (address => '127.0.0.1', scheme => 'https', user_agent => $::agent);
[
    reads({ bind => ['ip'], %values }, flags => 0x100), reads({ bind => ['scheme'], %values }, flags => 0x200), reads({ bind => ['user_agent'], %values }, flags => 0x400),
    reads({ bind => [qw(ip scheme user_agent)], %values }, flags => 0x700), reads({ bind => ['user_agent'], user_agent => '' }, flags => 0x400),
]

=== out: with another value the same tokens are not read; values of one's own are our own flag, which the format refuses
--- config
location /ua  { session_bind user_agent; session_set user ann; return 204; }
location /own { session_bind $arg_a; session_set user ann; return 204; }
--- request eval
["GET /ua", "GET /own?a=1"]
--- more_headers eval
["User-Agent: $::agent", '']
--- error_code eval
[204, 204]
--- check eval
[cannot_read({ user_agent => 'other' }, 'bad-signature'), cannot_read({}, 'bad-signature')]

=== out: the remember cookie at each safety
--- config eval
join '', map { my $path = lc tr/ //dr; "location /$path { session_remember on; session_remember_safety '$_'; session_set user ann; session_subject s; return 204; }\n" } 'None', 'Low', 'Medium', 'High', 'Very High'
--- timeout: 20
--- request eval
[map { "GET /$_" } qw(none low medium high veryhigh)]
--- error_code eval
[(204) x 5]
--- check eval
[map { my $safety = $_; sub {
    my ($res) = @_;
    my $read = reads({ kind => 'remember', cookie_name => 'remember', safety => $safety }, data => { user => 'ann' }, subject => 's', flags => 0, idling_offset => 0)->($res);
    return $read if $read ne '1';
    $read = reads({}, data => { user => 'ann' }, subject => 's')->($res);
    return $read if $read ne '1';
    my $other = $safety eq 'Low' ? 'None' : 'Low';
    return cannot_read({ kind => 'remember', cookie_name => 'remember', safety => $other }, 'bad-signature')->($res);
} } 'None', 'Low', 'Medium', 'High', 'Very High']

=== out: forget is a flag, and stays
--- config
session_remember $arg_r;
session_remember_safety None;
--- cookie_jar
--- request eval
["GET /set?u=ann&r=off", "GET /set?u=bob", "GET /set?u=cyd&r=on"]
--- check eval
[reads({}, flags => 2), reads({}, flags => 2, data => { user => 'bob' }), reads({}, flags => 0, data => { user => 'cyd' })]

=== out: a key that is given as such, and a prefix in the name
--- config
location /put { session_ikm 0123456789abcdef0123456789abcdef; session_cookie_prefix __Host-; session_set user ann; return 204; }
--- request
GET /put
--- error_code: 204
--- check eval
reads({ ikm => unpack('H*', '0123456789abcdef0123456789abcdef'), cookie_name => '__Host-session' }, data => { user => 'ann' })

=== out: touched and renewed, with the times in the header
--- config
location /touch { session_touch_threshold 0; session_renew_after off; return 204; }
location /save  { session_renew_after off; session_set user bob; return 204; }
--- cookie_jar eval
['a', 'a', 'a']
--- sleep_before eval
[0, 1.1, 0]
--- request eval
["GET /set?u=ann", "GET /touch", "GET /save"]
--- error_code eval
[200, 204, 204]
--- check eval
my $some = sub { $_[0] =~ /\A[12]\z/ ? 1 : 0 };
[undef, reads({}, rolling_offset => 0, idling_offset => $some), reads({}, rolling_offset => $some, idling_offset => 0, data => { user => 'bob' })]

=== out: several audiences
--- config
location /a { session_audience a; session_subject s1; session_set x 1; return 204; }
location /b { session_audience b; session_subject s2; session_set y 2; return 204; }
--- cookie_jar
--- request eval
["GET /a", "GET /b"]
--- error_code eval
[204, 204]
--- check eval
[undef, reads({ audience => 'a' }, json => '[[{"x":"1"},"a","s1"],[{"y":"2"},"b","s2"]]')]

=== in: plain, deflated in every way, of one cookie and of nine, empty, with spaces and escapes
--- config eval
"location /see { session_compression_threshold 0; session_request_headers subject; proxy_set_header X-Cause \"\$session_status\"; proxy_set_header X-Json '\$session_json'; proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT; }"
--- cookie_jar
--- jar_edit eval
my %user = (data => { user => 'ann' }, subject => 's');
cookies_of({ %user }, (map { { %user, deflate => $_ } } qw(yes stored best huffman)), { data => { v => substr $::noise, 0, 4000 }, compression_threshold => 0 },
    { data => { v => substr $::noise, 0, 20000 }, compression_threshold => 0 }, { data => {} }, { data => { url => 'a/b' }, escape_slashes => JSON::PP::true },
    { raw => encode_base64url(qq([ [ { "a" : 1.50 , "u" : "\\u00e4\\ud83d\\ude00" } , "default" , "s" ] ]\n)) }, { data => { '@at' => 1 }, info => { i => 'x' } })
--- request eval
[("GET /see") x 11]
--- upstream_json eval
[(sees('open', 's', '{"user":"ann"}')) x 5, sees('open', undef, '{"v":"' . substr($::noise, 0, 4000) . '"}'), sees('open', undef, '{"v":"' . substr($::noise, 0, 20000) . '"}'),
 sees('open', undef, '{}'), sees('open', undef, '{"url":"a/b"}'), sees('open', 's', qq({"a":1.5,"u":"\xc3\xa4\xf0\x9f\x98\x80"})), sees('open', undef, '{"@at":1}')]

=== in: parts in any order among others, with a stray one; one part missing, one changed
--- config eval
"add_header X-Cause \$session_status always; location /see { $::see }"
--- cookie_jar
--- request eval
["GET /see", "GET /see", "GET /see"]
--- jar_edit eval
sub {
    my ($cookies, $i) = @_;
    %$cookies = map { $_->{name} => $_->{value} } @{ made(data => { v => substr $::noise, 0, 9000 }, compression_threshold => 0)->{cookies} };
    @$cookies{qw(session9 session1 a)} = ('stray', 'other', 1);
    delete $cookies->{session3} if $i == 1;
    $cookies->{session2} =~ s/\A(.)/$1 eq 'A' ? 'B' : 'A'/e if $i == 2;
}
--- upstream_json eval
[sees('open', undef, '{"v":"' . substr($::noise, 0, 9000) . '"}'), sees('bad-format'), sub { $_[0]->header('X-Cause') =~ /\Abad-/ && !$_[0]->header('X-Json') or 'accepted' }]

=== in: bound ones are accepted where the values are right, also where nothing need be bound; unbound ones are refused where something is
--- config eval
join '', map { my $path = join '', @$_; "location /$path { session_bind @$_; $::see }\n" } ['off'], ['ip'], ['scheme'], ['user_agent'], [qw(ip scheme user_agent)]
--- cookie_jar
--- jar_edit eval
my %right = (data => { user => 'ann' }, address => '127.0.0.1', scheme => 'http', user_agent => $::agent);
my @all = qw(ip scheme user_agent);
cookies_of((map { { %right, bind => [$_] } } @all), { %right, bind => [@all] }, (map { { %right, bind => [$_] } } @all), { %right },
    { %right, bind => ['ip'], address => '127.0.0.2' }, { %right, bind => ['scheme'], scheme => 'https' }, { %right, bind => ['user_agent'], user_agent => 'other' },
    { %right, bind => ['ip'] }, { %right, bind => ['ip'], address => '127.0.0.2' }, { %right, bind => [@all] })
--- request eval
[map { "GET /$_" } qw(ip scheme user_agent ipschemeuser_agent off off off ip ip scheme user_agent ipschemeuser_agent off ip)]
--- more_headers eval
[("User-Agent: $::agent") x 14]
--- upstream_json eval
my ($good, $bad) = (sees('open', undef, '{"user":"ann"}'), sees('bad-signature'));
[($good) x 7, ($bad) x 6, $good]

=== in: the remember cookie at each safety makes a session; other safeties refuse it
--- config eval
join '', map { my $path = lc tr/ //dr; "location /$path { session_remember on; session_remember_safety '$_'; $::see }\n" } 'None', 'Low', 'Medium', 'High', 'Very High'
--- timeout: 20
--- cookie_jar
--- jar_edit eval
my %remember = (kind => 'remember', cookie_name => 'remember', data => { user => 'ann' }, subject => 's', now => time - 1000, created => time - 5000);
cookies_of((map { { %remember, safety => $_ } } 'None', 'Low', 'Medium', 'High', 'Very High'), { %remember, safety => 'Low' }, { %remember, safety => 'None' }, { %remember, safety => 'Medium', idling => 1 },
    { %remember, safety => 'Low', now => time - 8 * 86400, created => time - 9 * 86400 }, { %remember, safety => 'Low', now => time, created => time - 31 * 86400 }, { %remember, safety => 'Low', flags => 1 })
--- request eval
[map { "GET /$_" } qw(none low medium high veryhigh medium low medium low low low)]
--- upstream_json eval
my ($good, $bad) = (sees('remembered', 's', '{"user":"ann"}'), sees('missing'));
[($good) x 5, ($bad) x 6]
--- check eval
[(sub {
    my ($res) = @_;
    my $cookie = $res->set_cookie('session') or return 'no session cookie';
    my $got = ask($::python, op => 'decode', secret => $::secret, now => time, token => $cookie->{value});
    return $got->{error} if !$got->{ok};
    return $got->{data}{user} eq 'ann' && $got->{subject} eq 's' || 'another content';
}) x 5, (sub { !$_[0]->set_cookie('session') or 'a session cookie' }) x 6]

=== in: keys: the second fallback, an ikm, a foreign key
--- config eval
"location /fall { session_secret new; session_secret_fallbacks one two; $::see } location /ikm { session_ikm 0123456789abcdef0123456789abcdef; $::see } location /new { session_secret new; $::see }"
--- cookie_jar
--- jar_edit eval
my %user = (data => { user => 'ann' });
cookies_of({ %user, secret => 'two' }, { %user, ikm => unpack('H*', '0123456789abcdef0123456789abcdef') }, { %user, secret => 'two' })
--- request eval
["GET /fall", "GET /ikm", "GET /new"]
--- upstream_json eval
[(sees('open', undef, '{"user":"ann"}')) x 2, sees('bad-signature')]

=== in: each clock, on both sides of its limit
--- config eval
"session_idling_timeout 100; session_rolling_timeout 200; session_absolute_timeout 300; session open; location /see { $::see }"
--- cookie_jar
--- jar_edit eval
my $age = sub { my ($created, $saved, $used) = @_; sub { my $now = time; return { data => {}, created => $now - $created, now => $now - $saved, touched => $now - $used } } };
cookies_of($age->(295, 190, 90), $age->(295, 190, 104), $age->(295, 204, 90), $age->(304, 190, 90), $age->(95, 95, 95), $age->(104, 104, 104))
--- request eval
[("GET /see") x 6]
--- upstream_json eval
[sees('open', undef, '{}'), sees('expired-idling'), sees('expired-rolling'), sees('expired-absolute'), sees('open', undef, '{}'), sees('expired-idling')]

=== in: audiences: each its own, a foreign one is no-audience and stays
--- config eval
"location /a { session_audience a; $::see } location /b { session_audience b; $::see } location /c { session_audience c; session_set z 1; $::see }"
--- cookie_jar
--- jar_edit eval
my $two = { audience => 'b', subject => 's2', data => { y => 2 }, others => [{ audience => 'a', subject => 's1', data => { x => 1 } }] };
cookies_of($two, $two, $two)
--- request eval
["GET /a", "GET /b", "GET /c"]
--- upstream_json eval
[sees('open', 's1', '{"x":1}'), sees('open', 's2', '{"y":2}'), undef]
--- check eval
[undef, undef, reads({ audience => 'c' }, json => '[[{"x":1},"a","s1"],[{"y":2},"b","s2"],[{"z":"1"},"c"]]')]

=== in: creation time, subject and audiences survive a save
--- config
location /save { session_set user bob; return 204; }
--- cookie_jar
--- jar_edit eval
cookies_of({ data => { user => 'ann' }, subject => 's', created => $::born, now => time - 100 })
--- request
GET /save
--- error_code: 204
--- check eval
reads({ old => 1 }, created => $::born, rolling_offset => sub { abs(time - $::born - $_[0]) <= 3 ? 1 : 0 }, idling_offset => 0, json => '[[{"user":"bob"},"default","s"]]')

=== in: well sealed, and yet no session: T14, types, sizes, what is not JSON, what is not a session
--- config eval
"location /see { $::see }"
--- cookie_jar
--- jar_edit eval
my $raw = sub { { raw => encode_base64url($_[0]), @_[1 .. $#_] } };
cookies_of({ data => {}, flags => 1 }, { data => {}, type => 2 }, { data => {}, type => 0 }, { data => { a => 1 }, data_size => 10 }, { data => { a => 1 }, data_size => 9000 },
    map { $raw->($_) } '', 'x', '[]', '{}', 'null', '[[]]', '[[{}]]', '[[[],"default"]]', '[[{},1]]', '[["x","default"]]', '[[{},"default",5]]', "\xff\xfe", '[[{},"default"]]x', '[' x 10000)
--- request eval
[("GET /see") x 19]
--- upstream_json eval
my $cause = sub { my ($wanted) = @_; sub { $_[0]->header('X-Cause') =~ /\A(?:$wanted)\z/ && ($_[0]->header('X-Json') // '') =~ /\A(?:\{\})?\z/ or $_[0]->header('X-Cause') } };
my ($bad, $without_name) = ($cause->('bad-format|bad-signature'), $cause->('bad-format|no-audience'));
[($bad) x 7, $without_name, ($bad) x 3, $without_name, $cause->('bad-format|open'), $without_name, $bad, $cause->('bad-format|open'), ($bad) x 3]

=== in: what unpacks to very much, what is nested very deep, what is not deflated at all: bounded work
--- config eval
"location /see { $::see }"
--- cookie_jar
--- jar_edit eval
cookies_of({ raw => encode_base64url('[[{"v":"' . 'v' x 8_000_000 . '"},"default"]]'), deflate => 'best' }, { raw => encode_base64url('[[{"v":' . '[' x 200_000 . ']' x 200_000 . '},"default"]]'), deflate => 'yes' },
    { raw => encode_base64url('[[{"v":' . '{"a":' x 50_000 . '1' . '}' x 50_000 . '},"default"]]'), deflate => 'yes' }, { raw => encode_base64url('[[{},"default"]]'), deflate => 'no', flags => 16 }, { data => {} })
--- request eval
[("GET /see") x 5]
--- upstream_json eval
[(sees('bad-format')) x 4, sees('open', undef, '{}')]
--- check eval
sub { $_[0]{seconds} < ($ENV{TEST_NGINX_USE_VALGRIND} ? 30 : 1) or "took $_[0]{seconds} s" }

=== in and out: what codec.py makes, the module changes, codec.py reads
--- config
location /change { session_set n $arg_n type=int; session_subject s2; return 204; }
--- cookie_jar
--- jar_edit eval
cookies_of({ data => { keep => [1, { deep => 'x' }], n => 1 }, subject => 's1', info => { i => 'stays' }, compression_threshold => 0 })
--- request
GET /change?n=2
--- error_code: 204
--- check eval
reads({}, data => { keep => [1, { deep => 'x' }], n => 2 }, subject => 's2', info => { i => 'stays' })
