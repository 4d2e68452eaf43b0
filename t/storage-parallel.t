# Many requests at a time with one session, and several nginx on one storage.
use lib 't/lib';
use SessT 'no_plan';

use File::Path qw(make_path);
use File::Temp ();
use POSIX ();
use Time::HiRes qw(sleep time);

use SessT::Guard;
use SessT::Servers;
use SessT::Settings;

require './t/asking.pl';
rig 'none';
timeout 20;
workers(4);

our %server = (redis => SessT::Servers->redis, postgres => SessT::Servers->postgres);
our %proxy = map { $_ => SessT::Servers->proxy($server{$_}) } keys %server;
our $folder = File::Temp->newdir('sesst-files-XXXXXXXX', TMPDIR => 1);

our @all = qw(redis postgres file shm);

sub backend {
    my ($name) = @_;
    my $common = 'timeout 10s; connect_timeout 10s; pool_size 4;';
    return "session_backend shm shm { size 4m; }\n" if $name eq 'shm';
    return "session_backend file file { path $folder/records; }\n" if $name eq 'file';
    my $port = $name =~ /slow_(.*)/ ? $proxy{$1}->port : $server{$name}->port;
    my ($type) = $name =~ /(redis|postgres)/;
    my $login = $type eq 'redis' ? '' : 'database ' . SessT::Servers::DATABASE . '; username ' . SessT::Servers::USER . '; password ' . SessT::Servers::PASSWORD . ';';
    return "session_backend $name $type { server 127.0.0.1:$port; $common $login }\n";
}

sub locations {
    my ($name, $where, $lines) = @_;
    my %in = (
        put   => 'session_set user $arg_u; return 204;',
        map({ ("key$_" => "session_set key$_ $_; return 204;") } 0 .. 49),
        unset => 'session_unset user; return 204;',
        show  => 'return 200 "$session_status [$session_data_user]";',
        json  => 'return 200 "$session_json";',
        id    => 'return 200 "$session_id";',
        up    => 'session_map_header X-User user; proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;',
        out   => 'session destroy; return 204;',
    );
    return map { "location = /$where/$_ { session_storage $name; $lines $in{$_} }\n" } sort keys %in;
}

add_block_preprocessor(sub {
    my ($block) = @_;
    my @slow = map { "slow_$_" } sort keys %server;
    $block->set_value(http_config => join '', "session start;\nsession_secret test-secret;\n", map { backend($_) } @all, @slow);
    $block->set_value(config => join '', map({ locations($_, $_, '') } @all),
        map({ locations($_, "brief/$_", 'session_stale_ttl 1s;') } @all),
        map({ locations($_, "renewing/$_", 'session_renew_after 2s; session_stale_ttl 20s;') } @all, @slow),
        "location = /plain { session off; return 200 plain; }\n");
    $block->set_value(request => 'GET /plain');
});

# --- clients ---

# All at the same time.
sub ask_all {
    my ($cookie, @paths) = @_;
    my @asked = map { send_request($_, $cookie) } @paths;
    return map { answer($_) } @asked;
}

sub count_of { my %seen = map { $_ => 1 } @_; return scalar keys %seen }

sub statuses { my %count; $count{ status($_) }++ for @_; return join ' ', map { "$_: $count{$_}" } sort keys %count }

# Records that are alive, where they can be counted.
sub records {
    my ($name) = @_;
    return $server{redis}->ask('DBSIZE') if $name =~ /redis/;
    return $server{postgres}->ask('SELECT COUNT(*) FROM sessions WHERE exp > CURRENT_TIMESTAMP') if $name =~ /postgres/;
    return scalar(grep { (stat)[9] > time } glob "$folder/records/session_*") if $name eq 'file';
    return;
}

sub remove_all {
    $server{redis}->ask('FLUSHALL');
    $server{postgres}->ask('DELETE FROM sessions');
    unlink glob "$folder/records/session_*";
    return;
}

# A user with a browser of his own, in a process of his own; what went wrong.
sub user {
    my ($code) = @_;
    my $pid = open(my $said, '-|') // die "fork: $!";
    return $said if $pid;
    my $wrong = eval { $code->() } // $@;
    print $wrong;
    close STDOUT;
    POSIX::_exit(0);
}

sub pid_in { my ($file) = @_; return -s $file && SessT::Room::slurp($file) =~ /(\d+)/ ? $1 : 0 }

sub until_holds {
    my ($holds) = @_;
    my $end = time + 20;
    sleep 0.05 until $holds->() || time > $end;
    return $holds->();
}

# Another nginx with the same configuration on a port of its own; a daemon, which can be upgraded.
sub another_nginx {
    my $root = File::Temp->newdir('sesst-nginx-XXXXXXXX', TMPDIR => 1);
    my $other = SessT::Ports::free_port();
    make_path(map { "$root/$_" } qw(conf logs html));
    my $conf = SessT::Room::slurp(server_root() . '/conf/nginx.conf');
    $conf =~ s/\Q@{[server_root()]}\E/$root/g;
    $conf =~ s/listen 127.0.0.1:\d+/listen 127.0.0.1:$other/;
    $conf =~ s/^daemon off/daemon on/m;
    SessT::Room::spew("$root/conf/nginx.conf", $conf);
    system(SessT::Settings::setting('binary'), '-p', "$root/", '-e', "$root/logs/error.log", '-c', "$root/conf/nginx.conf") == 0
        or die "the other nginx does not start:\n" . SessT::Room::slurp("$root/logs/error.log");
    my $pid_file = "$root/logs/nginx.pid";
    until_holds(sub { pid_in($pid_file) }) or die "the other nginx has no pid file\n";
    SessT::Guard::guard_group(pid_in($pid_file));
    return { pid => pid_in($pid_file), pid_file => $pid_file, port => $other, root => $root };
}

sub end_of {
    my ($nginx) = @_;
    kill QUIT => pid_in($nginx->{pid_file});
    main::ok until_holds(sub { !kill 0 => -$nginx->{pid} }), 'the other nginx leaves';
    SessT::Guard::release_group($nginx->{pid});
    my @complaints = grep { /\[(?:alert|emerg)\]|exited on signal|open socket/ } split /\n/, SessT::Room::slurp("$nginx->{root}/logs/error.log");
    main::is "@complaints", '', 'and there is nothing to complain about';
    return;
}

run_tests();
__DATA__

=== Q1: 50 parallel writers of one session: each is served and keeps what was there, the last one wins
--- init
for my $name (@main::all) {
    my $cookie = main::token(main::ask("/$name/put?u=ann"));
    my @answers = main::ask_all($cookie, map { "/$name/key$_" } 0 .. 49);
    is main::statuses(@answers), '204: 50', "$name: all are served";
    my @tokens = main::tokens(@answers);
    is main::count_of(@tokens), 50, "$name: each with a session";
    my @wrong = grep { my $json = main::body(main::ask("/$name/json", $tokens[$_])); $json !~ /"user":"ann"/ || $json !~ /"key$_":"$_"/ } 0 .. 49;
    is "@wrong", '', "$name: each has what was there and what was added";
    is main::body(main::ask("/$name/show", $cookie)), 'open [ann]', "$name: the old one opens for session_stale_ttl";
}

=== parallel writers of sessions that are new: as many sessions as writers
--- init
for my $name (@main::all) {
    main::remove_all();
    my @answers = main::ask_all(undef, map { "/$name/put?u=u$_" } 1 .. 30);
    my @tokens = main::tokens(@answers);
    is main::count_of(@tokens), 30, "$name: a session each";
    is main::records($name), 30, "$name: a record each" if defined main::records($name);
    my @wrong = grep { main::body(main::ask("/$name/show", $tokens[$_ - 1])) ne "open [u$_]" } 1 .. 30;
    is "@wrong", '', "$name: nobody gets another's";
}

=== 300 parallel requests and a few connections: all are answered
--- init
for my $name (@main::all) {
    my $cookie = main::token(main::ask("/$name/put?u=ann"));
    my @answers = main::ask_all($cookie, map { $_ % 3 ? "/$name/show" : "/$name/up" } 1 .. 300);
    is main::statuses(@answers), '200: 300', "$name: all are answered";
    is scalar(grep { /open \[ann\]|\["X-User","ann"\]/ } @answers), 300, "$name: with the session";
}

=== Q3: parallel users who come, store, read, remove and leave: no error, and nothing is left
--- init
for my $name (@main::all) {
    main::remove_all();
    my @users = map {
        my $user = $_;
        main::user(sub {
            for my $round (1 .. 3) {
                my $cookie = main::token(main::ask("/brief/$name/put?u=u$user"));
                for my $step (1 .. 3) {
                    $cookie = main::token(main::ask("/brief/$name/put?u=u$user.$step", $cookie));
                    my $body = main::body(main::ask("/brief/$name/show", $cookie));
                    return "read: $body" if $body ne "open [u$user.$step]";
                }
                $cookie = main::token(main::ask("/brief/$name/unset", $cookie));
                my $body = main::body(main::ask("/brief/$name/show", $cookie));
                return "after unset: $body" if $body ne 'open []';
                my $answer = main::ask("/brief/$name/out", $cookie);
                return "out: $answer" if main::status($answer) ne '204';
                $body = main::body(main::ask("/brief/$name/show", $cookie));
                return "after destroy: $body" if $body ne 'no-record []';
            }
            return '';
        });
    } 1 .. 10;
    my @wrong = grep { length } map { my $said = $_; local $/; my $text = <$said>; close $said; $text // '' } @users;
    is "@wrong", '', "$name: no error";
    next unless defined main::records($name);
    my $end = time + 10;
    sleep 0.2 until main::records($name) == 0 || time > $end;
    is main::records($name), 0, "$name: nothing is left";
}

=== a renewal is due and 40 requests come at once: all are served, a few new records, no data lost
--- init
my %cookie = map { $_ => main::token(main::ask("/renewing/$_/put?u=ann")) } @main::all, 'slow_redis', 'slow_postgres';
$_->fault('delay 50') for values %main::proxy;
sleep 3.2;
for my $name (sort keys %cookie) {
    my $had = main::records($name);
    my @answers = main::ask_all($cookie{$name}, map { $_ % 2 ? "/renewing/$name/show" : "/renewing/$name/up" } 1 .. 40);
    is main::statuses(@answers), '200: 40', "$name: all are served";
    is scalar(grep { /open \[ann\]|\["X-User","ann"\]/ } @answers), 40, "$name: with the session";
    # Who comes while it is renewed gets the token that another request has made.
    my %token = map { $_ => 1 } main::tokens(@answers);
    my @tokens = keys %token;
    cmp_ok scalar(@tokens), '>', 0, "$name: it is renewed";
    cmp_ok scalar(@tokens), '<=', 4, "$name: once a worker at most";
    is main::records($name) - $had, scalar(@tokens), "$name: as many records" if defined $had;
    my @after = main::ask_all($cookie{$name}, map { "/renewing/$name/show" } 1 .. 20);
    is scalar(grep { /open \[ann\]/ } @after), 20, "$name: the old token opens for session_stale_ttl";
    my %ever = map { $_ => 1 } @tokens, main::tokens(@after);
    cmp_ok scalar(keys %ever), '<=', 4, "$name: and is not renewed again";
    is main::body(main::ask("/renewing/$name/show", $_)), 'open [ann]', "$name: the new one has the data" for @tokens;
}
$_->fault('ok') for values %main::proxy;

=== a renewal that fails leaves the session as it was, and is made up for
--- init
my $cookie = main::token(main::ask('/renewing/redis/put?u=ann'));
sleep 3.2;
# A server out of memory reads, but does not write.
$main::server{redis}->ask('CONFIG', 'SET', 'maxmemory', '1');
my @answers = main::ask_all($cookie, ('/renewing/redis/show') x 8);
is scalar(main::tokens(@answers)), 0, 'no token without a record';
is scalar(grep { /^Set-Cookie/m } @answers), 0, 'no Set-Cookie at all';
$main::server{redis}->ask('CONFIG', 'SET', 'maxmemory', '0');
my $answer = main::ask('/renewing/redis/show', $cookie);
is main::body($answer), 'open [ann]', 'the session is there';
is main::body(main::ask('/renewing/redis/show', main::token($answer))), 'open [ann]', 'and is renewed now';

=== parallel logouts with one cookie: all are served, and the session is gone
--- init
for my $name (@main::all) {
    my $cookie = main::token(main::ask("/$name/put?u=ann"));
    my @answers = main::ask_all($cookie, ("/$name/out") x 10);
    is main::statuses(@answers), '204: 10', "$name: all are served";
    is scalar(grep { /^Set-Cookie: session=; /m } @answers), 10, "$name: the cookie is expired";
    is main::body(main::ask("/$name/show", $cookie)), 'no-record []', "$name: gone";
}

=== X10: two nginx share the sessions of one storage
--- init
my $other = main::another_nginx();
for my $name (qw(redis postgres file)) {
    my ($here, $there) = ($main::port, $other->{port});
    my $on = sub { my ($port, @request) = @_; local $main::port = $port; return main::ask(@request) };
    my $cookie = main::token($on->($here, "/$name/put?u=ann"));
    is main::body($on->($there, "/$name/show", $cookie)), 'open [ann]', "$name: the other knows it";
    my $new = main::token($on->($there, "/$name/put?u=bob", $cookie));
    is main::body($on->($here, "/$name/show", $new)), 'open [bob]', "$name: and changes it";
    is main::body($on->($here, "/$name/show", $cookie)), 'open [ann]', "$name: the old one is stale here, too";
    $on->($here, "/$name/out", $new);
    is main::body($on->($there, "/$name/show", $new)), 'no-record []', "$name: ended here, it is over there";
}
main::end_of($other);

=== a binary upgrade with requests waiting: none is lost, and the new nginx goes on with the sessions
--- init
for my $name (qw(redis postgres)) {
    my $other = main::another_nginx();
    local $main::port = $other->{port};
    my $cookie = main::token(main::ask("/$name/put?u=ann"));
    $main::server{$name}->freeze;
    my @asked = map { main::send_request("/$name/" . ($_ % 2 ? 'show' : 'put?u=bob'), $cookie) } 1 .. 10;
    sleep 0.3;
    kill USR2 => $other->{pid};
    ok main::until_holds(sub { my $new = main::pid_in($other->{pid_file}); $new && $new != $other->{pid} }), "$name: a new nginx has come";
    kill QUIT => $other->{pid};
    sleep 0.5;
    $main::server{$name}->thaw;
    is main::statuses(map { main::answer($_) } @asked), '200: 5 204: 5', "$name: all are answered";
    ok main::until_holds(sub { !kill 0 => $other->{pid} }), "$name: the old nginx leaves";
    is main::body(main::ask("/$name/show", $cookie)), 'open [ann]', "$name: the new nginx knows the session";
    main::end_of($other);
}
