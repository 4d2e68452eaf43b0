# Time: idling, rolling and absolute limits, touching and renewing. One timeline serves many sessions at once: each has a cookie
# of its own name, so the pauses are made once.
use lib 't/lib';
use SessT 'no_plan';

use HTTP::Date ();
use MIME::Base64 qw(decode_base64url);
use Time::HiRes qw(sleep time);

require './t/refused.pl';
rig 'B2';

# What the header of a token says.
sub header_of {
    my ($token) = @_;
    my ($type, $flags, $id, $created, $top, $rolling, $size, $size_top, $tag, $idling, $idling_top) =
        unpack 'C v a32 V C V v C a16 v C', decode_base64url(substr $token, 0, 110);
    return { id => $id, created => $created + ($top << 32), rolling => $rolling, idling => $idling + ($idling_top << 16) };
}

# The locations of a timeline: cookie name => settings. /NAME?u=ann stores, /NAME reads.
sub locations {
    my (%settings) = @_;
    return join '', map { <<"END" } sort keys %settings;
location /$_ {
    session_cookie_name $_;
    $settings{$_}
    session_set user \$arg_u if=\$arg_u;
    session_map_header X-User user;
    add_header X-Cause \$session_status always;
    add_header X-Id \$session_id always;
    proxy_pass http://127.0.0.1:\$TEST_NGINX_ECHO_PORT;
}
END
}

# Tokens know whole seconds: with a start at the beginning of one, ages are certain.
sub second_begins { sleep 1 - (time - int time) + 0.02 }

# The steps of a timeline: [pause, 'name wanted', …], wanted being
#   new        stored in this step
#   open       a session, and no Set-Cookie
#   touched    a session, Set-Cookie with the same id, idling clock anew
#   renewed    a session, Set-Cookie with another id, rolling clock anew
#   kept       a session, whatever was set
#   expired-…  no session, the cookie is cleared
our (@requests, @pauses, @checks, %token);

sub timeline {
    my @steps = @_;
    (@requests, @pauses, @checks) = ();
    %token = ();
    for my $step (@steps) {
        my ($pause, @wanted) = @$step;
        for my $item (@wanted) {
            my ($name, $wanted) = split ' ', $item;
            push @requests, "GET /$name" . ($wanted eq 'new' ? '?u=ann' : '');
            push @pauses, $pause;
            push @checks, step_check($name, $wanted);
            $pause = 0;
        }
    }
    return \@requests;
}

sub step_check {
    my ($name, $wanted) = @_;
    return sub {
        my ($res) = @_;
        my $said = judged($res, $name, $wanted);
        return $said eq '1' ? 1 : "$name is not $wanted: $said";
    };
}

sub judged {
    my ($res, $name, $wanted) = @_;
    my ($cause, $cookie) = ($res->header('X-Cause'), $res->set_cookie($name));
    my ($user) = $res->{body} =~ /"X-User","([^"]*)"/;
    if ($wanted =~ /^expired/) {
        return $cause if $cause ne $wanted;
        return 'still X-User' if defined $user;
        return $cookie && ($cookie->{attr}{'max-age'} // '') eq '0' || 'the cookie is not cleared';
    }
    return $cause if $cause ne ($wanted eq 'new' ? 'new' : 'open');
    return 'X-User ' . ($user // '-') if ($user // '') ne 'ann';
    return !$cookie || 'a Set-Cookie' if $wanted eq 'open';
    return 1 if $wanted eq 'kept' && !$cookie;
    return 'no Set-Cookie' if !$cookie;
    my ($old, $new) = ($token{$name}, header_of($cookie->{value}));
    $token{$name} = $new;
    return 1 if $wanted eq 'new' || $wanted eq 'kept';
    my $same = $old->{id} eq $new->{id};
    return 'another creation time' if $old->{created} != $new->{created};
    my $age = time - $new->{created};
    if ($wanted eq 'touched') {
        return 'another id' unless $same;
        return 'the rolling clock was moved' if $old->{rolling} != $new->{rolling};
        return abs($new->{rolling} + $new->{idling} - $age) <= 1 || "idling offset $new->{idling}";
    }
    return 'the same id' if $same;
    return "idling offset $new->{idling}" if $new->{idling};
    return abs($new->{rolling} - $age) <= 1 || "rolling offset $new->{rolling} at age $age";
}

refused('no time', 'session_renew_after soon;', qr/invalid value "soon"/);
refused('on', 'session_renew_after on;', qr/invalid value "on"/);
refused('negative', 'session_renew_after -1s;', qr/invalid value "-1s"/);
refused('twice', "session_renew_after 1s;\nsession_renew_after off;", qr/duplicate/);
refused('in a location', 'location /a { session_renew_after 75%; }', qr/invalid value "75%"/, names => 'session_renew_after');

add_refused();
run_tests();
__DATA__

=== E2, E3, E6, E7, E8, E14, E15 and others on one timeline
--- config eval
my $calm = 'session_renew_after off; session_touch_threshold 1h;';
locations(
    touched   => 'session_idling_timeout 1s; session_touch_threshold 0;',
    opened    => 'session open; session_idling_timeout 1s; session_touch_threshold 0;',
    noticed   => 'session_idling_timeout 10s; session_touch_threshold 1s;',
    long      => 'session_idling_timeout 10s; session_touch_threshold 5s;',
    rolled    => 'session_rolling_timeout 2s; session_touch_threshold 1h;',
    stiff     => 'session_rolling_timeout 2s; session_renew_after off; session_touch_threshold 1h;',
    aged      => 'session_absolute_timeout 2s; session_renew_after 1s; session_touch_threshold 0;',
    endless   => 'session_idling_timeout 0; session_rolling_timeout 0; session_absolute_timeout 0; session_touch_threshold 1h;',
    early     => 'session_renew_after 1s;',
    openearly => 'session open; session_renew_after 1s; session_touch_threshold 0;',
    untouched => "$calm session_idling_timeout 1s;",
    kept      => "$calm session_idling_timeout 1s; session_cookie_max_age 1h;",
    both      => 'session_renew_after 1s; session_touch_threshold 0;',
    share     => 'session_rolling_timeout 4s; session_touch_threshold 1h;',
)
--- cookie_jar
--- timeout: 5
--- request eval
my @all = qw(touched opened noticed long rolled stiff aged endless early openearly untouched kept both share);
timeline(
    [0, map { "$_ new" } @all],
    [0, 'long open', 'stiff open', 'endless open', 'openearly open', 'untouched open', 'kept open'],
    [0.95, 'touched kept', 'noticed open', 'rolled kept', 'aged kept'],
    [0.95, 'touched kept'],
    [0.5, 'touched kept', 'opened expired-idling', 'untouched expired-idling', 'kept expired-idling', 'noticed touched', 'long open', 'early renewed',
        'openearly open', 'both renewed', 'endless open', 'rolled renewed', 'share open'],
    [0.8, 'touched kept', 'rolled kept', 'aged expired-absolute', 'stiff expired-rolling', 'noticed open', 'both kept', 'share open'],
    [1.1, 'share renewed'],
    [1.1, 'touched expired-idling', 'endless open', 'noticed touched', 'early renewed', 'both renewed'],
    [0.9, 'rolled expired-rolling', 'endless open', 'openearly open', 'early open'],
)
--- sleep_before eval
[@main::pauses]
--- before eval
[\&second_begins]
--- check eval
[@main::checks]

=== E4, E11: a renewal gives a new id and keeps the data, over a reload too; the old cookie, in somebody's hands, lives to its own limits; Max-Age and Expires agree every time
--- config eval
locations(
    old => 'session_rolling_timeout 2s; session_renew_after 1s; session_touch_threshold 1h;',
    a   => 'session_cookie_max_age 1h; session_renew_after 1s;',
    b   => 'session_cookie_max_age 2h; session_renew_after off; session_touch_threshold 0;',
    c   => 'session_cookie_max_age 3h;',
)
--- capture eval
[{ first => qr/^Set-Cookie: old=([^;]+)/m }, (undef) x 3, { second => qr/^Set-Cookie: old=([^;]+)/m }]
--- sleep_before eval
[0, 0, 0, 0, 2.05, 0, 0, 0, 0, 0, 1.1, 0, 0]
--- before eval
[\&second_begins]
--- reload eval
[(undef) x 4, 1]
--- cookie_jar eval
[(('-'), ('a') x 3) x 2, '-', '-', '-', ('a') x 2]
--- more_headers eval
['', ('') x 3, 'Cookie: old=$CAPTURED_first', ('') x 3, 'Cookie: old=$CAPTURED_second', 'Cookie: old=$CAPTURED_first', 'Cookie: old=$CAPTURED_first', ('') x 2]
--- request eval
["GET /old?u=ann", map({ "GET /$_?u=1" } qw(a b c)), "GET /old", "GET /a", "GET /b", "GET /c?u=2", "GET /old", "GET /old", "GET /old", "GET /b", "GET /c?u=3"]
--- check eval
my $cause = sub { my ($wanted) = @_; sub { my $got = $_[0]->header('X-Cause') . ' ' . ($_[0]{body} =~ /"X-User","(\w+)"/ ? $1 : '-'); $got eq $wanted or $got } };
my $agree = sub {
    my ($hours) = @_;
    return sub {
        my ($res) = @_;
        my $cookie = ($res->set_cookies)[0] or return 'no Set-Cookie';
        return "Max-Age $cookie->{attr}{'max-age'}" if $cookie->{attr}{'max-age'} != 3600 * $hours;
        my $off = HTTP::Date::str2time($cookie->{attr}{expires}) - time - 3600 * $hours;
        return abs $off <= 2 || "Expires is $off s off";
    };
};
[$cause->('new ann'), map({ $agree->($_) } 1 .. 3), $cause->('open ann'), map({ $agree->($_) } 1 .. 3), $cause->('open ann'), $cause->('open ann'),
    $cause->('expired-rolling -'), map { $agree->($_) } 2, 3]

=== E8: a renewal comes with every kind of answer and request, once; a request that is refused gets none; a touch of a long session sends its first cookie alone
--- config
session_renew_after 1s;
session_touch_threshold 1h;
location /return  { return 204; }
location /moved   { return 302 /; }
location /error   { return 404; }
location /value   { return 200 "$session_data_user"; }
location /require { session_require $session_data_admin; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /deny    { deny all; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /basic   { auth_basic x; auth_basic_user_file /dev/null; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT; }
location /long {
    session_renew_after off;
    session_touch_threshold 0;
    session_compression_threshold 0;
    location /long/put { session_set v $http_x_v; return 204; }
    proxy_set_header X-Len "$session_data_v";
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- cookie_jar eval
['a', 'long', ('a') x 12, 'a', 'long', 'long']
--- sleep_before eval
[0, 0, 2.05]
--- request eval
["GET /set?u=ann", "GET /long/put", "GET /require", "GET /deny", "GET /basic",
 "GET /get", "HEAD /", "GET /return", "GET /moved", "GET /error", "GET /?st=304", "GET /value", "GET / HTTP/1.0", "GET /set?u=bob", "GET /get", "GET /long", "GET /long"]
--- more_headers eval
['', 'X-V: ' . 'v' x 9000, ('') x 15]
--- error_code eval
[200, 204, 401, 403, 401, 200, 200, 204, 302, 404, 304, 200, 200, 200, 200, 200, 200]
--- jar_edit eval
our $due;
sub { my ($cookies, $i) = @_; $due = $cookies->{session} if $i == 2; $cookies->{session} = $due if $i > 2 && $i < 14 }
--- check eval
my $names = sub { my ($wanted) = @_; sub { my $got = join ' ', map { $_->{name} } grep { $_->{value} =~ /./ } $_[0]->set_cookies; $got eq $wanted or "set: $got" } };
[$names->('session'), $names->('session session2 session3'), ($names->('')) x 3, ($names->('session')) x 9, $names->(''), $names->('session'), undef]
--- response_body eval
[(undef) x 11, 'ann', (undef) x 5]
--- upstream_json eval
my $long = sub { length $_[0]->header('X-Len') == 9000 or 'cut' };
[(undef) x 14, sub { $_[0]->header('X-User') eq 'bob' or 'not bob' }, $long, $long]

=== E8: by HTTP/2 and TLS
--- http2
--- tls eval
[1, 1]
--- config
session_touch_threshold 0;
--- cookie_jar
--- sleep_before eval
[0, 1.05]
--- request eval
["GET /set?u=ann", "GET /get"]
--- check eval
sub { $_[0]->set_cookie('session') ? 1 : 'no Set-Cookie' }
--- upstream_json eval
[undef, sub { $_[0]->header('X-User') eq 'ann' or 'no session' }]

=== E12: after destroy the old cookie is not renewed into the same id
--- config
add_header X-Id $session_id;
location /end { session destroy; return 204; }
--- capture eval
[{ tok => qr/^Set-Cookie: session=([^;]+)/m, id => qr/^X-Id: (\S+)/m }]
--- request eval
["GET /set?u=ann", "GET /end", "GET /set?u=bob"]
--- more_headers eval
['', 'Cookie: session=$CAPTURED_tok', '']
--- error_code eval
[200, 204, 200]
--- check eval
[undef, sub { $_[0]->set_cookie('session')->{attr}{'max-age'} eq '0' or 'not expired' }, sub { $_[0]->header('X-Id') ne captured('id') or 'the same id' }]

=== limits are inherited, overridden one by one, and the location's own count
--- http_config
session_idling_timeout 100;
session_rolling_timeout 200;
session_absolute_timeout 300;
--- config
session_rolling_timeout 150;
session_set a 1;
location /a { session_absolute_timeout 120; add_header X-T "$session_idling_timeout $session_rolling_timeout $session_absolute_timeout $session_timeout"; return 204;
    location /a/b { session_idling_timeout 2m; session_rolling_timeout 0; add_header X-T "$session_idling_timeout $session_rolling_timeout $session_absolute_timeout $session_timeout"; return 204; } }
--- request eval
["GET /a", "GET /a/b"]
--- error_code eval
[204, 204]
--- response_headers eval
["X-T: 100 150 120 100", "X-T: 120  120 120"]

=== the defaults: 15 minutes, an hour, a day
--- config
add_header X-T "$session_idling_timeout $session_rolling_timeout $session_absolute_timeout $session_timeout";
--- request
GET /set?u=a
--- response_headers
X-T: 900 3600 86400 900
