#!/usr/bin/env perl
# The benchmark runs, measures what it names, and leaves nothing behind.
use v5.36;
use Test::More;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

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

sub run (@arguments) {
    open my $pipe, '-|', "'$bench' @arguments 2>&1" or die "$bench: $!";
    my @lines = <$pipe>;
    close $pipe;
    return ($? >> 8, @lines);
}

# A table's lines, each as its cells.
sub table (@lines) {
    return map { [ map { s/^\s+|\s+$//gr } split /\|/, s/^\| | \|\n//gr, -1 ] } grep { /^\| / } @lines;
}

my ($status, @lines) = run(@given, '--smoke');
is($status, 0, 'scripts/bench --smoke succeeds') or diag(@lines);
my ($heading, @rows) = table(@lines);
my @names = map { s/^\S+\s+//r } split /\n/, `'$bench' --list`;
cmp_ok(scalar @names, '>', 20, '--list names the rows');
is_deeply([ map { $_->[0] } @rows ], \@names, 'and the table has them all');
my @broken = grep { $_->[1] !~ /^\d+\.\d\d$/ || $_->[1] == 0 || $_->[5] !~ /^[\d,]+$/ || $_->[7] !~ /^[\d,]+$/ } @rows;
is_deeply(\@broken, [], 'with figures');
my @with_store = map { $_->[0] } grep { ($_->[8] || 0) > 0 } @rows;
is_deeply(\@with_store, [ grep { /Redis|Postgres/ } @names ], 'and the work of servers beside those that use them');
my ($csv) = "@lines" =~ m{All figures: (\S+\.csv)};
ok($csv && -s $csv, 'the figures of the rounds are in a file');
unlink $csv, $csv =~ s/csv$/md/r if $csv;
is_deeply([glob "$tmp/*"], [], 'no other files are left');

($status, @lines) = run(@given, '--smoke', '--only', 'nonsense');
is($status, 1, 'a row that does not exist is an error');
like("@lines", qr/--only nonsense: there is no such row; there are control,/, 'that names those there are');

($status, @lines) = run(@given, '--memory');
is($status, 0, 'scripts/bench --memory succeeds') or diag(@lines);
my %said = map { @$_ } table(@lines);
my ($bytes) = ($said{'a session of 100 B in shm'} // '') =~ /^(\d+) bytes/;
cmp_ok($bytes // 9999, '<=', 400, 'a small session takes 400 bytes of shared memory at most');
is_deeply([glob "$tmp/*"], [], 'and it leaves no files');

done_testing();
