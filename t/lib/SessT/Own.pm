package SessT::Own;

# Our own harness: runs the blocks of a test file.

use strict;
use warnings;

use List::Util qw(shuffle);
use POSIX ();
use Scalar::Util qw(looks_like_number);
use Test::Base ();
use Test::More ();
use Time::HiRes qw(sleep);

use SessT::Block;
use SessT::Check qw(check_logs check_quiet check_response check_shutdown_log);
use SessT::Conf qw(compose nginx_conf);
use SessT::Log;
use SessT::Nginx;
use SessT::Request qw(requests_of);
use SessT::Response;
use SessT::Room qw(expand spew);
use SessT::Settings qw(setting);
use SessT::Steps;

my $test = Test::More->builder;

my $nginx = SessT::Nginx->new;
my (@preprocessors, @cleanups, @block_cleanups, @env);
my $last;    # the block nginx was started for, with its log

sub functions {
    my %function = (
        run_tests             => \&run_tests,
        own_sections          => \&SessT::Block::own_sections,
        add_block_preprocessor => sub (&) { unshift @preprocessors, @_ },
        add_cleanup_handler   => sub { unshift @cleanups, @_ },
        add_test_cleanup_handler => sub { unshift @block_cleanups, @_ },
        env_to_nginx          => sub { push @env, @_ },
        no_shuffle            => sub () { setting(shuffle => 0) },
        no_root_location      => sub () { setting(root_location => 0) },
        use_hup               => sub () { setting(use_hup => 1) },
        master_on             => sub () { setting(master => 1) },
        master_off            => sub () { setting(master => 0) },
        no_long_string        => sub () { },
        no_diff               => sub () { },
        check_accum_error_log => sub () { },
        server_root           => sub () { $nginx->root },
        html_dir              => sub () { $nginx->root . '/html' },
        server_port           => sub () { $ENV{TEST_NGINX_SERVER_PORT} },
        bail_out              => sub { $test->BAIL_OUT(join '', @_) },
    );
    for my $name (qw(repeat_each workers log_level timeout server_name)) {
        $function{$name} = sub { setting($name, @_) };
    }
    $function{worker_connections} = sub { setting(connections => @_) };
    return %function;
}

sub run_tests {
    my $base = Test::Base->new;
    my @blocks = @{ $base->block_list };
    $_->run_filters for grep { !$_->is_filtered } @blocks;
    @blocks = shuffle(@blocks) if setting('shuffle');
    for my $original (@blocks) {
        $_->($original) for @preprocessors;
        my $block = SessT::Block->of($original);
        run_block($block) unless _skipped($block);
        $_->($original) for @block_cleanups;
    }
    leave();
    $_->() for @cleanups;
}

# `skip_eval: 3: code` and `skip_nginx: 3: < 1.29.0`
sub _skipped {
    my ($block) = @_;
    my ($count, $why);
    if (($block->value('skip_eval') // '') =~ /\A\s*(\d+)\s*:\s*(.*)/s) {
        my ($many, $code) = ($1, $2);
        my $skip = eval $code;
        die $block->name . ": skip_eval: $@" if $@;
        ($count, $why) = ($many, 'skip_eval') if $skip;
    }
    if (($block->value('skip_nginx') // '') =~ /\A\s*(\d+)\s*:\s*([<>]=?)\s*(\d+)\.(\d+)\.(\d+)\s*(?::\s*(.*))?/s) {
        my ($many, $relation, @version) = ($1, $2, $3, $4, $5);
        my $at_least = $nginx->version_at_least(@version);
        my $above = $nginx->version_at_least(@version[0, 1], $version[2] + 1);
        my %holds = ('<' => !$at_least, '<=' => !$above, '>' => $above, '>=' => $at_least);
        ($count, $why) = ($many, "nginx $relation " . join '.', @version) if $holds{$relation};
    }
    return 0 unless defined $count;
    $test->skip($block->name . " - $why") for 1 .. $count * setting('repeat_each');
    return 1;
}

sub run_block {
    my ($block) = @_;
    $block->set(wait => $block->value('delay')) unless $block->has('wait');
    return must_die($block) if $block->has('must_die');
    my $rigged = ($block->value('rig') // setting('rig')) ne 'none';
    if ($block->has('config') || $rigged || !$nginx->running) {
        return unless bring_up($block);
    }
    my $error_log = $last->{log};
    my $access_log = SessT::Log->new($nginx->root . '/logs/access.log');
    _run_code($block, 'init');
    for my $round (1 .. setting('repeat_each')) {
        change($block, 'reload', {}) if $round > 1 && ($block->has('reload') || $block->has('restart'));
        one_round($block);
        check_logs($block, $error_log, $access_log);
        check_quiet($block, $error_log);
    }
}

sub _run_code {
    my ($block, $section) = @_;
    my $code = $block->value($section) // return;
    if   (ref $code) { $code->() }
    else             { eval "package main; $code; 1" or die $block->name . ": $section: $@" }
}

sub one_round {
    my ($block) = @_;
    my @requests = @{ requests_of($block, setting('server_name')) };
    my $pipelined = $block->value('pipelined_requests');
    $block->check_lists(ref $pipelined ? scalar @$pipelined : scalar @requests);
    my $steps = SessT::Steps->new($block, count => scalar @requests, change => sub { change($block, @_) });
    return pipelined($block, $steps, $requests[0]) if $block->has('pipelined_requests');
    my @parallel = $block->has('parallel') ? $steps->exchange_all(@requests) : ();
    for my $i (0 .. $#requests) {
        my $result = $parallel[$i] // $steps->exchange($i, $requests[$i]);
        check_response($block, $result->{response}, $i, @requests > 1) unless $block->has('ignore_response');
        sleep $block->value('wait') if $block->value('wait');
    }
}

sub pipelined {
    my ($block, $steps, $packets) = @_;
    my $raw = $steps->exchange(0, $packets)->{raw};
    my @texts = @{ $block->value('pipelined_requests') };
    for my $i (0 .. $#texts) {
        my $response = SessT::Response->parse($raw, closed => 1, head_request => scalar($texts[$i] =~ /\A\s*HEAD\b/));
        substr $raw, 0, $response->{length}, '';
        check_response($block, $response, $i, @texts > 1);
    }
}

# A server root and a configuration for the block.
sub prepare {
    my ($block) = @_;
    $nginx->clear;
    _run_code($block, 'post_setup_server_root');
    write_user_files($block);
    write_conf($block, {});
}

sub write_conf {
    my ($block, $instead) = @_;
    $nginx->write_conf(nginx_conf(compose($block, $nginx, $instead), $nginx->root, @env));
}

sub write_user_files {
    my ($block) = @_;
    my $files = $block->value('user_files') // return;
    my @files = ref $files ? @$files : ();
    while (!ref $files && $files =~ /^>>> (\S+)[^\n]*\n(.*?)(?=^>>> |\z)/gms) { push @files, [ $1, $2 ] }
    for my $file (@files) {
        my ($name, $text) = @$file;
        spew($name =~ m{\A/} ? expand($name) : $nginx->root . "/html/$name", expand($text // ''));
    }
}

# nginx running with the block's configuration: started anew, or with HUP reloaded.
sub bring_up {
    my ($block) = @_;
    my $error_log = $nginx->root . '/logs/error.log';
    if (setting('use_hup') && $nginx->running) {
        my $log = SessT::Log->new($error_log);
        write_user_files($block);
        write_conf($block, {});
        my $trouble = $nginx->reload(must_fail => $block->has('reload_fails'));
        $test->ok(0, $block->name . " - $trouble") if $trouble;
        $last = { block => $block, log => $log };
        return 1;
    }
    leave();
    prepare($block);
    $last = { block => $block, log => SessT::Log->new($error_log)->from_start };
    return 1 if $nginx->start;
    $test->ok(0, $block->name . " - nginx starts (status $?)");
    $test->diag($last->{log}->text);
    return 0;
}

# Another configuration in the middle of a block; returns what was wrong.
sub change {
    my ($block, $how, $instead) = @_;
    write_conf($block, $instead);
    return $nginx->reload(must_fail => 0) if $how eq 'reload';
    my $trouble = $nginx->stop;
    return $trouble if $trouble;
    return if $nginx->start;
    return "nginx does not start (status $?)";
}

# nginx leaves; what it says then belongs to the block it ran for.
sub leave {
    return unless $nginx->running;
    my $trouble = $nginx->stop;
    my ($block, $log) = @$last{qw(block log)};
    $test->ok(0, $block->name . " - $trouble") if $trouble;
    my $report = $nginx->memory_reports;
    if (length $report) {
        $test->ok(0, $block->name . ' - no memory errors');
        $test->diag($report);
    }
    check_quiet($block, $log);
    check_shutdown_log($block, $log);
}

sub must_die {
    my ($block) = @_;
    for (1 .. setting('repeat_each')) {
        leave();
        prepare($block);
        my $log = SessT::Log->new($nginx->root . '/logs/error.log')->from_start;
        my $started = $nginx->start(bare => 1);
        my $status = $?;
        $nginx->stop if $started;
        my $wanted = $block->value('must_die');
        my $name = $block->name . ' - nginx must die';
        if    ($started || $status == -1)  { $test->ok(0, "$name, but it runs") }
        elsif ($status & 127)              { $test->ok(0, "$name, but not by signal " . ($status & 127)) }
        elsif (looks_like_number($wanted)) { $test->is_num($status >> 8, $wanted, "$name with this status") }
        else                               { $test->isnt_num($status, 0, $name) }
        check_logs($block, $log);
    }
}

1;
