#!/usr/bin/env perl
# The demonstration starts, does what its pages promise, and leaves nothing behind.
use v5.36;
use Test::More;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;

my $demo = abs_path(dirname(abs_path(__FILE__)) . '/..') . '/scripts/demo';
my ($module, @others) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
plan skip_all => 'TEST_NGINX_LOAD_MODULES does not name the one module' if !$module || @others;
my $nginx = $ENV{TEST_NGINX_BINARY} // 'nginx';
if ($nginx !~ m{/}) { chomp($nginx = `command -v $nginx`) }

my $tmp = tempdir('nginx-session-demo-test.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $tmp;
local $ENV{TMPDIR} = $tmp;
my @given = ('--module', abs_path($module), '--binary', $nginx);

sub run (@arguments) {
    open my $pipe, '-|', "'$demo' @arguments 2>&1" or die "$demo: $!";
    my @lines = <$pipe>;
    close $pipe;
    return ($? >> 8, @lines);
}

my ($status, @lines) = run(@given, '--check');
is($status, 0, 'scripts/demo --check succeeds') or diag(@lines);
cmp_ok(scalar(grep { /^ok / } @lines), '>', 20, 'and has looked at the pages');
is_deeply([glob "$tmp/*"], [], 'and leaves no files');

my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or die "no port: $@";
($status, @lines) = run(@given, '--port', $taken->sockport);
is($status, 1, 'a port that is taken is an error');
like("@lines", qr/port \d+ cannot be used: .*--port \d+/, 'that names the option to choose another');

($status, @lines) = run('--port', 'http');
is($status, 1, 'a port that is no number is an error');
like("@lines", qr/--port http: use a number/, 'that says so');

done_testing();
