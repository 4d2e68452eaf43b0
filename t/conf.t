#!/usr/bin/env perl
# What nginx -t says: every directive takes what the contract allows, at each level, and refuses everything else with its
# name, what is allowed, and the line. A table, as every case is one start of nginx -t.
use v5.36;
use Test::More;

use Cwd qw(abs_path);
use File::Temp qw(tempdir);

my $NGINX = $ENV{TEST_NGINX_BINARY} // 'nginx';
my @MODULES = map { abs_path($_) // $_ } split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
plan skip_all => 'TEST_NGINX_LOAD_MODULES does not name the module' unless @MODULES;

my $HOME = tempdir('nginx-session-conf.XXXXXX', TMPDIR => 1, CLEANUP => 1);
mkdir "$HOME/$_" for qw(conf logs);
my $IKM = '0123456789abcdef0123456789ABCDEF';
my $TIME = [qr/time such as/, [qw(0 1 30s 15m 1h 7d 1w 1M 1y), '1h 30m'], ['', 'x', '-1', '1.5h', '1x', '99999999999y', '$arg_t']];
my $SIZE = [qr/size such as/, [qw(0 1 1024 16k 1m 1K 1M)], ['', 'x', '-1', '1.5k', '1t', '$arg_s']];
my $FLAG = [qr/"on".*"off"/, [qw(on off)], ['', 'yes', 'On', 'OFF', '1', '$arg_f']];

write_file("conf/secrets",  "one\n\ntwo\n",  0600);
write_file("conf/group",    "one\n",         0640);
write_file("conf/open",     "one\n",         0644);
write_file("conf/writable", "one\n",         0602);
write_file("conf/empty",    "\n\n",          0600);

# A scalar: what the message says is allowed, good values, bad ones.
my %SCALAR = (
    session_create => [qr/"lazy".*"always"/, [qw(lazy always)], ['', 'on', 'Lazy', '$arg_c']],
    session_on_error => [qr/"fail".*"pass"/, [qw(fail pass)], ['', 'off', '503', '$arg_e']],
    session_secret => [qr/any text/, ['x', 'a long secret with blanks', 'ä'], ['']],
    session_ikm => [qr/exactly 32/, [$IKM], ['', 'short', substr($IKM, 1), "${IKM}x"]],
    session_secret_file => [qr/.*/, [qw(secrets group), "$HOME/conf/secrets"], [qw(none open writable empty), "$HOME/conf"]],
    session_cookie_name => [qr/name/, [qw(sid a __Host-sid __Secure-x A.b-c_d!), 'a' x 200], ['', 'a b', 'a;b', 'a=b', 'a,b', 'a"b', "a\tb", 'ä', '$arg_n', 'x$arg_n', 'a(b)', 'a@b', 'a[b]']],
    session_cookie_prefix => [qr/"off".*"__Host-".*"__Secure-"/, [qw(off __Host- __Secure-)], ['', '__host-', '__Host', 'on', '__Other-']],
    session_cookie_path => [qr{begins with "/"}, ['/', '/app', '/a/b/', '/a b'], ['', 'app', '/a;b', '/$arg_p', "/\x01", '/ä']],
    session_cookie_domain => [qr/"off".*domain/, [qw(off example.org .example.org localhost a-b.c)], ['', 'a b', 'a;b', 'a/b', 'a:80', '$host', 'ä.org']],
    session_cookie_http_only => $FLAG,
    session_cookie_secure => [qr/"auto".*"on".*"off"/, [qw(auto on off)], ['', 'yes', '$https']],
    session_cookie_same_site => [qr/"Lax".*"Strict".*"None".*"Default".*"off"/, [qw(Lax Strict None Default off)], ['', 'lax', 'on', 'none', '$arg_s']],
    session_cookie_priority => [qr/"off".*"Low".*"Medium".*"High"/, [qw(off Low Medium High)], ['', 'low', 'on', 'Highest']],
    session_cookie_same_party => $FLAG,
    session_cookie_partitioned => $FLAG,
    session_cookie_max_age => [qr/"off".*time|time such as/, [qw(off 1 2h 400d 500d 10y)], ['', '0', '0s', 'on', '-1', '2x', '$arg_t']],
    session_cookie_clear_invalid => $FLAG,
    (map { ("session_$_" => $TIME) } qw(idling_timeout rolling_timeout absolute_timeout stale_ttl touch_threshold
        remember_rolling_timeout remember_timeout remember_absolute_timeout)),
    session_renew_after => [qr/time such as/, [qw(off 0 1 45m)], ['', 'on', 'x', '-1', '$arg_t']],
    session_remember => [qr/"on".*"off".*variables/, [qw(on off $arg_r $http_x_remember)], ['', 'yes', '1', 'ON']],
    session_remember_cookie_name => [qr/name/, [qw(keep __Host-keep a)], ['', 'a b', 'a;b', '$arg_n']],
    session_remember_safety => [qr/"None".*"Low".*"Medium".*"High".*"Very High"/, [qw(None Low Medium High), 'Very High'], ['', 'low', 'VeryHigh', 'very high', 'Highest', 'off', '$arg_s']],
    session_compression_threshold => $SIZE,
    session_max_data => $SIZE,
    session_audience => [qr/.*/, ['shop', '$arg_a', 'a b', 'x-$host'], ['']],
    session_subject => [qr/.*/, ['ann', '$remote_user', ''], []],
    session_enforce_same_subject => $FLAG,
    session_hide => $FLAG,
    session_cache_control => $FLAG,
    session_storage => [qr/allowed (?:is|are).*"?cookie"?/, ['cookie'], ['', 'Cookie', 'nowhere', '$arg_s']],
);

# Lists and what takes several arguments: good lines, and bad ones with what the message has to say.
my %LIST = (
    session => [
        [qw(off open start logout destroy)],
        ['on', qr/invalid value "on".*"off".*"open".*"start".*"logout".*"destroy"/], ['Start', qr/invalid value "Start"/], ['""', qr/invalid value ""/],
        ['$arg_s', qr/invalid value/], ['start profile=web', qr/unknown profile "web"/], ['profile=web', qr/number of arguments/],
        ['start now', qr/unknown parameter "now"/], ['start open', qr/unknown parameter "open"/],
    ],
    session_bypass => [
        ['$arg_n', '$arg_a $arg_b', '1', '"x$arg_n"', '""'],
        ['$no_such_variable', qr/unknown "no_such_variable" variable/],
    ],
    session_require => [
        [qw(on off $session_subject), 'on error=403', 'error=401 on', '$arg_a $arg_b error=403', '"x$arg_a"'],
        ['yes', qr/invalid value "yes".*"on".*"off".*"error=401".*"error=403"/], ['on error=404', qr/invalid value "error=404".*"error=401".*"error=403"/],
        ['on off', qr/"on".*"off"/], ['on on', qr/"on".*"off"/], ['on $arg_a', qr/"on".*"off".*not both/], ['error=403', qr/nothing to require.*"on"/],
        ['""', qr/invalid value ""/], ['1', qr/invalid value "1"/], ['$no_such_variable', qr/unknown "no_such_variable" variable/],
        ['on error=', qr/invalid value "error="/], ['on Error=403', qr/invalid value "Error=403"/],
    ],
    session_lookup => [
        ['cookie'],
        ['nowhere', qr/invalid value "nowhere".*"cookie"/], ['""', qr/invalid value ""/], ['$arg_l', qr/invalid value/], ['Cookie', qr/invalid value "Cookie"/],
    ],
    session_secret_fallbacks => [
        ['old', 'old older "the oldest"'],
        ['""', qr/empty.*any text/], ['old ""', qr/empty/],
    ],
    session_ikm_fallbacks => [
        [$IKM, "$IKM " . reverse $IKM],
        ['short', qr/5 bytes.*exactly 32/], ["$IKM short", qr/5 bytes.*exactly 32/], ['""', qr/0 bytes/],
    ],
    session_bind => [
        ['off', 'ip', 'scheme', 'user_agent', 'ip scheme user_agent', 'user_agent ip', '$http_a', 'ip $http_a $http_b'],
        ['foo', qr/invalid value "foo".*"off".*"ip".*"scheme".*"user_agent"/], ['off ip', qr/invalid value "off"/], ['ip off', qr/invalid value "off"/],
        ['on', qr/invalid value "on"/], ['""', qr/invalid value ""/], ['$no_such_variable', qr/unknown "no_such_variable" variable/],
    ],
    session_set => [
        ['k v', 'k ""', 'k.l.m v', 'k $arg_v type=string', 'k 1 type=int', 'k -1 type=int', 'k 1.5 type=float', 'k true type=bool', 'k "[1]" type=json', 'k v if=$arg_i',
            'k v if=', 'k v phase=request', 'k 1 phase=request if=$arg_i type=int', 'k type=int', 'k if=x', '@k v', '"a b" v', 'all v'],
        ['k', qr/key and a value|number of arguments/], ['"" v', qr/invalid value "".*name/], ['k. v', qr/invalid value "k\."/], ['.k v', qr/invalid value "\.k"/],
        ['k..l v', qr/invalid value "k\.\.l"/], ['$arg_k v', qr/invalid value "\$arg_k".*variables/], ['k$arg_k v', qr/variables/],
        ['k v type=number', qr/invalid value "(?:type=)?number".*"string".*"int".*"float".*"bool".*"json"/], ['k v type=', qr/"string".*"int"/],
        ['k v phase=now', qr/invalid value "(?:phase=)?now".*phase=request/], ['k v w', qr/unknown parameter "w".*"type=".*"if=".*"phase="/],
        ['k v type=int type=int', qr/duplicate|invalid value "v"/], ['k 1 type=int type=float', qr/duplicate/], ['k v if=1 if=1', qr/duplicate/], ['k v phase=request phase=request', qr/duplicate/],
        ['k v type=int', qr/invalid value "v".*64 bits/], ['k 1.5 type=int', qr/invalid value "1\.5"/], ['k 18446744073709551616 type=int', qr/64 bits/], ['k nan type=float', qr/invalid value "nan".*finite/],
        ['k yes type=bool', qr/invalid value "yes".*1.*0/], ['k "{" type=json', qr/invalid value "\{".*JSON/], ['k "" type=int', qr/invalid value ""/], ['k "" type=json', qr/invalid value ""/],
        ['k $no_such_variable', qr/unknown "no_such_variable" variable/], ['k v if=$no_such_variable', qr/unknown "no_such_variable" variable/],
        ['k v profile=x', qr/profile/],
    ],
    session_unset => [
        ['k', 'k l.m n', 'all', 'all if=$arg_i', 'k if=$arg_i phase=request'],
        ['""', qr/invalid value ""/], ['all k', qr/"all".*not both/], ['k all', qr/"all".*not both/], ['if=1', qr/no key.*"all"/], ['k.', qr/invalid value "k\."/], ['$arg_k', qr/variables/],
        ['k phase=never', qr/phase=request/], ['k if=1 if=1', qr/duplicate/],
    ],
    session_info_set => [
        ['k v', 'k ""', 'k v if=$arg_i', 'k v phase=request'],
        ['k', qr/key and a value|number of arguments/], ['"" v', qr/invalid value ""/], ['k v w', qr/unknown parameter "w".*"if="/], ['k 1 type=int', qr/unknown parameter "type=int"/],
        ['k v phase=x', qr/phase=request/], ['$arg_k v', qr/variables/], ['k v if=1 if=2', qr/duplicate/],
    ],
    session_map_header => [
        ['X-User user', 'X-User user.name', 'X_User user', 'Authorization authorization', 'X-User user default=anon', 'X-User user default=$arg_u format=text', 'X-User user format=json default=',
            'X-Forwarded-User u'],
        ['X-User', qr/header and a key|number of arguments/], ['"" k', qr/invalid value "".*(?:empty|letters)/], ['X:User k', qr/invalid value "X:User"/], ['"X User" k', qr/invalid value "X User"/],
        ['$arg_h k', qr/invalid value "\$arg_h"/], ['X-User ""', qr/invalid value ""/], ['X-User k.', qr/invalid value "k\."/], ['X-User $arg_k', qr/variables/],
        ['X-User k format=xml', qr/invalid value "(?:format=)?xml".*format=text.*format=json/], ['X-User k other', qr/unknown parameter "other".*"default=".*"format="/],
        ['X-User k default=1 default=2', qr/duplicate/], ['X-User k format=text format=text', qr/duplicate/], ['X-User k default=$no_such_variable', qr/unknown "no_such_variable" variable/],
        (map { ["$_ k", qr/invalid value "\Q$_\E".*carries the request/] } qw(Host host Connection Content-Length content_length Transfer-Encoding TE Upgrade Cookie Expect)),
    ],
    session_request_headers => [
        ['id', 'id audience subject timeout idling-timeout rolling-timeout absolute-timeout'],
        ['name', qr/invalid value "name".*"id".*"audience".*"subject".*"timeout".*"idling-timeout".*"rolling-timeout".*"absolute-timeout"/], ['id Id', qr/invalid value "Id"/],
        ['""', qr/invalid value ""/], ['$arg_p', qr/invalid value/], ['all', qr/invalid value "all"/], ['remember', qr/invalid value "remember"/],
    ],
);
$LIST{session_response_headers} = $LIST{session_request_headers};

# Directives that may stand once a level, beside the scalars.
my @ONCE = qw(session_require session_lookup session_bind session_request_headers session_response_headers);
my %GOOD = (%{ { map { $_ => quoted($SCALAR{$_}[1][0]) } keys %SCALAR } }, %{ { map { $_ => $LIST{$_}[0][0] } keys %LIST } });

subtest 'what is allowed, at every level' => sub {
    my @lines = ((map { my $name = $_; map { "$name " . quoted($_) . ';' } @{ $SCALAR{$name}[1] } } sort keys %SCALAR),
        (map { my $name = $_; map { "$name $_;" } @{ $LIST{$name}[0] } } sort keys %LIST));
    my $i = 0;
    my $locations = join "\n", map { "location /" . $i++ . " { $_ }" } @lines;
    ok_conf(server($locations), 'location');
    ok_conf(join("\n", map { server($_) } @lines), 'server');
    for my $line (@lines) { last if !ok_conf("$line\n" . server(), "http: $line") }
};

subtest 'not elsewhere' => sub {
    for my $name (sort keys %GOOD) {
        my $line = "$name $GOOD{$name};";
        refused(server("location / { if (\$arg_x) { $line } }"), qr/"$name" directive is not allowed here/, "$name in if");
    }
    refused($_, qr/"session_hide" directive is not allowed here/, $_)
        for 'upstream u { session_hide on; }', server('location / { limit_except GET { session_hide on; } }');
    refused(server('session_var $x x;'), qr/"session_var" directive is not allowed here/, 'session_var in server');
    refused(server('location / { session_var $x x; }'), qr/"session_var" directive is not allowed here/, 'session_var in location');
};

subtest 'number of arguments' => sub {
    for my $name (sort keys %GOOD) {
        refused(server("$name;"), qr/invalid number of arguments in "$name" directive/, "$name without");
        refused(server("$name " . quoted($SCALAR{$name}[1][0]) . ' more;'), qr/invalid number of arguments in "$name" directive/, "$name with two") if $SCALAR{$name};
    }
};

subtest 'twice' => sub {
    for my $name (sort keys %SCALAR, @ONCE) {
        next if $name =~ /^session_(?:request|response)_headers$/;
        refused(server("$name $GOOD{$name}; $name $GOOD{$name};"), qr/"$name".*duplicate/, $name);
    }
    refused(server('session start; session start;'), qr/"session".*duplicate/, 'session');
    refused(server('session start; session off;'), qr/"session".*duplicate/, 'session, different');
    refused(server('session_remember_rolling_timeout 1d; session_remember_timeout 1d;'), qr/"session_remember_timeout".*duplicate/, 'a synonym');
    refused(server('session_map_header X-A a; session_map_header X-A b;'), qr/"session_map_header".*duplicate/, 'a header');
    refused(server('session_map_header X-A a; session_map_header x-a b;'), qr/"session_map_header".*duplicate/, 'a header in lower case');
    refused(server('session_map_header X-A a; session_map_header X_A b;'), qr/"session_map_header".*duplicate/, 'a header with _');
    ok_conf(server('session_map_header X-A a; session_map_header X-B a; session_set a 1; session_set a 2; session_unset x; session_unset y; session_info_set a 1; session_info_set a 2;
        session_bypass $arg_a; session_bypass $arg_b; session_secret_fallbacks a; session_secret_fallbacks b; session_request_headers id; session_request_headers subject;'), 'lists');
};

subtest 'wrong values' => sub {
    for my $name (sort keys %SCALAR) {
        my ($allowed, undef, $bad) = @{ $SCALAR{$name} };
        for my $value (@$bad) {
            my $said = refused(server("$name " . quoted($value) . ';'), qr/"$name".*$allowed/, "$name " . printable($value)) or next;
            next if $name =~ /secret|ikm/;
            like $said, qr/"\Q@{[printable($value)]}\E"/, "$name " . printable($value) . ': the value is named';
        }
    }
    for my $name (sort keys %LIST) {
        my (undef, @bad) = @{ $LIST{$name} };
        for (@bad) {
            my ($line, $says) = @$_;
            my $about = "$says" =~ /unknown .*variable/ ? $says : qr/"$name".*$says|$says.*"$name"/;
            refused(server("$name $line;"), $about, "$name $line");
        }
    }
};

subtest 'session_var' => sub {
    ok_conf('session_var $plan account.plan; session_var $a a;' . server('return 200 $plan$a;'), 'two');
    for (['plan x', qr/invalid value "plan".*"\$"/], ['$ x', qr/session_var/], ['$p ""', qr/invalid value ""/], ['$p a..b', qr/invalid value "a\.\.b"/], ['$p $arg_k', qr/variables/], ['$p', qr/number of arguments/],
        ['$p a b', qr/number of arguments/], ['$host x', qr/duplicate|host/]) {
        refused("session_var $_->[0];" . server(), $_->[1], $_->[0]);
    }
};

subtest 'contradictions' => sub {
    my %wrong = (
        'session_secret x; session_secret_file secrets;'                         => qr/"session_secret_file".*"session_secret"/,
        'session_secret_file secrets; session_secret x;'                         => qr/"session_secret".*"session_secret_file"/,
        'session_cookie_prefix __Host-; session_cookie_domain example.org;'      => qr/__Host-.*session_cookie_domain/,
        'session_cookie_prefix __Host-; session_cookie_path /app;'               => qr/__Host-.*session_cookie_path/,
        'session_cookie_name __Host-sid; session_cookie_domain example.org;'     => qr/__Host-.*session_cookie_domain/,
        'session_cookie_name __HOST-sid; session_cookie_path /app;'              => qr/__Host-.*session_cookie_path/,
        'session_cookie_same_party on; session_cookie_same_site Strict;'         => qr/session_cookie_same_party on.*session_cookie_same_site Strict/,
        'session_cookie_name same; session_remember_cookie_name same;'           => qr/session_cookie_name.*session_remember_cookie_name/,
        'session_cookie_name remember;'                                          => qr/session_cookie_name.*session_remember_cookie_name/,
        'session_remember_cookie_name session;'                                  => qr/session_cookie_name.*session_remember_cookie_name/,
    );
    for my $lines (sort keys %wrong) {
        refused(server($lines), $wrong{$lines}, "server: $lines");
        refused($lines . server(), $wrong{$lines}, "http: $lines");
        refused(server("location / { $lines }"), $wrong{$lines}, "location: $lines");
    }
    for my $lines ('session_cookie_prefix __Host-; session_cookie_domain off;', 'session_cookie_prefix __Host-; session_cookie_path /;', 'session_cookie_prefix __Secure-; session_cookie_domain example.org;',
        'session_cookie_same_party on; session_cookie_same_site Lax;', 'session_ikm ' . $IKM . '; session_secret x;', 'session_cookie_prefix __Secure-; session_cookie_secure off;') {
        ok_conf(server($lines), $lines);
    }
};

subtest 'contradictions between levels' => sub {
    refused('session_cookie_domain example.org;' . server('location / { session_cookie_prefix __Host-; }'), qr/__Host-.*session_cookie_domain/, 'a domain above the prefix');
    refused('session_cookie_prefix __Host-;' . server('location / { session_cookie_path /app; }'), qr/__Host-.*session_cookie_path/, 'a prefix above the path');
    refused('session_cookie_same_site Strict;' . server('session_cookie_same_party on;'), qr/session_cookie_same_party/, 'Strict above SameParty');
    refused('session_cookie_name keep;' . server('session_remember_cookie_name keep;'), qr/session_remember_cookie_name/, 'one name at two levels');
    ok_conf('session_cookie_domain example.org;' . server('session_cookie_prefix __Host-; session_cookie_domain off;'), 'a domain taken back');
    ok_conf('session_secret x;' . server('session_secret_file secrets;'), 'a secret above a file');
    ok_conf('session_secret_file secrets;' . server('session_secret x;'), 'a file above a secret');
    ok_conf('session_lookup cookie; session_require on; session start;' . server('session off; session_require off; session_lookup cookie;'), 'scalars are written again at another level');
};

subtest 'what is secret is never said' => sub {
    for my $line ('session_ikm verysecretverysecret', 'session_ikm_fallbacks verysecretverysecret', 'session_secret verysecretverysecret; session_secret verysecretverysecret',
        'session_secret verysecretverysecret; session_secret_file secrets') {
        my $said = refused(server("$line;"), qr/\[emerg\]/, $line);
        unlike $said, qr/verysecret/, "$line: not in the message";
    }
};

subtest 'the key that nobody wrote' => sub {
    my $said = ok_conf(server('session start;'), 'a session without a key');
    is scalar(() = $said =~ /\[warn\].*no "session_secret" is configured/g), 1, 'one warning';
    unlike ok_conf(server('session start; session_secret x;'), 'a secret'),              qr/\[warn\]/, 'no warning with a secret';
    unlike ok_conf(server("session start; session_ikm $IKM;"), 'an ikm'),                qr/\[warn\]/, 'no warning with an ikm';
    unlike ok_conf(server('session start; session_secret_file secrets;'), 'a file'),     qr/\[warn\]/, 'no warning with a file';
    unlike ok_conf(server('session off;'), 'no session'),                                qr/\[warn\]/, 'no warning without sessions';
    unlike ok_conf(server('session_cookie_name x;'), 'no session but settings'),         qr/\[warn\]/, 'no warning for mere settings';
    unlike ok_conf(server('location / { session start; session_secret x; }'), 'where it is used'), qr/\[warn\]/, 'no warning with a secret where it is used';
    like ok_conf(server('session_secret x; location / { }') . server('location / { session open; }'), 'one of two servers'), qr/\[warn\].*session_secret/, 'a warning for the other server';
};

done_testing;

sub server { "server { listen 127.0.0.1:1; " . ($_[0] // '') . "\n}\n" }

sub write_file ($name, $text, $mode) {
    open my $file, '>', "$HOME/$name" or die "$name: $!";
    print {$file} $text;
    close $file;
    chmod $mode, "$HOME/$name";
}

# A word as nginx's configuration wants it; variables stay variables.
sub quoted ($word) {
    return $word if $word =~ /\A[\w.\/\$-]+\z/;
    return '"' . ($word =~ s/(["\\])/\\$1/gr) . '"';
}

sub printable ($value) {
    utf8::decode(my $text = $value);
    $text =~ s/"/\\"/g;
    $text =~ s/\t/\\t/g;
    $text =~ s/\x01/\\u{1}/g;
    utf8::encode($text);
    return $text;
}

# nginx -t with these lines in the http block.
sub try_conf ($lines) {
    my $user = $> == 0 ? 'user root;' : '';
    my $modules = join "\n", map { "load_module $_;" } @MODULES;
    write_file('conf/nginx.conf', "$user\n$modules\npid $HOME/logs/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n$lines\n}\n", 0644);
    my $said = `'$NGINX' -t -p $HOME -e stderr -c conf/nginx.conf 2>&1`;
    return ($?, $said);
}

sub ok_conf ($lines, $name) {
    my ($status, $said) = try_conf($lines);
    my $passed = $status == 0 && $said !~ /\[(?:emerg|alert|crit|error)\]/;
    ok $passed, "$name: is taken" or diag $said;
    return $passed ? $said || 'nothing' : undef;
}

# Refused, by one message that ends with file and line.
sub refused ($lines, $says, $name) {
    my ($status, $said) = try_conf($lines);
    my @emerg = grep { /\[emerg\]/ } split /\n/, $said;
    # nginx finds unknown variables when all is read, and names no line
    my $place = "$says" =~ /unknown .*variable/ ? qr/$/ : qr{ in $HOME/conf/nginx\.conf:\d+$};
    my $passed = $status == 1 << 8 && @emerg == 1 && $emerg[0] =~ $says && $emerg[0] =~ $place;
    ok $passed, "$name: is refused, with its line" or diag "status $status, expected $says\n$said";
    return $passed ? $said : undef;
}
