#!/usr/bin/env perl
# The benchmark runs in each of its modes, measures what it names, and leaves nothing behind.
use v5.36;
use Test::More;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;

my $root = abs_path(dirname(abs_path(__FILE__)) . '/..');
my $bench = "$root/scripts/bench";
my ($module, @others) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
plan skip_all => 'TEST_NGINX_LOAD_MODULES does not name the one module' if !$module || @others;
for my $needed (qw(wrk taskset size redis-server)) {
    plan skip_all => "$needed is not there: scripts/setup bench installs it" if system("command -v $needed >/dev/null") != 0;
}
my $nginx = $ENV{TEST_NGINX_BINARY} // 'nginx';
if ($nginx !~ m{/}) { chomp($nginx = `command -v $nginx`) }

my $tmp = tempdir('nginx-session-bench-test.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $tmp;
local $ENV{TMPDIR} = $tmp;
my @given = ('--module', abs_path($module), '--binary', $nginx);
my $number = qr/^[+-]?[\d,]+(?:\.\d+)?$/;

sub run (@arguments) {
    my $words = join ' ', map { "'$_'" } @arguments;
    open my $pipe, '-|', "'$bench' $words 2>&1" or die "$bench: $!";
    my @lines = <$pipe>;
    close $pipe;
    return ($? >> 8, @lines);
}

# The tables, each as its lines, those as their cells.
sub tables (@lines) {
    my @tables;
    my $is_inside = 0;
    for my $line (@lines) {
        if ($line =~ /^\| /) {
            push @tables, [] if !$is_inside;
            push @{ $tables[-1] }, [ map { s/^\s+|\s+$//gr } split /\|/, $line =~ s/^\| | \|\n//gr, -1 ];
        }
        $is_inside = $line =~ /^\|/;
    }
    return @tables;
}

# The first cells of a table's lines, below its heading.
sub rows ($table) { return map { $_->[0] } @{$table}[ 1 .. $#$table ] }

# The lines with something else than figures in these columns.
sub without_figures ($table, @columns) {
    return grep { my $line = $_; grep { $line->[$_] !~ $number } @columns } @{$table}[ 1 .. $#$table ];
}

# Looks at the files of a run, which are named in its last line, and takes them away: the number of lines in the CSV file.
sub sweep_up ($what, @lines) {
    my ($csv) = "@lines" =~ m{All figures: (\S+)\.csv};
    ok($csv && -s "$csv.csv" && -s "$csv.md", "$what: the figures of the rounds are in a file, and so are the tables");
    my $checked = system('python3', '-c', 'import sys, xml.dom.minidom as dom; d = dom.parse(sys.argv[1]); sys.exit(not d.getElementsByTagName("polyline") and not d.getElementsByTagName("rect")[1:])', "$csv.svg");
    is($checked, 0, "$what: there are charts");
    open my $file, '<', "$csv.csv" or die "$csv.csv: $!";
    my @measurements = <$file>;
    unlink map { "$csv.$_" } qw(csv md svg);
    is_deeply([glob "$tmp/*"], [], "$what: no other files are left");
    return @measurements - 1;
}

my ($status, @lines) = run(@given, '--smoke');
is($status, 0, 'scripts/bench --smoke succeeds') or diag(@lines);
my ($all, @tables) = tables(@lines);
my @names = map { s/^\S+\s+//r } split /\n/, `'$bench' --list`;
cmp_ok(scalar @names, '>', 30, '--list names the rows');
is_deeply([ rows($all) ], \@names, 'and the table has them all');
is_deeply([ without_figures($all, 1, 5, 6, 7) ], [], 'with figures');
my @with_store = map { $_->[0] } grep { $_->[8] =~ /[1-9]/ } @{$all}[ 1 .. $#$all ];
is_deeply(\@with_store, [ grep { /Redis|Postgres/ } @names ], 'and the work of servers beside those that use them');
is(scalar @tables, 7, 'there are tables by connections, one of an equal load, and one of targets');
my $situations = $#{ $tables[0][0] };
cmp_ok($situations, '>=', 2, 'with few and many connections');
is_deeply([ map { my $table = $_; map { @$_ } without_figures($table, 1 .. $situations) } @tables[ 0 .. 4 ] ], [], 'all with figures');
is_deeply([ without_figures($tables[5], 1, 2, 3, 5) ], [], 'those of the equal load too');
my $slow = grep { $_->[1] =~ s/,//r > 6000 } @{ $tables[5] }[ 1 .. $#{ $tables[5] } ];
is($slow, 0, 'whose rate is kept');
is_deeply([ grep { $_->[3] !~ /^(?:met|missed)$/ } @{ $tables[6] }[ 1 .. $#{ $tables[6] } ] ], [], 'each target is met or missed');
cmp_ok(scalar rows($tables[6]), '>', 12, 'and there are many');
my $traits = $#{ $tables[0] };
is(sweep_up('--smoke', @lines), @names + $traits * $situations, '--smoke: a line for each measurement');

($status, @lines) = run(@given, '--smoke', '--only', 'nonsense');
is($status, 1, 'a row that does not exist is an error');
like("@lines", qr/--only nonsense: there is no such row; there are control,/, 'that names those there are');

# Another server: a plain nginx.
my $probe = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "no port: $!";
my $port = $probe->sockport;
close $probe;
open my $conf, '>', "$tmp/nginx.conf" or die "$tmp/nginx.conf: $!";
print {$conf} <<~"CONF";
    daemon off; pid $tmp/pid; error_log $tmp/log; worker_processes 1; events {}
    http {
        access_log off; client_body_temp_path $tmp/b; proxy_temp_path $tmp/p; fastcgi_temp_path $tmp/f; uwsgi_temp_path $tmp/u; scgi_temp_path $tmp/s;
        server {
            listen 127.0.0.1:$port;
            location /control { return 200; }
            location /check { if (\$cookie_user != ann) { return 401; } return 200; }
        }
    }
    CONF
close $conf;
my $other = fork // die "fork: $!";
if (!$other) { exec $nginx, '-e', "$tmp/log", '-p', $tmp, '-c', "$tmp/nginx.conf"; die "$nginx: $!" }
for (1 .. 100) { last if IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port"); select undef, undef, undef, 0.05 }
my @urls = map { "http://127.0.0.1:$port/$_" } qw(control check);
($status, @lines) = run(@given, '--smoke', '--only', 'missing', '--against', @urls, '--name', 'plain', '--cookie', 'user=ann', '--cpu-of', $other);
is($status, 0, 'another server is measured too') or diag(@lines);
my ($compared) = tables(@lines);
is_deeply([ rows($compared) ], [ 'control without a cookie', 'no cookie', 'plain: control', 'plain: check' ], 'beside the rows');
is_deeply([ without_figures($compared, 1, 5, 6, 7) ], [], 'with its CPU time');
my ($csv) = "@lines" =~ m{All figures: (\S+)\.csv};
unlink map { "$csv.$_" } qw(csv md svg) if $csv;

mkdir "$tmp/bin";
open my $docker, '>', "$tmp/bin/docker" or die "$tmp/bin/docker: $!";
print {$docker} qq(#!/bin/sh\n[ "\$*" = 'inspect box' ] && echo '[{"State": {"Pid": $other}}]'\n);
close $docker;
chmod 0755, "$tmp/bin/docker";
{
    local $ENV{PATH} = "$tmp/bin:$ENV{PATH}";
    my @asked = (@given, '--smoke', '--only', 'missing', '--connections', 2, '--against', @urls, '--cookie', 'user=ann', '--cpu-of');
    ($status, @lines) = run(@asked, 'box');
    ($compared) = tables(@lines);
    is_deeply([ without_figures($compared, 1, 5) ], [], 'so is one in a container') or diag(@lines);
    ($csv) = "@lines" =~ m{All figures: (\S+)\.csv};
    unlink map { "$csv.$_" } qw(csv md svg) if $csv;
    ($status, @lines) = run(@asked, 'shelf');
    like("@lines", qr/--cpu-of: shelf is no process id, and neither docker nor podman/, 'but not in one that is not there');
}
($status, @lines) = run(@given, '--smoke', '--only', 'missing', '--connections', 2, '--against', @urls);
is($status, 1, 'if it does not answer as it should, that is an error');
like("@lines", qr{--against: \S+/check answered 401}, 'that says so');
kill TERM => $other;
waitpid $other, 0;
($status, @lines) = run(@given, '--smoke', '--only', 'missing', '--against', @urls);
like("@lines", qr{--against: \S+/control does not answer}, 'and so it is if there is no server');
($status, @lines) = run(@given, '--smoke', '--cookie', 'user=ann');
is($status, 2, 'an option of another server without one is refused');
unlink glob "$tmp/*.conf $tmp/log $tmp/pid $tmp/bin/docker";
rmdir $_ for glob "$tmp/*";

($status, @lines) = run(@given, '--smoke', '--connections', '1,2', '--only', 'missing');
is($status, 0, 'a number of connections can be chosen') or diag(@lines);
is(scalar tables(@lines), 2, 'and several: each has its table');
is(sweep_up('--connections', @lines), 4, '--connections: a line for each measurement');

my @profile = (@given, '--smoke', '--profile', '--only', 'missing');
if (system("perf record -q -o '$tmp/perf' true >'$tmp/said' 2>&1") == 0) {
    ($status, @lines) = run(@profile);
    is($status, 0, 'scripts/bench --profile succeeds') or diag(@lines);
    my ($profile) = tables(@lines);
    is_deeply([ rows($profile) ], [ 'control without a cookie', 'no cookie' ], 'it tells of each row');
    is_deeply([ without_figures($profile, 1 .. $#{ $profile->[0] }) ], [], 'what its time goes into');
} else {
    ($status, @lines) = run(@profile);
    is($status, 1, 'scripts/bench --profile fails where perf may not look');
    like("@lines", qr/bench: perf saw nothing: \S/, 'and says why');
}
unlink "$tmp/perf", "$tmp/said";

($status, @lines) = run(@given, '--smoke', '--scale');
is($status, 0, 'scripts/bench --scale succeeds') or diag(@lines);
@tables = tables(@lines);
is_deeply([ map { $_->[0][0] =~ s/.*by //r } @tables ], [qw(sessions bytes cookies connections)], 'it tells how cost grows with four things');
is_deeply([ map { without_figures($_, 1, 2) } @tables[ 0 .. 2 ] ], [], 'with figures');
is_deeply([ grep { $_ !~ /^[\d,]+ \(\d+%\)$/ } map { @{$_}[ 1, 2 ] } @{ $tables[3] }[ 1 .. $#{ $tables[3] } ] ], [], 'and with the share of the possible');
cmp_ok(sweep_up('--scale', @lines), '>', 20, '--scale: a line for each measurement');

($status, @lines) = run(@given, '--memory');
is($status, 0, 'scripts/bench --memory succeeds') or diag(@lines);
my %said = map { @$_ } map { @$_ } tables(@lines);
my ($bytes) = ($said{'a session of 100 B in shm'} // '') =~ /^(\d+) bytes/;
cmp_ok($bytes // 9999, '<=', 400, 'a small session takes 400 bytes of shared memory at most');
is_deeply([glob "$tmp/*"], [], 'and it leaves no files');

done_testing();
