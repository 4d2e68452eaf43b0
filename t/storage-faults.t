# Storages that are away, slow or lying: nobody is logged out, nobody gets in, nobody else waits, and all is well afterwards.
use lib 't/lib';
use SessT 'no_plan';

use IO::Select;
use IO::Socket::INET;
use List::Util qw(max);
use POSIX ();
use Time::HiRes qw(sleep time);

use SessT::Seen;
use SessT::Servers;

require './t/asking.pl';
rig 'none';
timeout 20;
# One worker, so that lines in the log can be counted, and all that waits waits for the same loop.
workers(1);

our %server = (
    redis     => SessT::Servers->redis('--appendonly', 'yes', '--appendfsync', 'always'),
    postgres  => SessT::Servers->postgres,
    memcached => SessT::Servers->memcached,
    mysql     => SessT::Servers->mysql,
);
our %proxy = map { $_ => SessT::Servers->proxy($server{$_}) } qw(redis postgres);

# A storage of files is away when its folder is a file.
our $folder = File::Temp->newdir('sesst-files-XXXXXXXX', TMPDIR => 1);
mkdir "$folder/there" or die "mkdir: $!";

our @all = qw(redis postgres memcached mysql file);

sub login { return 'database ' . SessT::Servers::DATABASE . '; username ' . SessT::Servers::USER . '; password ' . SessT::Servers::PASSWORD . ';' }

sub backend {
    my ($name, $type, $lines) = @_;
    return "session_backend $name $type { timeout 500ms; path $folder/there; }\n" if $type eq 'file';
    $lines .= login() if $type =~ /postgres|mysql/;
    return "session_backend $name $type { $lines }\n";
}

sub backends {
    my $port = sub { 'server 127.0.0.1:' . $_[0]->port . ';' };
    my $quick = 'timeout 500ms; connect_timeout 500ms;';
    return join '', backend('file', 'file'),
        (map { backend($_, $_, $port->($server{$_}) . $quick) } sort keys %server),
        (map { backend("patient_$_", $_, $port->($server{$_}) . 'timeout 20s;') } qw(redis postgres)),
        (map { backend("proxied_$_", $_, $port->($proxy{$_}) . $quick) } sort keys %proxy);
}

sub locations {
    my ($name) = @_;
    my $echo = 'proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;';
    my $pass = 'session_on_error pass;';
    my %in = (
        put      => 'session_set user $arg_u; return 204;',
        show     => 'return 200 "$session_status [$session_data_user]";',
        out      => 'session destroy; return 204;',
        up       => $echo,
        upput    => "session_set user \$arg_u; $echo",
        need     => "session_require on; $echo",
        pass     => "$pass session_map_header X-User user; session_request_headers id subject; $echo",
        passput  => "$pass session_set user \$arg_u; $echo",
        passrput => "$pass session_set user \$arg_u; return 204;",
        passneed => "$pass session_require on; $echo",
        passout  => "$pass session destroy; return 204;",
        remember     => 'session_remember on; session_set user $arg_u if=$arg_u; return 200 "$session_status [$session_data_user]";',
        rememberpass => "$pass session_remember on; $echo",
        page     => "error_page 503 = \@sorry; $echo",
    );
    return map { "location = /$name/$_ { session_storage $name; $in{$_} }\n" } sort keys %in;
}

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config => backends() . "session start;\nsession_secret test-secret;\nsession_stale_ttl 1m;\nkeepalive_requests 100000;\n" . ($block->http_config // ''));
    $block->set_value(config => join '', map({ locations($_) } sort(keys %server), 'file', map { ("proxied_$_", "patient_$_") } qw(redis postgres)),
        "location = /plain { session off; return 200 plain; }\nlocation \@sorry { return 200 \"sorry \$session_status\"; }\n");
    $block->set_value(request => "GET /plain");
});

# --- the storages ---

sub away {
    my ($name) = @_;
    return $server{$name}->stop if $server{$name};
    rename "$folder/there", "$folder/away" or die "rename: $!";
    SessT::Room::spew("$folder/there", '');
    return;
}

sub back {
    my ($name) = @_;
    return $server{$name}->start if $server{$name};
    unlink "$folder/there";
    rename "$folder/away", "$folder/there" or die "rename: $!";
    return;
}

# A small disk of its own, where we may mount one.
sub mount_disk {
    my ($where) = @_;
    mkdir $where;
    return system("mount -t tmpfs -o size=64k,mode=0700 tmpfs '$where' 2>/dev/null") == 0;
}

sub unmount_disk { my ($where) = @_; return system("umount --lazy '$where'") == 0 }

sub can_mount { return mount_disk("$folder/disk") && unmount_disk("$folder/disk") }

# --- a client ---

sub has_cookie { return $_[0] =~ /^Set-Cookie:/mi ? 1 : 0 }

# A session in a storage, made with patience.
sub login_at {
    my ($name, $user) = @_;
    my $answer = '';
    my $end = time + 20;
    until (status($answer = ask("/$name/put?u=$user")) eq '204' || time > $end) { sleep 0.1 }
    return token($answer);
}

# Until the storage serves the session again; the seconds that took.
sub recovers {
    my ($name, $cookie, $expected) = @_;
    my ($start, $answer) = (time, '');
    until (status($answer = ask("/$name/show", $cookie)) eq '200' || time > $start + 20) { sleep 0.05 }
    main::like body($answer), $expected, "$name: is back without a restart";
    main::is has_cookie($answer), $expected =~ /open/ ? 0 : 1, "$name: and the cookie is as it should be";
    return;
}

# What every request says while its storage is away.
sub expect_outage {
    my ($name, $cookie) = @_;
    my %expected = map { $_ => 503 } qw(show put out up upput need passneed);
    for my $where (sort keys %expected) {
        my $answer = ask("/$name/$where?u=eve", $cookie);
        main::is status($answer), $expected{$where}, "$name: $where fails";
        main::is has_cookie($answer), 0, "$name: $where leaves the cookie";
    }
    for my $where (qw(put upput)) {
        my $answer = ask("/$name/$where?u=eve");
        main::is status($answer) . has_cookie($answer), '5030', "$name: $where makes no session";
    }
    for my $where (qw(passput passrput passout)) {
        my $answer = ask("/$name/$where?u=eve", $cookie);
        main::is status($answer) . has_cookie($answer), $where eq 'passput' ? '2000' : '2040', "$name: $where goes on without";
    }
    my $answer = ask("/$name/pass", $cookie, 'X-User: evil', 'Session-Id: evil', 'Session_Subject: evil');
    main::is status($answer) . has_cookie($answer), '2000', "$name: pass goes on";
    my $seen = SessT::Seen->decode(body($answer));
    main::is join(' ', grep { defined $seen->header($_) } qw(X-User Session-Id Session-Subject Session_Subject)), '', "$name: and the upstream is told of nobody";
    main::is $seen->header('Cookie'), $cookie, "$name: but gets the cookie";
    main::is body(ask("/$name/page", $cookie)), 'sorry error', "$name: error_page works";
    main::is body(ask("/$name/show")), 'missing []', "$name: who has no cookie needs no storage";
    return;
}

# --- the log ---

sub log_text { return SessT::Room::slurp(server_root() . '/logs/error.log') }

# Lines of the module about a storage, from a place on.
sub lines_about {
    my ($name, $level, $from) = @_;
    my $text = substr log_text(), $from;
    return grep { /\[$level\].*session: storage "\Q$name\E"/ } split /\n/, $text;
}

sub expect_lines {
    my ($name, $from) = @_;
    my @errors = lines_about($name, 'error', $from);
    main::is scalar(@errors), 1, "$name: one error line" or main::diag(@errors);
    my @notices = lines_about($name, 'notice', $from);
    main::is scalar(@notices), 1, "$name: one line that it is back" or main::diag(@notices);
    return;
}

# --- others meanwhile ---

# Asks for a page without a session again and again while $code runs; the times that took, sorted.
sub meanwhile {
    my ($code) = @_;
    pipe my $read, my $write or die "pipe: $!";
    pipe my $stop_read, my $stop or die "pipe: $!";
    defined(my $pid = fork) or die "fork: $!";
    if (!$pid) {
        close $stop;
        my $socket = send_bytes($main::port, '');
        my @times;
        until (IO::Select->new($stop_read)->can_read(0.005)) {
            my $start = time;
            print {$socket} "GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n";
            $socket->flush;
            my $text = '';
            until ($text =~ /plain\z/) { sysread $socket, $text, 4096, length $text or last }
            push @times, time - $start;
        }
        syswrite $write, join ' ', map { sprintf '%.4f', $_ } @times;
        POSIX::_exit(0);
    }
    close $write;
    $code->();
    close $stop;
    my @times = sort { $a <=> $b } split ' ', do { local $/; <$read> };
    waitpid $pid, 0;
    return @times;
}

# The machine may be busy: one late answer is no sign, waiting for a storage is.
sub expect_quick {
    my ($what, @times) = @_;
    main::cmp_ok scalar(@times), '>', 20, "$what: others ask";
    main::cmp_ok $times[ int(@times * 0.9) ], '<', 0.05, "$what: and are answered in less than 50 ms";
    main::cmp_ok $times[-1], '<', 0.45, "$what: none waits as long as the storage";
    return;
}

sub master { return SessT::Room::slurp(server_root() . '/logs/nginx.pid') =~ /(\d+)/ ? $1 : die 'no pid' }

sub worker_pids { return split ' ', `ps -o pid= --ppid @{[master()]}` }

run_tests();
__DATA__

=== down at start: nginx starts, says so, and finds the storage when it comes
--- post_setup_server_root
main::away($_) for @main::all;
--- init
sleep 1.5;
for my $name (@main::all) {
    like main::log_text(), qr/\[warn\].*session: storage "$name" at start: /, "$name: a warning";
    my $from = length main::log_text();
    my $answer = main::ask("/$name/put?u=ann");
    is main::status($answer) . main::has_cookie($answer), '5030', "$name: no session";
    is main::status(main::ask("/$name/passput?u=ann")), 200, "$name: unless it may pass";
    main::back($name);
    my $cookie = main::login_at($name, 'ann');
    is main::body(main::ask("/$name/show", $cookie)), 'open [ann]', "$name: it came, and works";
    main::expect_lines($name, $from);
}

=== gone and back: nobody is logged out
--- init
for my $name (@main::all) {
    my $cookie = main::login_at($name, 'ann');
    my $from = length main::log_text();
    main::away($name);
    main::expect_outage($name, $cookie);
    main::back($name);
    main::recovers($name, $cookie, $name eq 'memcached' ? qr/^no-record/ : qr/^open \[ann\]$/);
    main::expect_lines($name, $from);
}

=== killed under load: some requests fail, none does wrong, and all is back
--- init
for my $name (qw(redis postgres mysql file)) {
    my @cookies = map { main::login_at($name, "u$_") } 0 .. 4;
    my %expected = (show => qr/^open \[u\d\]$/, up => qr/"method":"GET"/, put => qr/^$/, upput => qr/"method":"GET"/);
    my ($good, $failed, @wrong, @saved) = (0, 0);
    my ($start, $state) = (time, 0);
    while (time < $start + 3) {
        if ($state == 0 && time > $start + 0.6) { main::away($name); $state = 1 }
        if ($state == 1 && time > $start + 1.6) { main::back($name); $state = 2 }
        my @where = map { my $where = $_; map { [ $where, $_ ] } 0 .. 4 } sort keys %expected;
        my @asked = map { main::send_request("/$name/$_->[0]?u=new", $cookies[$_->[1]]) } @where;
        for my $i (0 .. $#asked) {
            my ($answer, $where) = (main::answer($asked[$i]), $where[$i][0]);
            my ($status, $has_cookie, $saves) = (main::status($answer), main::has_cookie($answer), scalar $where =~ /put/);
            if    ($status eq '503' && !$has_cookie) { $failed++ }
            elsif ($status =~ /^20[04]$/ && $has_cookie == ($saves ? 1 : 0) && main::body($answer) =~ $expected{$where}) {
                $good++;
                push @saved, main::token($answer) if $saves;
            }
            else { push @wrong, "$where: $answer" }
        }
    }
    is scalar(@wrong), 0, "$name: no answer is wrong" or diag($wrong[0]);
    cmp_ok $good, '>', 5, "$name: many are good";
    cmp_ok $failed, '>', 0, "$name: some fail";
    main::recovers($name, $saved[-1], qr/^open \[new\]$/);
    # Each token that went out opens its session: none was sent before the storage had it.
    my @lost = grep { main::body(main::ask("/$name/show", $_)) ne 'open [new]' } @saved;
    is scalar(@lost), 0, "$name: and no session is lost of " . @saved;
}

=== away while a remember cookie is looked at: no cookie is cleared, whatever the session cookie is
--- http_config
session_remember_safety None;
--- init
for my $name (qw(redis postgres file)) {
    my $answer = main::ask("/$name/remember?u=ann");
    my %token = $answer =~ /^Set-Cookie: (session|remember)=([^;\r]+)/mg;
    is join(' ', sort keys %token), 'remember session', "$name: remembered";
    main::ask("/$name/out", "session=$token{session}");
    my $tampered = $token{session} =~ s/.\z/$& eq 'A' ? 'E' : 'A'/er;
    my @cookies = ("remember=$token{remember}", map { "session=$_; remember=$token{remember}" } $token{session}, $tampered, 'x');
    main::away($name);
    for my $where (qw(remember rememberpass)) {
        for my $i (0 .. $#cookies) {
            my $answer = main::ask("/$name/$where", $cookies[$i]);
            is main::status($answer) . main::has_cookie($answer), $where =~ /pass/ ? '2000' : '5030', "$name: $where $i";
        }
    }
    main::back($name);
    main::recovers($name, main::login_at($name, 'ann'), qr/^open/);
    like main::ask("/$name/remember", $cookies[0]), qr/remembered \[ann\]\z/, "$name: back, the user is remembered";
}

=== killed while a connection is idle: the first request afterwards works
--- init
for my $name (qw(redis postgres mysql)) {
    my $cookie = main::login_at($name, 'ann');
    main::ask("/$name/show", $cookie) for 1 .. 3;
    my $from = length main::log_text();
    main::away($name);
    main::back($name);
    sleep 0.3;
    my @answers = map { main::ask("/$name/show", $cookie) } 1 .. 3;
    is join(' ', map { main::body($_) } @answers), join(' ', ('open [ann]') x 3), "$name: nobody notices";
    is scalar(main::lines_about($name, 'error', $from)), 0, "$name: nor does the log";
}

=== frozen: the timeout holds, and others do not wait
--- init
for my $name (qw(redis postgres memcached mysql)) {
    my $cookie = main::login_at($name, 'ann');
    my $from = length main::log_text();
    my @took;
    $main::server{$name}->freeze;
    my @times = main::meanwhile(sub {
        for my $round (1 .. 2) {
            my $start = time;
            my @asked = map { main::send_request("/$name/" . ($_ % 2 ? 'show' : 'put?u=eve'), $cookie) } 1 .. 20;
            for (@asked) {
                my $answer = main::answer($_);
                is main::status($answer) . main::has_cookie($answer), '5030', "$name: a request fails" if main::status($answer) . main::has_cookie($answer) ne '5030';
                push @took, time - $start;
            }
        }
    });
    main::expect_quick($name, @times);
    cmp_ok max(@took), '<', 2.5, "$name: after the timeout all have failed";
    cmp_ok $took[0], '>', 0.3, "$name: and not before it";
    main::expect_outage($name, $cookie);
    $main::server{$name}->thaw;
    main::recovers($name, $cookie, qr/^open \[(?:ann|eve)\]$/);
    main::expect_lines($name, $from);
}

=== clients that leave while the storage is frozen
--- init
for my $name (qw(redis postgres)) {
    my $cookie = main::login_at($name, 'ann');
    $main::server{$name}->freeze;
    for my $round (1 .. 4) {
        my @asked = map { main::send_request("/patient_$name/" . ($_ % 2 ? 'show' : 'put?u=eve'), $cookie) } 1 .. 25;
        sleep 0.15;
        close $_ for @asked;
    }
    $main::server{$name}->thaw;
    main::recovers($name, $cookie, qr/^open \[ann\]$/);
    main::recovers("patient_$name", $cookie, qr/^open \[ann\]$/);
}

=== replies that are cut, reset or late: never a wrong answer
--- init
for my $name (qw(redis postgres)) {
    my ($cookie, $proxied) = (main::login_at("proxied_$name", 'ann'), "proxied_$name");
    for my $fault ((map { ("cut $_", "reset $_") } 0, 1, 4, 7, 60, 150, 400), 'hang', 'delay 900', 'drip 1 60', 'refuse') {
        $main::proxy{$name}->fault($fault);
        my @answers = (main::ask("/$proxied/show", $cookie), main::ask("/$proxied/put?u=ann"), main::ask("/$proxied/show", $cookie));
        my @said = map { main::status($_) eq '200' ? main::body($_) : main::status($_) } @answers;
        like "@said", qr/^(?:open \[ann\]|503) (?:204|503) (?:open \[ann\]|503)$/, "$name: $fault";
        is main::has_cookie($answers[$_]), 0, "$name: $fault clears nothing" for 0, 2;
        is main::has_cookie($answers[1]), main::status($answers[1]) eq '204' ? 1 : 0, "$name: $fault: a session is stored, or there is none";
        like "@said", qr/503/, "$name: $fault is noticed" if $fault =~ /hang|delay|refuse|cut 0/;
        # A cookie that was sent opens its session, whatever happened.
        my $new = main::has_cookie($answers[1]) ? main::token($answers[1]) : undef;
        $main::proxy{$name}->fault('ok');
        main::recovers($proxied, $cookie, qr/^open \[ann\]$/);
        main::recovers($proxied, $new, qr/^open \[ann\]$/) if $new;
    }
}

=== a slow storage is waited for, and others are not kept
--- init
for my $name (qw(redis postgres)) {
    my ($cookie, $proxied) = (main::login_at("proxied_$name", 'ann'), "proxied_$name");
    $main::proxy{$name}->fault('delay 100');
    my @said;
    my @times = main::meanwhile(sub { @said = map { main::body(main::ask("/$proxied/show", $cookie)) } 1 .. 5 });
    is "@said", join(' ', ('open [ann]') x 5), "$name: all are answered";
    main::expect_quick($name, @times);
    $main::proxy{$name}->fault('ok');
}

=== reload with requests waiting: none is lost
--- init
for my $name (qw(redis postgres)) {
    my $cookie = main::login_at("patient_$name", 'ann');
    $main::server{$name}->freeze;
    my @asked = map { main::send_request("/patient_$name/" . ($_ % 2 ? 'show' : 'upput?u=bob'), $cookie) } 1 .. 10;
    sleep 0.3;
    kill HUP => main::master();
    sleep 0.7;
    $main::server{$name}->thaw;
    my @answers = map { main::answer($_) } @asked;
    is join(' ', map { main::status($_) } @answers), join(' ', (200) x 10), "$name: all are answered";
    is scalar(grep { main::has_cookie($_) } @answers), 5, "$name: and saved";
    is main::body(main::ask("/$name/show", main::token($answers[1]))), 'open [bob]', "$name: for good";
}

=== a worker that quits gracefully answers who waits, with 503 if the storage stays away
--- init
for my $name (qw(redis postgres)) {
    my $cookie = main::login_at("patient_$name", 'ann');
    for my $where ("patient_$name", $name) {
        main::recovers($where, $cookie, qr/^open \[ann\]$/);
        my ($worker) = main::worker_pids();
        $main::server{$name}->freeze;
        my @asked = map { main::send_request("/$where/" . ($_ % 2 ? 'show' : 'put?u=bob'), $cookie) } 1 .. 10;
        sleep 0.2;
        kill QUIT => $worker;
        sleep($where =~ /patient/ ? 0.5 : 1.2);
        $main::server{$name}->thaw;
        my @answers = map { main::answer($_) } @asked;
        my @expected = $where =~ /patient/ ? (200, 204) : (503, 503);
        is join(' ', map { main::status($_) } @answers), join(' ', (@expected) x 5), "$where: all are answered";
        my $end = time + 10;
        sleep 0.05 while time < $end && grep { $_ == $worker } main::worker_pids();
        is scalar(grep { $_ == $worker } main::worker_pids()), 0, "$where: and the worker has left";
    }
}
--- no_error_log
open socket

=== a worker leaves quickly while a storage is frozen and nobody waits
--- init
for my $name (qw(redis postgres memcached mysql)) {
    my $cookie = main::login_at($name, 'ann');
    $main::server{$name}->freeze;
    main::ask("/$name/show", $cookie);
    my ($worker) = main::worker_pids();
    my $start = time;
    kill QUIT => $worker;
    sleep 0.02 while time < $start + 10 && grep { $_ == $worker } main::worker_pids();
    cmp_ok time - $start, '<', 3, "$name: the worker has left";
    $main::server{$name}->thaw;
    main::recovers($name, $cookie, qr/^open \[ann\]$/);
}
--- no_error_log
open socket

=== wrong passwords, databases and tables: refused, with a reason and no secret
--- http_config eval
join '', map {
    my ($type, $server) = ($_, 'server 127.0.0.1:' . $main::server{$_}->port . ';');
    my $user = 'username ' . SessT::Servers::USER . ';';
    my $database = 'database ' . SessT::Servers::DATABASE . ';';
    my $password = 'password ' . SessT::Servers::PASSWORD . ';';
    "session_backend ${type}_password $type { $server $user $database password wrong-hunter; }
     session_backend ${type}_user $type { $server $database $password username nobody; }
     session_backend ${type}_database $type { $server $user $password database nowhere; }
     session_backend ${type}_table $type { $server $user $password $database table nothing; }
     server {
         listen 127.0.0.1:\$TEST_NGINX_RAND_PORT_1;
         server_name $type;
         location = /password { session_storage ${type}_password; session_set a 1; return 204; }
         location = /user     { session_storage ${type}_user;     session_set a 1; return 204; }
         location = /database { session_storage ${type}_database; session_set a 1; return 204; }
         location = /table    { session_storage ${type}_table;    session_set a 1; return 204; }
     }
    "
} qw(postgres mysql)
--- init
my $port = SessT::Room::expand('$TEST_NGINX_RAND_PORT_1');
for my $type (qw(postgres mysql)) {
    for my $fault (qw(password user database table)) {
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "connect: $!";
        print {$socket} "GET /$fault HTTP/1.1\r\nHost: $type\r\nConnection: close\r\n\r\n";
        my $answer = main::answer($socket);
        is main::status($answer) . main::has_cookie($answer), '5030', "$type: wrong $fault";
        like main::log_text(), qr/\[error\].*session: storage "${type}_$fault": the session storage refused us/, "$type: the log has the reason";
    }
}
--- no_error_log
hunter

=== a full disk: who is there stays, nobody comes, until there is room
--- skip_eval
10: !main::can_mount()
--- post_setup_server_root
main::mount_disk("$main::folder/disk") or die 'no disk';
--- http_config eval
"session_backend disk file { path $main::folder/disk; }
 server { listen 127.0.0.1:\$TEST_NGINX_RAND_PORT_2; @{[main::locations('disk')]} }
"
--- init
my $disk = "$main::folder/disk";
my $done = eval {
    local $main::port = SessT::Room::expand('$TEST_NGINX_RAND_PORT_2');
    my $cookie = main::login_at('disk', 'ann');
    my $from = length main::log_text();
    open my $filler, '>', "$disk/filler" or die "open: $!";
    1 while syswrite $filler, 'x' x 4096;
    close $filler;
    for my $old ($cookie, undef) {
        my $answer = main::ask('/disk/put?u=eve', $old);
        is main::status($answer) . main::has_cookie($answer), '5030', 'no save';
    }
    is main::body(main::ask('/disk/show', $cookie)), 'open [ann]', 'the session is what it was';
    is join(' ', grep { !/^filler$|^session_.{43}$/ } map { m{([^/]+)$} } glob "$disk/{*,.session*}"), '', 'nothing half written is left';
    main::ask($_, $cookie) for ('/disk/put?u=eve', '/disk/show') x 5;
    is scalar(main::lines_about('disk', $_, $from)), $_ eq 'error' ? 1 : 0, "one outage, so many lines at $_" for qw(error notice);
    unlink "$disk/filler";
    my $answer = main::ask('/disk/put?u=bob', $cookie);
    is main::body(main::ask('/disk/show', main::token($answer))), 'open [bob]', 'there is room again';
    my @lines = main::lines_about('disk', 'error', $from);
    like "@lines", qr/full/, 'the log says why';
    1;
};
my $why = $@;
main::unmount_disk($disk);
die $why unless $done;
