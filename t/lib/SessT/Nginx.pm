package SessT::Nginx;

# The nginx a test file runs: start, reload, stop, and how it went.

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

use SessT::Guard qw(guard_group release_group);
use SessT::Room qw(slurp spew);
use SessT::Settings qw(setting);

use constant { POLL => 0.002, SIGNAL_AGAIN => 0.2 };

sub new {
    my ($class) = @_;
    return bless { root => $ENV{TEST_NGINX_SERVROOT} }, $class;
}

sub root { $_[0]{root} }

sub running { defined $_[0]{pid} }

sub version_at_least {
    my ($self, @wanted) = @_;
    $self->{version} //= do {
        my $binary = setting('binary');
        my $text = `'$binary' -v 2>&1`;
        [ $text =~ m{/(\d+)\.(\d+)\.(\d+)} ] || die "`$binary -v` does not tell its version: $text\n";
    };
    my ($have, $want) = map { sprintf '%04d%04d%04d', @$_ } $self->{version}, \@wanted;
    return $have ge $want;
}

# An empty server root, but for what the block's files put there.
sub clear {
    my ($self) = @_;
    remove_tree(map { "$self->{root}/$_" } qw(conf logs html), map { "${_}_temp" } qw(client_body proxy fastcgi uwsgi scgi));
    make_path(map { "$self->{root}/$_" } qw(conf logs html));
    spew("$self->{root}/html/index.html",
        '<html><head><title>It works!</title></head><body>It works!</body></html>');
}

sub write_conf {
    my ($self, $text) = @_;
    spew("$self->{root}/conf/nginx.conf", $text);
    print STDERR $text if $ENV{TEST_NGINX_VERBOSE};
}

# Starts nginx. True when it runs; otherwise its exit status is in $?.
sub start {
    my ($self, %about) = @_;
    my @command = ($about{bare} ? () : $self->_wrapper, setting('binary'), '-p', "$self->{root}/",
        '-e', "$self->{root}/logs/error.log", '-c', "$self->{root}/conf/nginx.conf");
    my $pid = fork // die "fork: $!\n";
    $self->_become(@command) if !$pid;
    setpgrp $pid, $pid;
    guard_group($pid);
    $self->{pid} = $pid;

    my $end = time + _patience() * 3;
    until (-s "$self->{root}/logs/nginx.pid") {
        return 0 if $self->_reap(WNOHANG);
        if (time > $end) {
            $self->stop;
            $? = -1;
            return 0;
        }
        sleep POLL;
    }
    return 1;
}

sub _become {
    my ($self, @command) = @_;
    setpgrp;
    open STDIN,  '<',  '/dev/null';
    open STDOUT, '>>', "$self->{root}/logs/stdout";
    open STDERR, '>>', "$self->{root}/logs/stderr";
    if (defined $ENV{TEST_NGINX_LD_PRELOAD}) {
        $ENV{LD_PRELOAD} = join ' ', grep { defined } $ENV{TEST_NGINX_LD_PRELOAD}, $ENV{LD_PRELOAD};
    }
    exec { $command[0] } @command or POSIX::_exit(127);
}

sub _wrapper {
    my ($self) = @_;
    my $valgrind = $ENV{TEST_NGINX_USE_VALGRIND} or return;
    my @options = $valgrind =~ /^\d+$/
        ? qw(--leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --keep-debuginfo=yes)
        : split ' ', $valgrind;
    push @options, '--suppressions=t/valgrind.suppress' if -f 't/valgrind.suppress';
    return ('valgrind', '-q', '--num-callers=40', @options, "--log-file=$self->{root}/logs/valgrind.%p");
}

# Everything is slower under valgrind.
sub _patience { setting('timeout') * ($ENV{TEST_NGINX_USE_VALGRIND} ? 10 : 1) }

sub _reap {
    my ($self, $how) = @_;
    return 0 unless waitpid($self->{pid}, $how) == $self->{pid};
    my $status = $?;
    release_group($self->{pid});
    undef $self->{pid};
    $? = $status;
    return 1;
}

# Asks nginx to leave; returns what was wrong with that, nothing if all was well.
sub stop {
    my ($self) = @_;
    return unless $self->{pid};
    my ($group, $start) = ($self->{pid}, time);
    my ($signalled, $forced) = (0, 0);
    until ($self->_reap(WNOHANG)) {
        # again now and then: a signal that comes before nginx waits for one is noticed at the next only
        if (time - $signalled > SIGNAL_AGAIN) {
            $forced = time - $start > _patience() * 3;
            kill $forced ? (KILL => -$group) : (QUIT => $group);
            $signalled = time;
        }
        sleep POLL;
    }
    my $status = $?;
    return 'nginx did not leave when asked to and was killed' if $forced;
    return "nginx left with status $status" if $status;
    return 'nginx left processes behind' if kill(0 => -$group) && _end_rest($group);
    return;
}

sub _end_rest {
    my ($group) = @_;
    for (1 .. 50) {
        sleep 0.01;
        kill 0 => -$group or return 0;
    }
    kill KILL => -$group;
    return 1;
}

# Loads the configuration anew; returns what was wrong, nothing once the old workers have left.
sub reload {
    my ($self, %about) = @_;
    my %old = map { $_ => 1 } $self->workers;
    my $log_end = -s "$self->{root}/logs/error.log" || 0;
    kill HUP => $self->{pid};
    my $end = time + _patience() * 3;
    while (time < $end) {
        my $refused = slurp("$self->{root}/logs/error.log", $log_end) =~ /\[emerg\]/;
        if ($about{must_fail}) {
            return if $refused;
        } else {
            return 'nginx refused the new configuration' if $refused;
            my @now = $self->workers;
            return if @now && !grep { $old{$_} } @now;
        }
        sleep POLL;
    }
    return $about{must_fail} ? 'nginx took a configuration it should refuse' : 'old workers stay after a reload';
}

sub workers {
    my ($self) = @_;
    my $pid = $self->{pid} or return;
    my $listed = slurp("/proc/$pid/task/$pid/children");
    $listed = `ps -o pid= --ppid $pid` unless -e "/proc/$pid/task/$pid/children";
    return split ' ', $listed;
}

# What memory checkers wrote.
sub memory_reports {
    my ($self) = @_;
    my $text = join '', map { slurp($_) } glob "$self->{root}/logs/valgrind.*";
    my $sanitizer = join '', map { slurp("$self->{root}/logs/$_") } qw(stderr error.log);
    $text .= $1 if $sanitizer =~ /(^.*(?:AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:).*)/ms;
    return $text;
}

1;
