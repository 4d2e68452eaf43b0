# nginx-conf/named-sessions.conf does what a library of named sessions did: the cases of it.
use lib 't/lib';
use SessT 'no_plan';

use HTTP::Date qw(str2time);

use SessT::Servers;

require './t/preset.pl';
require './t/speaking.pl';
preset('named-sessions.conf');
own_sections('worker_count');
add_block_preprocessor(sub { my ($block) = @_; workers($block->worker_count // 2) });

our $redis = SessT::Servers->redis;
our $in_redis = "session_backend named redis { server 127.0.0.1:@{[$redis->port]}; prefix named; timeout 500ms; connect_timeout 500ms; }";

# What a program answers to change the session `web`, or `admin`.
sub web   { return ask('/', map { "X-Session-$_" } @_) }
sub admin { return ask('/admin/login', map { "X-Admin-Session-$_" } @_) }

sub sees {
    my ($web, $admin) = @_;
    return sub { my ($up) = @_; my $got = join ' ', map { $up->header($_) // '-' } qw(X-User X-Admin); my $wanted = join ' ', $web // '-', $admin // '-'; $got eq $wanted or $got };
}

sub attributes {
    my ($check, $name) = @_;
    return sub { my $attr = $_[0]->set_cookie($name // '__Host-web')->{attr}; $check->($attr) || join ' ', map { "$_=$attr->{$_}" } sort keys %$attr };
}

our $show = 'location = /show { return 200 "$session_web_status $session_web_json"; }';

run_tests();
__DATA__

=== L1: who stores nothing gets nothing
--- request
GET /
--- upstream_json eval
sees(undef, undef)
--- check eval
\&silent

=== L2, D1: a value is stored and comes back; others are absent
--- cookie_jar
--- request eval
[web('Data: {"user":"ann"}'), "GET /"]
--- upstream_json eval
[sees(undef), sees('ann')]
--- check eval
[all_hold(sets('__Host-web'), \&clean), \&silent]

=== N1: two sessions of one page, each with its own cookie, data and id
--- cookie_jar
--- request eval
[web('Data: {"user":"ann"}'), admin('Data: {"user":"root"}'), "GET /admin/", "GET /"]
--- upstream_json eval
[undef, undef, all_hold(sees('ann', 'root'), sub {
    my ($web, $admin) = map { $_[0]->header("Session-$_-Id") // '' } qw(web admin);
    return $web =~ /\A[\w-]{43}\z/ && $admin =~ /\A[\w-]{43}\z/ && $web ne $admin || "$web $admin";
}), sees('ann', undef)]
--- check eval
[sets('__Host-web'), sets('__Host-admin'), \&silent, \&silent]

=== N1: both are new in one answer, and both end apart
--- cookie_jar
--- request eval
[ask('/admin/login', 'X-Session-Data: {"user":"ann"}', 'X-Admin-Session-Data: {"user":"root"}'), "GET /admin/logout", "GET /", "GET /admin/", "GET /logout", "GET /"]
--- error_code eval
[200, 303, 200, 303, 303, 200]
--- upstream_json eval
[undef, undef, sees('ann'), undef, undef, sees(undef)]
--- check eval
[sub { my @set = sort map { $_->{name} } $_[0]->set_cookies; "@set" eq '__Host-admin __Host-web' or "@set" }, expires('__Host-admin'), \&silent, \&silent, expires('__Host-web'), \&silent]

=== N2: an unknown name
--- with
location /x { session start profile=other; }
--- must_die: 1
--- error_log eval
[qr/\[emerg\].*"session" names unknown profile "other"/]

=== T15: the token of one session as the cookie of the other
--- with
location = /both { session open profile=web; session open profile=admin; return 200 "$session_web_status $session_admin_status"; }
--- capture eval
[{ web => qr/^Set-Cookie: __Host-web=([^;]+)/m }, undef]
--- request eval
[web('Data: {"user":"ann"}'), "GET /both"]
--- more_headers eval
['', 'Cookie: __Host-admin=$CAPTURED_web; __Host-web=$CAPTURED_web']
--- shown eval
[undef, 'open bad-signature']

=== C6: __Host- with a domain
--- with
session_cookie_domain example.org;
--- must_die: 1
--- error_log eval
[qr/\[emerg\].*__Host-/]

=== C6: Secure, Path=/, no Domain
--- request eval
[web('Data: {"user":"ann"}')]
--- check eval
[attributes(sub { $_[0]{path} eq '/' && exists $_[0]{secure} && exists $_[0]{httponly} && !exists $_[0]{domain} })]

=== C7: __Secure-
--- with
session_cookie_prefix __Secure-;
session_cookie_secure off;
--- request eval
[web('Data: {"user":"ann"}')]
--- check eval
[attributes(sub { exists $_[0]{secure} }, '__Secure-web')]

=== C11: an hour, by Max-Age and Expires alike
--- request eval
[web('Data: {"user":"ann"}'), admin('Data: {"user":"root"}')]
--- check eval
[attributes(sub { $_[0]{'max-age'} == 3600 && abs(str2time($_[0]{expires}) - time - 3600) <= 2 && $_[0]{samesite} eq 'Lax' }),
 attributes(sub { $_[0]{'max-age'} == 3600 && $_[0]{samesite} eq 'Strict' }, '__Host-admin')]

=== C11: another time
--- with
session_cookie_max_age 2h;
--- request eval
[web('Data: {"user":"ann"}')]
--- check eval
[attributes(sub { $_[0]{'max-age'} == 7200 })]

=== C13: destroy expires the cookie
--- cookie_jar
--- request eval
[web('Data: {"user":"ann"}'), web('Action: destroy'), "GET /"]
--- upstream_json eval
[undef, sees('ann'), sees(undef)]
--- check eval
[sets('__Host-web'), all_hold(expires('__Host-web'), attributes(sub { $_[0]{path} eq '/' && exists $_[0]{secure} && str2time($_[0]{expires}) < time })), \&silent]

=== T1, D7: ten reads of a valid cookie: no new one, and nothing written
--- with eval
$::in_redis
--- request eval
[web('Data: {"user":"ann"}')]
--- check eval
[sub {
    my ($res) = @_;
    my $cookie = '__Host-web=' . $res->set_cookie('__Host-web')->{value};
    my @answers;
    my $commands = commands_for_sessions($::redis, sub { @answers = map { by_hand('/', $cookie) } 1 .. 10 });
    my $good = grep { /\["X-User","ann"\]/ && !/^Set-Cookie/m } @answers;
    return $good == 10 && $commands eq join(' ', ('GET') x 10) || "$good good answers, commands: $commands";
}]

=== T2: changed on the way: the last character of the token, its first, and rubbish behind it
--- with eval
$::show
--- cookie_jar eval
[1, 1, 2, 2, 3, 3]
--- request eval
[map { (web('Data: {"user":"ann"}'), "GET /show") } 1 .. 3]
--- jar_edit eval
sub {
    my ($cookies, $i) = @_;
    defined $cookies->{'__Host-web'} or return;
    my $value = \$cookies->{'__Host-web'};
    $$value =~ s/(.)\z/$1 eq 'A' ? 'g' : 'A'/e if $i == 1;
    $$value =~ s/\A(.{20})(.)/$1 . ($2 eq 'A' ? 'B' : 'A')/e if $i == 3;
    $$value .= 'x' if $i == 5;
}
--- shown eval
[undef, 'bad-signature ', undef, 'bad-signature ', undef, 'bad-format ']

=== T18: without a key there is a warning; sessions outlive a reload, but no restart
--- with
- session_secret_file
location = /show { return 200 "$session_web_status"; }
--- in_profile
web storage cookie;
--- cookie_jar
--- request eval
[web('Data: {"user":"ann"}'), "GET /show", "GET /show"]
--- reload eval
[undef, 1, undef]
--- restart eval
[undef, undef, 1]
--- shown eval
[undef, 'open', 'bad-signature']
--- error_log eval
[qr/\[warn\].*session: /]

=== E2: an hour from the last visit: alive as long as somebody comes, then gone
--- with
session_idling_timeout 3s;
--- in_profile
web touch_threshold 0;
--- cookie_jar
--- request eval
[web('Data: {"user":"ann"}'), ("GET /") x 5, "GET /"]
--- sleep_before eval
[0, (1) x 5, 4.2]
--- upstream_json eval
[undef, (sees('ann')) x 5, sees(undef)]

=== E12, A10: a session that was destroyed is never there again
--- capture eval
[{ token => qr/^Set-Cookie: (__Host-web=[^;]+)/m }, undef, undef, { new => qr/^Set-Cookie: (__Host-web=[^;]+)/m }, undef, undef]
--- request eval
[web('Data: {"user":"ann"}'), "GET /logout", "GET /", web('Data: {"user":"eve"}'), "GET /", "GET /"]
--- more_headers eval
['', ('Cookie: $CAPTURED_token') x 3, 'Cookie: $CAPTURED_token', 'Cookie: $CAPTURED_new']
--- error_code eval
[200, 303, 200, 200, 200, 200]
--- upstream_json eval
[undef, undef, sees(undef), sees(undef), sees(undef), sees('eve')]
--- check eval
[keeps_id('old', '__Host-web'), undef, undef, new_id('old', '__Host-web'), undef, undef]

=== E14: the record lives no longer than the session, and reads do not prolong it
--- with eval
"$::in_redis\nsession_absolute_timeout 100s;"
--- cookie_jar
--- request eval
[web('Data: {"user":"ann"}'), "GET /"]
--- before eval
[sub { $::redis->ask('FLUSHALL') }, undef]
--- check eval
[sets('__Host-web'), all_hold(\&silent, sub { my ($key) = split /\n/, $::redis->ask('KEYS', 'named:*'); my $left = $::redis->ask('TTL', $key); $left > 90 && $left <= 100 or "$left s" })]

=== D2: a key goes, the session stays
--- with eval
$::show
--- cookie_jar
--- request eval
[web('Data: {"user":"ann","k":1}'), web('Data: {"user":null}'), "GET /", "GET /show"]
--- upstream_json eval
[undef, sees('ann'), sees(undef), undef]
--- shown eval
[undef, undef, undef, 'open {"k":1}']

=== D8: an empty key
--- with
session_map_header X-Empty "" profile=web;
--- must_die: 1
--- error_log eval
[qr/\[emerg\].*"session_map_header"/]

=== D12, A14: regenerate: a new id, the data stay, the old one is refused when it is stale
--- in_profile
web stale_ttl 1s;
--- capture eval
[{ old => qr/^Set-Cookie: (__Host-web=[^;]+)/m }, { new => qr/^Set-Cookie: (__Host-web=[^;]+)/m }, undef, undef]
--- request eval
[web('Data: {"user":"ann"}'), web('Action: regenerate'), "GET /", "GET /"]
--- more_headers eval
['', 'Cookie: $CAPTURED_old', 'Cookie: $CAPTURED_new', 'Cookie: $CAPTURED_old']
--- sleep_before eval
[0, 0, 2.2, 0]
--- upstream_json eval
[undef, undef, sees('ann'), sees(undef)]
--- check eval
[keeps_id('regenerated', '__Host-web'), new_id('regenerated', '__Host-web'), \&silent, expires('__Host-web')]

=== D12: a login by its subject, too
--- cookie_jar
--- request eval
[web('Data: {"user":"ann"}'), web('Subject: ann'), web('Subject: ann'), "GET /"]
--- upstream_json eval
[undef, undef, undef, sees('ann')]
--- check eval
[keeps_id('login', '__Host-web'), new_id('login', '__Host-web'), new_id('login', '__Host-web'), \&silent]

=== X10: two nginx, or two servers of one, share the sessions of a Redis
--- with eval
$::in_redis
--- cookie_jar
--- request eval
[web('Data: {"user":"ann"}'), "GET /"]
--- restart eval
[undef, 1]
--- upstream_json eval
[undef, sees('ann')]
--- check eval
[sets('__Host-web'), \&silent]

=== O3: a record that is rubbish is none
--- with eval
"$::in_redis\n$::show"
--- cookie_jar
--- request eval
[web('Data: {"user":"ann"}'), "GET /show"]
--- before eval
[sub { $::redis->ask('FLUSHALL') }, sub { $::redis->ask('SET', $_, 'rubbish') for split /\n/, $::redis->ask('KEYS', 'named:*') }]
--- shown eval
[undef, 'no-record ']
--- error_log eval
[qr/\[error\].*session: the record of cookie "__Host-web" is not used/]

=== O7: who has no second session is sent to its login
--- cookie_jar
--- request eval
["GET /admin/", web('Data: {"user":"ann"}'), "GET /admin/", admin('Data: {"user":"root"}'), "GET /admin/"]
--- error_code eval
[303, 200, 303, 200, 200]
--- response_headers_like eval
['Location: .*/admin/login', '', 'Location: .*/admin/login', '', '']

=== O7: 401 and 403 as they are
--- with
location /401 { session_require on profile=web; proxy_pass http://app; }
location /403 { session_require on error=403 profile=web; proxy_pass http://app; }
--- cookie_jar
--- request eval
["GET /401", "GET /403", web('Data: {"user":"ann"}'), "GET /401", "GET /403"]
--- error_code eval
[401, 403, 200, 200, 200]

=== Q1: fifty writers at the same time, each to a key of its own: in one worker nothing is lost
--- worker_count: 1
--- with
location = /show { return 200 "$session_web_json"; }
--- request eval
[web('Data: {"user":"ann"}')]
--- check eval
[sub {
    my ($res) = @_;
    my $cookie = '__Host-web=' . $res->set_cookie('__Host-web')->{value};
    my @sockets = map { opened((split ' ', web(qq(Data: {"k$_":$_})))[1] . '&delay=50', $cookie) } 1 .. 50;
    my @tokens = map { local $/; (scalar(<$_>) // '') =~ /^Set-Cookie: (__Host-web=[^;]+)/m ? $1 : () } @sockets;
    return @tokens . ' of 50 were saved' if @tokens != 50;
    my ($most) = sort { $b <=> $a } map { my $keys = () = by_hand('/show', $_) =~ /"k\d+":/g; $keys } @tokens;
    return $most == 50 || "$most keys at most";
}]
