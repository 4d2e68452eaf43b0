#!/usr/bin/env perl
# Real applications behind the configurations that nginx-conf/ has for them, used with a real browser over HTTPS: Django's own
# admin site, as `startproject` makes it, behind the cookie jar; and t/apps/accounts.py, which logs users in by control headers.
use v5.36;
use Test::More;

use lib 't/lib', 't/apps';

use Cwd qw(abs_path);
use File::Path qw(make_path);
use HTTP::Tiny;
use IO::Socket::INET;
use List::Util qw(any);
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

use Browser;
use SessT::Certificates;
use SessT::Guard qw(guard_group);
use SessT::Nginx;
use SessT::Ports qw(free_port);
use SessT::Room qw(open_room slurp spew);
use SessT::Servers;
use SessT::Settings qw(setting);

use constant { PATIENCE => 60, DAY => 86_400 };

# Debian's, which has Debian's packages; the first on PATH may be another.
use constant PYTHON => ('/usr/bin/python3', '-EsB');

plan skip_all => 'TEST_NGINX_LOAD_MODULES does not name the module' unless $ENV{TEST_NGINX_LOAD_MODULES};

$SIG{$_} = sub { exit 130 } for qw(INT TERM HUP);
setting(timeout => 20);
binmode $_, ':utf8' for map { Test::More->builder->$_ } qw(output failure_output todo_output);

my $ROOM = open_room();
my $TLS_PORT = $ENV{TEST_NGINX_TLS_PORT};
my $PASSWORD = 'a-long-password-of-this-test';

sub main () {
    make_path("$ROOM/etc/session", "$ROOM/browsers");
    spew("$ROOM/etc/session/secrets", "the secret of this test\n");
    chmod 0600, "$ROOM/etc/session/secrets";

    subtest 'Django behind the jar'            => \&django_behind_the_jar;
    subtest 'Django behind the jar, remembered' => \&django_remembered;
    subtest 'an application with control headers' => \&app_with_control_headers;
    done_testing();
}

# ---- Django ----------------------------------------------------------------------------------------------------------

sub django_behind_the_jar () {
    my $django = start_django();
    my $own = HTTP::Tiny->new->get("http://shop.test:$django/admin/login/", { peer => '127.0.0.1' });
    like($own->{headers}{'set-cookie'} // '', qr/^csrftoken=/, 'without nginx, Django gives its cookies to the browser');

    my $nginx = start_nginx('django-behind-the-jar.conf', { host => 'shop.test', 8081 => $django });
    my $browser = new_browser('django');

    $browser->visit('https://shop.test/admin/');
    like($browser->url, qr{/admin/login/\?next=/admin/$}, 'the admin site asks for a login');
    my ($before) = only_session_cookie($browser, 'shop.test', 'at the login form');

    log_in_to_django($browser, 'a wrong password');
    like($browser->text, qr/Please enter the correct username and password/, 'a wrong password is refused, by a form with a good csrftoken');
    log_in_to_django($browser);
    is($browser->url, 'https://shop.test/admin/', 'a good password leads in');
    like($browser->text, qr/Welcome,\s+ann/i, 'as ann');
    my ($after) = only_session_cookie($browser, 'shop.test', 'when logged in');
    isnt($after->{value}, $before->{value}, 'a login changes the cookie');

    $browser->visit('https://shop.test/admin/auth/group/add/');
    $browser->fill('#id_name' => 'editors')->click('input[name=_save]');
    like($browser->text, qr/editors. was added successfully/, 'what Django says once comes by its cookie "messages"');
    $browser->visit('https://shop.test/admin/auth/group/');
    like($browser->text, qr/^\s*editors$/m, 'the group is there');
    unlike($browser->text, qr/was added successfully/, 'and the message is gone, as its cookie was removed');
    is($browser->script('document.cookie'), '', 'scripts see no cookie');

    be_idle($nginx);
    $browser->visit('https://shop.test/admin/');
    like($browser->url, qr{/admin/login/}, 'who was idle for too long has to log in, though Django would let them in for two weeks');

    log_in_to_django($browser);
    like($browser->text, qr/Welcome,\s+ann/i, 'ann is in again');
    log_out_of_django($browser);
    ok(!$browser->shows('#user-tools'), 'the logout works');
    $browser->back;
    unlike($browser->text, qr/Welcome,\s+ann/i, 'the back button shows no page of ann');
    like($browser->url, qr{/admin/login/}, 'but the login form');

    end_visit($browser, $nginx);
    my @names = map { $_->[1] =~ /^([^=]+)/mg } grep { lc $_->[0] eq 'set-cookie' } $browser->headers;
    is_deeply([grep { $_ ne '__Host-session' } @names], [], 'no cookie of Django was in any response');
}

sub django_remembered () {
    my $nginx = start_nginx('django-behind-the-jar.conf', { host => 'shop.test', 8081 => start_django(), on => 1 });
    my $browser = new_browser('django-remembered');
    $browser->visit('https://shop.test/admin/');
    log_in_to_django($browser);
    like($browser->text, qr/Welcome,\s+ann/i, 'ann is in');
    my %stored = stored($browser);
    is_deeply([sort keys %stored], [qw(__Host-remember __Host-session)], 'the browser has two cookies');
    is_cookie($stored{'__Host-session'}, { session_cookie('shop.test') }, 'the session cookie');
    is_cookie($stored{'__Host-remember'}, { session_cookie('shop.test'), session => 0, expires => 14 * DAY }, 'the remember cookie');

    $browser = restart($browser);
    is_deeply([map { $_->{name} } $browser->cookies], ['__Host-remember'], 'a browser that was closed has the remember cookie alone');
    $browser->visit('https://shop.test/admin/');
    like($browser->text, qr/Welcome,\s+ann/i, 'with which Django has its own cookies back');

    log_out_of_django($browser);
    $browser = restart($browser);
    $browser->visit('https://shop.test/admin/');
    like($browser->url, qr{/admin/login/}, 'after a logout the remember cookie brings nobody back');
    end_visit($browser, $nginx);
}

sub log_in_to_django ($browser, $password = $PASSWORD) {
    $browser->fill('#id_username' => 'ann')->fill('#id_password' => $password)->click('#login-form input[type=submit]');
}

# A link up to Django 4, a form since.
sub log_out_of_django ($browser) {
    $browser->click('a[href="/admin/logout/"], #logout-form button');
}

# A new project, one user, and what a settings.py has for nginx with TLS. Returns its port.
sub start_django () {
    state $folder = make_django();
    state $port = start_program('django', { DJANGO_SETTINGS_MODULE => 'behind_nginx' },
        PYTHON, "$folder/manage.py", 'runserver', '--noreload', '127.0.0.1:PORT');
    return $port;
}

sub make_django () {
    my $folder = "$ROOM/django";
    make_path($folder);
    run('startproject', {}, PYTHON, '-m', 'django', 'startproject', 'shop', $folder);
    spew("$folder/behind_nginx.py", <<~'PYTHON');
        from shop.settings import *
        ALLOWED_HOSTS = ["shop.test"]
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        PYTHON
    run('migrate', {}, PYTHON, "$folder/manage.py", 'migrate', '--verbosity', '0');
    run('createsuperuser', { DJANGO_SUPERUSER_PASSWORD => $PASSWORD },
        PYTHON, "$folder/manage.py", 'createsuperuser', '--noinput', '--username', 'ann', '--email', 'ann@shop.test');
    return $folder;
}

# ---- the application with control headers ----------------------------------------------------------------------------

sub app_with_control_headers () {
    my $app = start_program('accounts', {},
        PYTHON, '-m', 'uvicorn', '--app-dir', abs_path('t/apps'), '--log-level', 'warning', '--host', '127.0.0.1', '--port', 'PORT', 'accounts:app');
    my $redis = SessT::Servers->redis;
    my $nginx = start_nginx('app-with-control-headers.conf', { host => 'accounts.test', 8081 => $app, 6379 => $redis->port });
    my $browser = new_browser('accounts');

    $browser->visit('https://accounts.test/');
    like($browser->text, qr/You are nobody/, 'a visitor is nobody');
    $browser->click('a');
    is($browser->url, 'https://accounts.test/login', 'and is sent to the login form');
    log_in_to_accounts($browser, 'pear');
    is($browser->status, 403, 'a wrong password is refused');
    is_deeply([$browser->cookies], [], 'so far there is no cookie');

    log_in_to_accounts($browser, 'apple');
    is($browser->url, 'https://accounts.test/account/', 'a good password leads to the account');
    like($browser->text, qr/^Ann Archer\s+ann's colour is teal/, 'of ann');
    only_session_cookie($browser, 'accounts.test', 'when logged in');
    is($browser->script('document.cookie'), '', 'scripts see no cookie');
    $browser->fill('[name=color]' => 'plum')->click('button');
    like($browser->text, qr/ann's colour is plum/, 'what the application says is stored');

    be_idle($nginx);
    $browser->visit('https://accounts.test/account/');
    is($browser->url, 'https://accounts.test/login', 'who was idle for too long has to log in');
    is_deeply([$browser->cookies], [], 'and the browser has no cookie any more');

    log_in_to_accounts($browser, 'apple', 'remember');
    like($browser->text, qr/ann's colour is teal/, 'ann is in again, with a session of its own');
    $browser->fill('[name=color]' => 'orange')->click('button');
    my %stored = stored($browser);
    is_deeply([sort keys %stored], [qw(__Host-remember __Host-session)], 'a ticked box makes two cookies');
    is_cookie($stored{'__Host-session'}, { session_cookie('accounts.test') }, 'the session cookie');
    is_cookie($stored{'__Host-remember'}, { session_cookie('accounts.test'), session => 0, expires => 14 * DAY }, 'the remember cookie');

    $browser = restart($browser);
    is_deeply([map { $_->{name} } $browser->cookies], ['__Host-remember'], 'a browser that was closed has the remember cookie alone');
    $browser->visit('https://accounts.test/account/');
    like($browser->text, qr/^Ann Archer\s+ann's colour is orange/, 'which is enough');

    my @copies = $browser->cookies;
    $browser->click('[action="/logout"] button');
    is($browser->url, 'https://accounts.test/', 'the logout leads home');
    like($browser->text, qr/You are nobody/, 'where ann is not known');
    is_deeply([$browser->cookies], [], 'the browser has no cookie');
    $browser->back;
    unlike($browser->text, qr/ann/i, 'the back button shows no page of ann');
    is($browser->url, 'https://accounts.test/login', 'but the login form');
    $browser->put_back(@copies)->visit('https://accounts.test/account/');
    is($browser->url, 'https://accounts.test/login', 'copies of the cookies are worth nothing any more');
    ok(!{ stored($browser) }->{'__Host-session'}, 'and that of the session is removed');

    end_visit($browser, $nginx);
}

sub log_in_to_accounts ($browser, $password, $remember = '') {
    $browser->fill('[name=user]' => 'ann')->fill('[name=password]' => $password);
    $browser->tick('[name=remember]') if $remember;
    $browser->click('button');
}

# ---- what the browser has ----------------------------------------------------------------------------------------------

sub new_browser ($name) { return Browser->start(profile => "$ROOM/browsers/$name", port => $TLS_PORT) }

# All windows are closed, and the program is started again. What the first one has seen is checked.
sub restart ($browser) {
    nothing_refused($browser);
    $browser->close;
    return Browser->start(profile => $browser->{profile}, port => $TLS_PORT);
}

sub end_visit ($browser, $nginx) {
    nothing_refused($browser);
    $browser->close;
    is($nginx->stop, undef, 'nginx leaves as it should');
    my @errors = grep { /\[(?:error|crit|alert|emerg)\]/ } split /^/, slurp($nginx->root . '/logs/error.log');
    is_deeply(\@errors, [], 'no errors are logged');
}

sub nothing_refused ($browser) {
    is_deeply([$browser->refused], [], 'the browser refused no cookie');
    is_deeply([grep { /^x[-_]session[-_]/i } map { $_->[0] } $browser->headers], [], 'and saw no control header');
}

sub stored ($browser) { return map { $_->{name} => $_ } $browser->cookies }

sub session_cookie ($host) {
    return (domain => $host, path => '/', secure => 1, httpOnly => 1, sameSite => 'Lax', session => 1);
}

sub only_session_cookie ($browser, $host, $when) {
    my @cookies = $browser->cookies;
    is_deeply([map { $_->{name} } @cookies], ['__Host-session'], "$when: the browser has one cookie");
    is_cookie($cookies[0], { session_cookie($host) }, "$when: it");
    return @cookies;
}

# The attributes as the browser has stored them. A domain without a dot before it is that of one host; `expires` is in seconds
# from now.
sub is_cookie ($cookie, $wanted, $what) {
    my %wanted = %$wanted;
    my $lives = delete $wanted{expires};
    my %found = map { $_ => ref $cookie->{$_} ? 0 + $cookie->{$_} : $cookie->{$_} } keys %wanted;
    is_deeply(\%found, \%wanted, "$what has the attributes it should");
    cmp_ok(abs(($cookie->{expires} // 0) - time - $lives), '<', PATIENCE, "$what lives for @{[$lives / DAY]} days") if $lives;
}

# ---- nginx -------------------------------------------------------------------------------------------------------------

# A file of nginx-conf/ as a reader would change it: the names, the ports and, with `on`, the lines to be switched on.
sub start_nginx ($file, $change) {
    my $nginx = SessT::Nginx->new;
    $nginx->clear;
    $nginx->{text} = configuration($file, $change);
    $nginx->write_conf($nginx->{text});
    $nginx->start or die("nginx does not start with nginx-conf/$file:\n" . slurp($nginx->root . '/logs/error.log'));
    return $nginx;
}

sub configuration ($file, $change) {
    my ($root, $host) = ($ENV{TEST_NGINX_SERVROOT}, $change->{host});
    my $text = slurp("nginx-conf/$file") || die("there is no nginx-conf/$file");
    $text =~ s/^( *)#(?=[^ \n])/$1/mg if $change->{on};
    $text =~ s/\blisten 443\b/listen 127.0.0.1:$TLS_PORT/;
    $text =~ s/\bserver [\w.]+:$_\b/server 127.0.0.1:$change->{$_}/ for grep { /^\d+$/ } keys %$change;
    $text =~ s{/etc/nginx/tls/example\.org}{certificate($host)}ge;
    $text =~ s{/etc/nginx/}{$ROOM/etc/}g;
    $text =~ s/\bexample\.org\b/$host/g;
    my $modules = join '', map { "load_module $_;\n" } split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
    my $folders = join '', map { "${_}_temp_path $root/${_}_temp;\n" } qw(client_body proxy fastcgi uwsgi scgi);
    my $user = $> == 0 ? "user root;\n" : '';
    return <<~CONF;
        daemon off;
        worker_processes 2;
        ${user}pid $root/logs/nginx.pid;
        error_log $root/logs/error.log info;
        $modules
        events {}
        http {
        access_log $root/logs/access.log;
        port_in_redirect off;  # the browser knows of 443 alone
        $folders
        $text
        }
        CONF
}

# Without the ending: the key is beside it.
sub certificate ($host) {
    state $authority = SessT::Certificates->new("$ROOM/tls");
    state %made;
    $made{$host} //= do {
        my ($certificate, $key) = $authority->sign($host);
        link $certificate, "$ROOM/tls/$host.crt" or die("link: $!");
        link $key,         "$ROOM/tls/$host.key" or die("link: $!");
        "$ROOM/tls/$host";
    };
    return $made{$host};
}

# Half an hour without a click, in short: for two seconds nginx is told that a second is too long.
sub be_idle ($nginx) {
    my $short = $nginx->{text} =~ s/(session_idling_timeout +)30m;/${1}1s;/r;
    die('there is no session_idling_timeout to change') if $short eq $nginx->{text};
    $nginx->write_conf($short);
    is($nginx->reload, undef, 'nginx takes a shorter idling timeout');
    sleep 2.1;
}

# ---- programs ----------------------------------------------------------------------------------------------------------

# Starts a server and returns the port it listens on: PORT in the command.
sub start_program ($name, $environment, @command) {
    my $port = free_port();
    my $pid = spawn($name, $environment, map { s/\bPORT\b/$port/r } @command);
    guard_group($pid);
    my $end = time + PATIENCE;
    until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)) {
        my $gone = waitpid($pid, WNOHANG) == $pid;
        die("$name does not start (scripts/setup test installs what it needs):\n" . slurp("$ROOM/$name.log")) if $gone || time > $end;
        sleep 0.05;
    }
    return $port;
}

# Runs a program to its end.
sub run ($name, $environment, @command) {
    my $pid = spawn($name, $environment, @command);
    waitpid $pid, 0;
    die("$name fails (scripts/setup test installs what it needs):\n" . slurp("$ROOM/$name.log")) if $?;
}

sub spawn ($name, $environment, @command) {
    my $pid = fork // die("fork: $!");
    if ($pid) {
        setpgrp $pid, $pid;
        return $pid;
    }
    setpgrp;
    open STDIN,  '<',  '/dev/null';
    open STDOUT, '>>', "$ROOM/$name.log";
    open STDERR, '>&', \*STDOUT;
    local @ENV{keys %$environment} = values %$environment;
    exec { $command[0] } @command or POSIX::_exit(127);
}

main();
