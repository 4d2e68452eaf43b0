#!/usr/bin/env perl
# What users copy works: nginx is started with every configuration in README.md and in nginx-conf/, and asked. And what the
# module knows is documented: every directive and variable is in README.md, and nothing else.
#
# In nginx-conf/ a # without a blank behind it is configuration to switch on: such a file is also started with all of it.
# The servers that storages name are not there; what comes of that is expected, too.
#
# A configuration in README.md is announced by a comment that the reader does not see:
#     <!-- try: GET /members/ 303 -->            method, path, expected status
#     <!-- try: GET /login 401 log: pattern -->  and an error line that is expected in the log
use v5.36;
use Test::More;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep);

my $ROOT = abs_path(dirname(abs_path(__FILE__)) . '/..');
my $NGINX = $ENV{TEST_NGINX_BINARY} // 'nginx';
my @MODULES = map { abs_path($_) // $_ } split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
plan skip_all => 'TEST_NGINX_LOAD_MODULES does not name the module' unless @MODULES;

my $HOME = tempdir('nginx-session-snippets.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $HOME;    # nginx's workers may be another user
my %children;

# A storage on a server that is not there: what can be known without it works, what cannot is 503, and no cookie changes.
my $AWAY = qr/session: storage "sessions": the session storage cannot be reached/;
my @STORAGE_AWAY = (
    [GET  => '/',          200, { headers => { 'X-User' => 'root' }, lacks => 'root' }],
    [GET  => '/members/',  303, { to => '/login' }],
    [POST => '/login',     503, { form => 'password=apple', log => $AWAY, has => 'Please try again', unset => '__Host-session' }],
    [POST => '/login',     503, { form => 'password=apple', has => 'Please try again', unset => '__Host-session' }],
    [GET  => '/members/',  303, { to => '/login' }],
);

# What a visitor does with each file of nginx-conf/, and what has to come of it:
# [method, path, status, { to => Location, has => in the body, lacks => not in the body, cookie => sent along, form => body,
#  sets => cookie, unset => cookie, expires => cookie, shows => response header, hides => response header,
#  answer => header lines that the upstream adds to its answer, token => header that brings the token back and forth }]
my %WALKS = (
    'login-session.conf' => [
        [GET  => '/',           200, { lacks => 'X-User' }],
        [GET  => '/members/',   303, { to => '/login' }],
        [GET  => '/.signed-in', 404],
        [POST => '/login',      200, { form => 'password=pear', lacks => 'X-User' }],
        [POST => '/login',      303, { form => 'password=apple', to => '/members/', sets => '__Host-session' }],
        [GET  => '/members/',   200, { has => 'X-User: ann', lacks => '__Host-session' }],
        [GET  => '/logout',     303, { to => '/', expires => '__Host-session' }],
        [GET  => '/members/',   303, { to => '/login' }],
    ],
    'auth-basic-login.conf' => [
        [GET => '/members/', 303, { to => '/login' }],
        [GET => '/login',    401],
        [GET => '/login',    401, { user => 'ann:pear', log => qr/password mismatch/ }],
        [GET => '/login',    303, { user => 'ann:apple', to => '/members/', sets => '__Host-session' }],
        [GET => '/members/', 200, { has => 'X-User: ann', user => 'root:x', lacks => 'Authorization' }],
        [GET => '/logout',   303, { to => '/', expires => '__Host-session' }],
    ],
    'remember-me.conf' => [
        [POST => '/login',    303, { form => 'password=apple&remember=1', sets => '__Host-remember' }],
        [GET  => '/members/', 200, { forget => '__Host-session', has => 'X-User: ann', sets => '__Host-session' }],
        [GET  => '/logout',   303, { expires => '__Host-remember' }],
        [POST => '/login',    303, { form => 'password=apple', sets => '__Host-session', unset => '__Host-remember' }],
    ],
    'sso-headers.conf' => [
        [GET => '/',       303, { to => '/oauth2/sign_in' }],
        [GET => '/',       200, { cookie => 'sso=ann', has => 'X-User: ann', sets => '__Host-session' }],
        [GET => '/',       200, { has => 'X-Email: ann@example.org' }],
        [GET => '/',       200, { has => 'X-Groups: staff', cookie => 'x=1', headers => { 'X-User' => 'root' }, lacks => 'root' }],
        [GET => '/logout', 303, { to => '/oauth2/sign_out', expires => '__Host-session' }],
        [GET => '/',       303, { to => '/oauth2/sign_in' }],
    ],
    'sso-control-headers.conf' => [
        [GET => '/',           303, { to => '/sso/login' }],
        [GET => '/.sso-check', 404, { cookie => 'sso=ann' }],
        [GET => '/',           200, { cookie => 'sso=ann', has => 'X-Groups: ["staff"]', sets => '__Host-session' }],
        [GET => '/',           200, { has => 'X-User: ann', headers => { 'X-Groups' => 'root' }, lacks => 'root' }],
        [GET => '/',           200, { answer => 'X-Session-Subject: bob', unset => '__Host-session' }],
        [GET => '/sso/logout', 200, { answer => 'X-Session-Action: logout', expires => '__Host-session', hides => 'X-Session-Action' }],
        [GET => '/',           303, { to => '/sso/login' }],
    ],
    'step-up.conf' => [
        [GET  => '/admin/',      303, { to => '/step-up' }],
        [GET  => '/step-up',     303, { to => '/login' }],
        [POST => '/login',       303, { form => 'password=apple&by=headers&remember=1', to => '/members/', sets => '__Host-remember', hides => 'X-Session-Subject' }],
        [GET  => '/admin/',      303, { to => '/step-up' }],
        [GET  => '/step-up',     200, { has => 'X-User: ann' }],
        [POST => '/step-up',     303, { form => 'code=1&by=headers', to => '/admin/', sets => '__Host-session_admin', unset => '__Host-session' }],
        [GET  => '/admin/',      200, { has => 'X-User: ann', lacks => '__Host-' }],
        [GET  => '/members/',    200, { has => 'X-User: ann', answer => 'X-Admin-Session-Subject: bob', unset => '__Host-session_admin' }],
        [GET  => '/admin/leave', 303, { to => '/members/', expires => '__Host-session_admin', unset => '__Host-session' }],
        [GET  => '/admin/',      303, { to => '/step-up' }],
        [POST => '/step-up',     303, { form => 'code=1&by=headers', to => '/admin/', sets => '__Host-session_admin' }],
        [POST => '/login',       303, { form => 'password=pear&by=headers', sets => '__Host-session' }],
        [GET  => '/admin/',      303, { to => '/step-up' }],
        [POST => '/login',       303, { form => 'password=apple&by=headers&remember=1', sets => '__Host-remember' }],
        [GET  => '/admin/',      200, { has => 'X-User: ann' }],
        [GET  => '/members/',    200, { forget => '__Host-session', has => 'X-User: ann', sets => '__Host-session' }],
        [GET  => '/logout',      303, { to => '/', expires => '__Host-session_admin' }],
        [GET  => '/members/',    303, { to => '/login' }],
    ],
    'api-tokens.conf' => [
        [GET     => '/api/a',      401, { has => '{"error"', token => 'X-Session-Token' }],
        [OPTIONS => '/api/a',      204, { shows => 'Access-Control-Allow-Headers' }],
        [POST    => '/api/login',  200, { answer => ['X-Session-Subject: ann', 'X-Session-Data: {"user":"ann","scopes":["read"]}'],
                                          shows => 'X-Session-Token', token => 'X-Session-Token', hides => 'Set-Cookie' }],
        [GET     => '/api/a',      200, { has => 'X-User: ann', token => 'X-Session-Token', lacks => 'X-Session-Token', shows => 'Access-Control-Expose-Headers' }],
        [GET     => '/api/a',      200, { has => 'X-Scopes: ["read"]', token => 'X-Session-Token', hides => 'X-Session-Token' }],
        [POST    => '/api/logout', 200, { answer => 'X-Session-Action: logout', token => 'X-Session-Token', hides => 'X-Session-Token' }],
        [GET     => '/api/a',      401, { token => 'X-Session-Token' }],
    ],
    # t/seed-00*.t have more of the next five.
    'gateway-plugin.conf' => [
        [POST => '/auth/login', 200, { answer => ['X-Session-Subject: ann', 'X-Session-Data: {"user":"ann","tenant":42,"authorization":"Bearer x"}'],
                                       sets => '__Host-session', hides => 'X-Session-Data' }],
        [GET  => '/',           200, { has => 'X-Tenant: 42', lacks => '__Host-session' }],
        [GET  => '/',           200, { has => 'Authorization: Bearer x', headers => { Authorization => 'Basic YTpi' }, lacks => 'Basic' }],
        [GET  => '/',           200, { answer => 'X-Session-Subject: root', unset => '__Host-session' }],
        [GET  => '/logout',     204, { expires => '__Host-session' }],
        [GET  => '/',           200, { has => 'X-Tenant: none', headers => { 'X-User' => 'root' }, lacks => 'root' }],
    ],
    'named-sessions.conf' => [
        [GET => '/',            200, { answer => 'X-Session-Data: {"user":"ann"}', sets => '__Host-web' }],
        [GET => '/admin/',      303, { to => '/admin/login' }],
        [GET => '/admin/login', 200, { has => 'X-User: ann', answer => 'X-Admin-Session-Data: {"user":"root"}', sets => '__Host-admin', unset => '__Host-web' }],
        [GET => '/admin/',      200, { has => 'X-Admin: root', answer => 'X-Session-Action: regenerate', sets => '__Host-web', unset => '__Host-admin' }],
        [GET => '/',            200, { has => 'X-User: ann', lacks => 'X-Admin' }],
        [GET => '/logout',      303, { expires => '__Host-web', unset => '__Host-admin' }],
        [GET => '/admin/',      200, { has => 'X-Admin: root', lacks => 'X-User' }],
        [GET => '/admin/logout', 303, { expires => '__Host-admin' }],
        [GET => '/admin/',      303, { to => '/admin/login' }],
    ],
    'lua-resty-session.conf' => [
        [GET => '/',            200, { answer => ['X-Session-Subject: ann', 'X-Session-Remember: on'], sets => 'remember' }],
        [GET => '/shop/',       200, { lacks => 'Session-Subject', answer => 'X-Session-Subject: bob', sets => 'session' }],
        [GET => '/shop/',       200, { has => 'Session-Subject: bob' }],
        [GET => '/members/',    200, { has => 'Session-Subject: ann' }],
        [GET => '/shop/logout', 204, { sets => 'session' }],
        [GET => '/members/',    200, { forget => 'session', has => 'Session-Subject: ann', sets => 'session' }],
        [GET => '/logout',      204, { expires => 'remember' }],
        [GET => '/members/',    401],
    ],
    'proxy-cookie-sessions.conf' => [
        [GET => '/',         200, { sets => 'proxy-session', answer => 'Set-Cookie: backend=1', unset => 'backend' }],
        [GET => '/',         200, { has => 'Cookie: backend=1', unset => 'proxy-session' }],
        [GET => '/static/a', 200, { answer => 'Set-Cookie: other=1', sets => 'other', unset => 'proxy-session' }],
    ],
    'middleware-sessions.conf' => [
        [GET => '/', 200, { headers => { 'X-Skip-Session' => 1 }, unset => '__Host-session', shows => 'X-Session-Status' }],
        [GET => '/', 200, { sets => '__Host-session', answer => 'X-Session-Data: {"n":1}', hides => 'X-Session-Data', headers => { 'X-Session' => 'root' }, lacks => 'root' }],
        [GET => '/', 200, { has => 'X-Session: {"n":1}', unset => '__Host-session' }],
        [GET => '/', 200, { answer => 'X-Session-Action: destroy', expires => '__Host-session' }],
    ],
    'key-rotation.conf' => [
        [GET => '/', 200, { sets => '__Host-session' }],
        [GET => '/', 200, { has => 'Session-Id: ' }],
    ],
    'migrate-from-lua-resty-session.conf' => [
        [GET => '/',         200],
        [GET => '/members/', 303, { to => '/login' }],
        [GET => '/new/',     200, { headers => { 'Session-Subject' => 'root' }, lacks => 'root' }],
    ],
    'shm.conf' => [
        [GET  => '/members/',  303, { to => '/login' }],
        [POST => '/login',     303, { form => 'password=apple', to => '/members/', sets => '__Host-session' }],
        [GET  => '/members/',  200, { has => 'X-User: ann', lacks => '__Host-session' }],
        [GET  => '/logout',    303, { to => '/', expires => '__Host-session' }],
        [GET  => '/members/',  303, { to => '/login' }],
    ],
    # t/apps.t has the applications of the next two, and walks through all of them.
    'django-behind-the-jar.conf' => [
        [GET => '/',              200, { has => 'X-Forwarded-Proto: https', unset => '__Host-session' }],
        [GET => '/static/a.css',  200, { has => 'X-Forwarded-Proto: https', cookie => '__Host-session=x' }],
    ],
    'app-with-control-headers.conf' => [
        [GET  => '/',         200, { headers => { 'X-User' => 'root', 'X-Session-Subject' => 'root' }, lacks => 'root' }],
        [GET  => '/account/', 303, { to => '/login' }],
        [POST => '/login',    200, { form => 'user=ann', has => 'X-Color: teal', unset => '__Host-session' }],
    ],
    'redis.conf'          => \@STORAGE_AWAY,
    'redis-sentinel.conf' => \@STORAGE_AWAY,
    'redis-cluster.conf'  => \@STORAGE_AWAY,
    'postgres.conf'       => \@STORAGE_AWAY,
);

sub main () {
    make_files();
    my %upstream = (app => start_upstream(\&app), login => start_upstream(\&login));
    check_readme(\%upstream);
    check_nginx_conf(\%upstream);
    check_documented();
    check_links($_) for qw(README.md CONTRIBUTING.md);
    done_testing();
}

# ---- README.md -----------------------------------------------------------------------------------------------------

sub check_readme ($upstream) {
    for my $snippet (readme_snippets()) {
        my $where = "README.md:$snippet->{line}";
        unless (defined $snippet->{status}) {
            fail("$where: every nginx configuration has a comment such as <!-- try: GET / 200 --> before it");
            next;
        }
        my $log = $snippet->{log};
        my $step = [$snippet->{method}, $snippet->{path}, $snippet->{status}, { log => length $log ? qr/$log/ : undef }];
        try_configuration($where, whole_configuration($snippet->{text}), $upstream, [$step]);
    }
}

sub readme_snippets () {
    my (@snippets, $inside, $announced);
    my $number = 0;
    for my $line (split /^/, slurp("$ROOT/README.md")) {
        $number++;
        if ($inside) {
            if ($line =~ /^```/) { push @snippets, $inside; undef $inside }
            else                 { $inside->{text} .= $line }
        }
        elsif ($line =~ /^```nginx/) {
            $inside = { line => $number, text => '', %{ $announced // {} } };
            undef $announced;
        }
        elsif ($line =~ /^<!-- try: ([A-Z]+) (\S+) (\d+)(?: log: (.+?))? -->$/) {
            $announced = { method => $1, path => $2, status => $3, log => $4 // '' };
        }
    }
    cmp_ok(scalar @snippets, '>', 10, 'README.md has configurations');
    return @snippets;
}

# Puts a piece of a configuration where it belongs, with what a reader would have around it.
sub whole_configuration ($text) {
    return $text if $text =~ /^events/m;
    return "events {}\n$text" if $text =~ /^http \{/m;
    return "events {}\nhttp {\n$text}\n" if $text =~ /^server \{/m;
    my $fallback = $text =~ m{^location / \{}m ? '' : 'location / { proxy_pass http://127.0.0.1:8081; }';
    my $session = $text =~ /^session_cookie_prefix/m ? '' : 'session_cookie_prefix __Host-;';
    return <<~CONF;
        events {}
        http {
            session start;
            session_secret_file /etc/nginx/session/secrets;
            server {
                listen 127.0.0.1:8080;
                $session
                $text
                $fallback
            }
        }
        CONF
}

# ---- nginx-conf/ ---------------------------------------------------------------------------------------------------

sub check_nginx_conf ($upstream) {
    my @files = sort map { basename($_) } glob "$ROOT/nginx-conf/*";
    is_deeply(\@files, [sort keys %WALKS], 'every file of nginx-conf/ is walked through here');
    for my $file (@files) {
        my $text = slurp("$ROOT/nginx-conf/$file");
        like($text, qr/\A# \S.*\n#\n# What it does\n/, "nginx-conf/$file says what it does");
        like($text, qr/^# What to change/m, "nginx-conf/$file says what to change");
        try_configuration("nginx-conf/$file", "events {}\nhttp {\n$text}\n", $upstream, $WALKS{$file});
        my $all = switched_on($text) // next;
        try_configuration("nginx-conf/$file, all switched on", "events {}\nhttp {\n$all}\n", $upstream, $WALKS{$file});
    }
}

# With the lines that are there to be switched on; nothing when there are none.
sub switched_on ($text) {
    return $text =~ s/^( *)#(?=[^ \n])/$1/mg ? $text : undef;
}

# ---- what is documented --------------------------------------------------------------------------------------------

sub check_documented () {
    my $readme = slurp("$ROOT/README.md");
    my @headings = $readme =~ /^#### (session\w*)$/mg;
    is_deeply([sort @headings], [directives()], 'README.md documents the directives of the module, and no others');
    for my $name (@headings) {
        like($readme, qr/^#### $name\n\n```\nSyntax:  \Q$name\E .*[;}]\n(?: +\Q$name\E .*[;}]\n)*Default: .+\nContext: .+\n```\n\n\S/m,
            "$name has syntax, default, context and a text");
    }
    my @rows = $readme =~ /^\| `\$(session_\w+)`/mg;
    is_deeply([sort @rows], [variables()], 'README.md documents the variables of the module, and no others');
}

sub directives () {
    my @names = slurp("$ROOT/src/conf.rs") =~ /command!\(\s*c"(session\w*)"/g;
    cmp_ok(scalar @names, '>', 20, 'src/conf.rs lists directives');
    @names = sort @names;
    return @names;
}

sub variables () {
    my $source = slurp("$ROOT/src/variables.rs");
    my ($plain) = $source =~ /^const PLAIN:.*?= \[\n(.*?)^\];/ms;
    my %names = map { ("session_$_" => 1) } ($plain // '') =~ /\(\s*"(\w+)",/g;
    $names{"session_$_"} = 1 for $source =~ /^const (?:DATA|INFO): &str = "(\w+)";/mg;
    cmp_ok(scalar keys %names, '>', 13, 'src/variables.rs lists variables');
    my @names = sort keys %names;
    return @names;
}

# Links inside the project lead somewhere.
sub check_links ($file) {
    my $text = slurp("$ROOT/$file");
    my %anchor = map { lc($_) =~ s/[^\w\- ]//gr =~ tr/ /-/r => 1 } $text =~ /^#+ (.+)$/mg;
    for my $link ($text =~ /\]\(([^)\s]+)\)/g) {
        next if $link =~ /^https?:/;
        my $found = $link =~ /^#(.+)/ ? $anchor{$1} : -e "$ROOT/$link";
        ok($found, "$file: the link to $link leads somewhere");
    }
}

# ---- nginx ---------------------------------------------------------------------------------------------------------

my $count = 0;

sub try_configuration ($where, $text, $upstream, $steps) {
    my $dir = "$HOME/" . ++$count;
    make_path("$dir/html", "$dir/tmp", "$dir/lib/session");
    chmod 0755, $dir, "$dir/html", "$dir/tmp", "$dir/lib";
    chmod 0777, "$dir/lib/session";    # nginx's workers may be another user
    spew("$dir/html/index.html", "a page\n");

    my ($pid, $port) = start_nginx($dir, $text, $upstream);
    unless ($pid) {
        fail("$where: nginx starts");
        diag(slurp("$dir/error.log"));
        return;
    }
    my $scheme = slurp("$dir/nginx.conf") =~ /\blisten \S+ ssl/ ? 'https' : 'http';
    my %jar;
    my @expected;
    for my $step (@$steps) {
        visit($where, "$scheme://127.0.0.1:$port", \%jar, $step);
        push @expected, $step->[3]{log} // ();
    }
    is(stop($pid), 0, "$where: nginx leaves with status 0");
    no_errors($where, slurp("$dir/error.log"), @expected);
}

sub start_nginx ($dir, $text, $upstream) {
    for (1 .. 3) {    # the port may have been taken by somebody else meanwhile
        my $port = free_port();
        spew("$dir/nginx.conf", configuration($dir, $text, $port, $upstream));
        my $pid = child(sub { exec $NGINX, '-e', "$dir/error.log", '-p', $dir, '-c', "$dir/nginx.conf" });
        for (1 .. 100) {
            return ($pid, $port) if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
            last if waitpid($pid, POSIX::WNOHANG) == $pid;
            sleep 0.05;
        }
        stop($pid);
        last unless slurp("$dir/error.log") =~ /bind\(\).* failed/;
        unlink "$dir/error.log";
    }
    return;
}

# Those of the servers that storages are kept on.
my $STORAGE_PORTS = qr/(?:6379|26379|11211|5432|3306|4321)/;

# The reader's ports and paths become those of this test.
sub configuration ($dir, $text, $port, $upstream) {
    $text =~ s/\blisten (?:127\.0\.0\.1:)?\d+/listen 127.0.0.1:$port/g;
    $text =~ s/127\.0\.0\.1:8081\b/127.0.0.1:$upstream->{app}/g;
    $text =~ s/127\.0\.0\.1:8082\b/127.0.0.1:$upstream->{login}/g;
    my $nobody = 0;
    $text =~ s/^(\s+(?:server|sentinel|node)\s+)[\w.]+:$STORAGE_PORTS;/$1 . '127.0.0.1:' . ($nobody ||= free_port()) . ';'/gme;
    $text =~ s{/etc/nginx/}{$HOME/etc/}g;
    $text =~ s{/var/lib/nginx/}{$dir/lib/}g;
    $text =~ s{/var/log/nginx/}{$dir/}g;
    $text =~ s/^load_module .*\n//mg;
    my $load = join '', map { "load_module $_;\n" } @MODULES;
    my $temp = join '', map { "${_}_temp_path $dir/tmp/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
    my $log = $text =~ /^\s*access_log/m ? '' : "access_log off;\n";
    $text =~ s/^(http \{\n)/$1root $dir\/html;\n$temp$log/m;
    return "daemon off;\npid $dir/nginx.pid;\nerror_log $dir/error.log info;\n$load$text";
}

sub no_errors ($where, $log, @expected) {
    my @errors = grep { /\[(?:error|crit|alert|emerg)\]/ } split /^/, $log;
    for my $expected (@expected) {
        ok((grep { $_ =~ $expected } @errors), "$where: the log has $expected");
        @errors = grep { $_ !~ $expected } @errors;
    }
    is_deeply(\@errors, [], "$where: no other errors are logged");
}

# ---- one visit -----------------------------------------------------------------------------------------------------

sub visit ($where, $base, $jar, $step) {
    my ($method, $path, $status, $more) = @$step;
    $more //= {};
    delete $jar->{ $more->{forget} } if $more->{forget};
    my $answer = ask($base, $jar, $method, $path, $more);
    my $what = "$where: $method $path";

    is($answer->{status}, $status, "$what: status") or diag($answer->{content});
    is(($answer->{headers}{location} // '') =~ s/^\Q$base\E//r, $more->{to}, "$what: leads to $more->{to}") if $more->{to};
    like($answer->{content}, qr/^\Q$more->{has}\E/m, "$what: has $more->{has}") if $more->{has};
    unlike($answer->{content}, qr/\Q$more->{lacks}\E/, "$what: lacks $more->{lacks}") if $more->{lacks};
    my %set = take_cookies($jar, $answer);
    ok($set{ $more->{sets} }, "$what: sets $more->{sets}") if $more->{sets};
    ok(!$set{ $more->{unset} }, "$what: does not set $more->{unset}") if $more->{unset};
    is($set{ $more->{expires} }, '', "$what: expires $more->{expires}") if $more->{expires};
    ok(exists $answer->{headers}{ lc $more->{shows} }, "$what: shows $more->{shows}") if $more->{shows};
    ok(!exists $answer->{headers}{ lc $more->{hides} }, "$what: hides $more->{hides}") if $more->{hides};
}

sub ask ($base, $jar, $method, $path, $more) {
    my %headers = %{ $more->{headers} // {} };
    my @cookies = ((map { "$_=$jar->{$_}" } sort keys %$jar), $more->{cookie} // ());
    $headers{Cookie} = join '; ', @cookies if @cookies;
    $headers{'Content-Type'} = 'application/x-www-form-urlencoded' if $more->{form};
    $headers{'X-Answer'} = $more->{answer} if $more->{answer};
    state %token;
    my $token = $more->{token};
    $headers{$token} = $token{$base} if $token && $token{$base};
    my $at = $more->{user} ? $base =~ s{//}{//$more->{user}\@}r : $base;
    state $http = HTTP::Tiny->new(max_redirect => 0, verify_SSL => 0, timeout => 10, keep_alive => 0);
    my $answer = $http->request($method, "$at$path", { headers => \%headers, content => $more->{form} // '' });
    $token{$base} = $answer->{headers}{ lc $token } // $token{$base} if $token;
    return $answer;
}

# Keeps the cookies of an answer; returns name => value of those that it set, with an empty value for the expired.
sub take_cookies ($jar, $answer) {
    my $lines = $answer->{headers}{'set-cookie'} // [];
    my %set;
    for my $line (ref $lines ? @$lines : $lines) {
        my ($name, $value) = $line =~ /^([^=]+)=([^;]*)/ or next;
        $set{$name} = $line =~ /;\s*Max-Age=0\b/i ? '' : $value;
        if (length $set{$name}) { $jar->{$name} = $value }
        else                    { delete $jar->{$name} }
    }
    return %set;
}

# ---- the upstreams -------------------------------------------------------------------------------------------------

# Answers with the headers it got, and adds those to its own that X-Answer lines ask for.
sub app ($request) {
    my @asked = map { $_->[1] } grep { $_->[0] eq 'X-Answer' } @{ $request->{headers} };
    my @others = grep { $_->[0] ne 'X-Answer' } @{ $request->{headers} };
    return (200, \@asked, join '', map { "$_->[0]: $_->[1]\n" } @others);
}

# A program that checks passwords and codes, and a service for single sign-on.
sub login ($request) {
    my %header = map { lc $_->[0] => $_->[1] } @{ $request->{headers} };
    my $body = $request->{body};
    return by_headers($request->{path}, $body, $header{'x-user'} // '') if $body =~ /by=headers/;
    if ($request->{path} eq '/login' && $body =~ /password=apple/) {
        my $remember = $body =~ /remember=1/ ? 1 : 0;
        return (200, ['X-Accel-Redirect: /.signed-in', 'X-User: ann', "X-Remember: $remember"], '');
    }
    if ($request->{path} eq '/step-up' && $body =~ /code=1/) {
        return (200, ['X-Accel-Redirect: /.stepped-up', "X-User: $header{'x-user'}"], '');
    }
    if ($request->{path} eq '/oauth2/auth') {
        return (401, [], '') unless ($header{cookie} // '') =~ /\bsso=(\w+)/;
        return (200, ["X-Auth-Request-User: $1", "X-Auth-Request-Email: $1\@example.org", 'X-Auth-Request-Groups: staff'], '');
    }
    if ($request->{path} eq '/check') {
        return (401, [], '') unless ($header{cookie} // '') =~ /\bsso=(\w+)/;
        return (204, ["X-Session-Subject: $1", qq(X-Session-Data: {"user":"$1","groups":["staff"]})], '');
    }
    return (200, ['X-User: ann', 'X-Email: ann@example.org'], '') if $request->{path} eq '/.check';
    return app($request);
}

# The same program where it logs users in by control headers: with apple comes ann, with pear comes bob.
sub by_headers ($path, $body, $user) {
    return (303, ['Location: /admin/', "X-Admin-Session-Subject: $user"], '') if $path eq '/step-up' && $body =~ /code=1/;
    my ($password) = $body =~ /password=(\w+)/;
    my $name = { apple => 'ann', pear => 'bob' }->{ $password // '' } // return (200, [], 'try again');
    my $remember = $body =~ /remember=1/ ? 'on' : 'off';
    my @login = ("X-Session-Subject: $name", qq(X-Session-Data: {"user":"$name"}), "X-Session-Remember: $remember");
    return (303, ['Location: /members/', @login], '');
}

sub start_upstream ($answer) {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 64, ReuseAddr => 1)
        or BAIL_OUT("no port for an upstream: $@");
    child(sub {
        while (my $client = $socket->accept) {
            my $request = read_request($client) or next;
            my ($status, $headers, $body) = $answer->($request);
            print {$client} join("\r\n", "HTTP/1.0 $status Answer", @$headers, 'Content-Length: ' . length $body, '', $body);
            close $client;
        }
        POSIX::_exit(0);
    });
    return $socket->sockport;
}

sub read_request ($client) {
    my $first = <$client> // return;
    my ($method, $path) = $first =~ /^(\S+) ([^ ?]+)/ or return;
    my (@headers, $length);
    while (defined(my $line = <$client>)) {
        $line =~ s/\r\n\z//;
        last if $line eq '';
        my ($name, $value) = split /: ?/, $line, 2;
        push @headers, [$name, $value];
        $length = $value if lc $name eq 'content-length';
    }
    my $body = '';
    read $client, $body, $length if $length;
    return { method => $method, path => $path, headers => \@headers, body => $body };
}

# ---- files and processes -------------------------------------------------------------------------------------------

sub make_files () {
    make_path("$HOME/etc/tls", "$HOME/etc/session");
    my $tls = "$HOME/etc/tls/example.org";
    system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=example.org -keyout $tls.key -out $tls.crt 2>/dev/null") == 0
        or BAIL_OUT('openssl could not make a certificate');
    for my $copy (qw(redis-ca.crt redis-client.crt redis-client.key postgres-ca.crt)) {
        spew("$HOME/etc/tls/$copy", slurp("$tls." . ($copy =~ /(\w+)$/)[0]));
    }
    for my $storage (qw(redis postgres)) {
        spew("$HOME/etc/session/$storage-password", "the password of this test\n");
    }
    spew("$HOME/etc/session/secrets", "the new secret of this test\nthe old one\n");
    chmod 0600, "$HOME/etc/session/secrets";
    spew("$HOME/etc/members.htpasswd", "ann:{PLAIN}apple\n");
}

sub slurp ($file) {
    open my $handle, '<', $file or return '';
    local $/;
    return <$handle> // '';
}

sub spew ($file, $text) {
    open my $handle, '>', $file or BAIL_OUT("$file: $!");
    print {$handle} $text;
    close $handle;
}

sub free_port () {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or BAIL_OUT("no free port: $@");
    return $socket->sockport;
}

sub child ($code) {
    my $pid = fork // BAIL_OUT("fork: $!");
    unless ($pid) {
        local $SIG{TERM} = 'DEFAULT';
        $code->();
        POSIX::_exit(127);
    }
    $children{$pid} = 1;
    return $pid;
}

# Ends a child and returns its wait status.
sub stop ($pid) {
    return unless delete $children{$pid};
    kill TERM => $pid;
    return waitpid($pid, 0) == $pid ? $? : undef;
}

my $test = $$;
$SIG{$_} = sub { exit 1 } for qw(INT TERM);

END {
    if (defined $test && $$ == $test) {
        local $?;
        stop($_) for keys %children;
    }
}

main();
