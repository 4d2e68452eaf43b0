package SessT::Guard;

# Ends what a test file started. The ordinary way is an END block; should the test be killed outright, a small watcher
# process sees its end of the pipe close and does the same.

use strict;
use warnings;

use Exporter 'import';
use File::Path qw(remove_tree);
use POSIX ();

our @EXPORT_OK = qw(guard_group release_group guard_directory);

my ($watcher, $pipe, $owner, %groups, $directory);

# A process group that must not outlive the test.
sub guard_group { my ($pid) = @_; $groups{$pid} = 1; _tell("group $pid") }

sub release_group { my ($pid) = @_; delete $groups{$pid}; _tell("released $pid") }

# A directory that must not outlive the test.
sub guard_directory { my ($path) = @_; $directory = $path; _tell("directory $path") }

sub _tell {
    my ($line) = @_;
    _start() unless $watcher;
    syswrite $pipe, "$line\n";
}

sub _start {
    pipe my $read, $pipe or die "pipe: $!\n";
    $owner = $$;
    $watcher = fork // die "fork: $!\n";
    return if $watcher;
    close $pipe;
    open STDIN, '<&', $read or POSIX::_exit(1);
    # prove waits until every holder of its pipe has gone, and a terminal's Ctrl-C must not end the watcher first
    setpgrp;
    open STDOUT, '>', '/dev/null';
    open STDERR, '>', '/dev/null' unless $ENV{KEEP};
    exec { $^X } $^X, __FILE__ or POSIX::_exit(1);
}

sub end_group {
    my ($pid) = @_;
    kill TERM => -$pid or return;
    for (1 .. 40) {
        waitpid $pid, POSIX::WNOHANG();
        kill 0 => -$pid or return;
        select undef, undef, undef, 0.025;
    }
    kill KILL => -$pid;
    waitpid $pid, 0;
}

sub watch {
    my (%left, $path);
    while (my $line = <STDIN>) {
        if    ($line =~ /^group (\d+)$/)    { $left{$1} = 1 }
        elsif ($line =~ /^released (\d+)$/) { delete $left{$1} }
        elsif ($line =~ /^directory (.+)$/) { $path = $1 }
    }
    end_group($_) for keys %left;
    remove_tree($path) if defined $path && !$ENV{KEEP};
}

sub finish {
    return unless defined $owner && $owner == $$;
    local ($?, $!, $@);
    end_group($_) for keys %groups;
    %groups = ();
    if (defined $directory) {
        if   ($ENV{KEEP}) { print STDERR "# kept: $directory\n" }
        else              { remove_tree($directory) }
    }
    close $pipe;
    waitpid $watcher, 0;
    undef $owner;
}

END { finish() }

watch() unless caller;

1;
