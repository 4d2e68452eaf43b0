package SessT::Adapter;

# Runs our test files under upstream Test::Nginx. It starts nginx, builds the requests and judges the answers; this
# module gives it plain sections for those it does not know, and takes the sending over.

use strict;
use warnings;

use Test::Nginx::Socket ();
use Test::Nginx::Util ();
use Time::HiRes qw(sleep time);

use SessT::Block;
use SessT::Captures qw(fill_in);
use SessT::Check qw(check_quiet);
use SessT::Conf qw(compose);
use SessT::Guard qw(guard_group release_group);
use SessT::Log;
use SessT::Nginx;
use SessT::Room qw(expand);
use SessT::Settings qw(setting);
use SessT::Steps;

my $nginx = SessT::Nginx->new;
my $test = Test::More->builder;

# The block at hand: its view, steps, requests, how many have been sent.
my $at;

my $no_root_location = 0;

sub functions {
    my %function = map { $_ => Test::Nginx::Socket->can($_) } grep { Test::Nginx::Socket->can($_) } qw(
        run_tests add_block_preprocessor add_cleanup_handler add_test_cleanup_handler env_to_nginx no_shuffle use_hup
        master_on master_off no_long_string no_diff check_accum_error_log server_root html_dir server_port bail_out
        repeat_each workers log_level timeout server_name worker_connections
    );
    $function{no_root_location} = sub () { $no_root_location = 1 };
    $function{no_diff} //= sub () { };
    $function{own_sections} = \&SessT::Block::own_sections;
    # Upstream runs the last preprocessor added first; ours has to come behind all of the test's own.
    $function{run_tests} = sub {
        push @Test::Nginx::Util::BlockPreprocessors, \&_prepare;
        Test::Nginx::Util::run_tests();
    };
    _set_up();
    return %function;
}

sub _set_up {
    # Loopback alone, but upstream asks this port itself after a HUP and wants a number then.
    Test::Nginx::Util::server_port("127.0.0.1:$ENV{TEST_NGINX_SERVER_PORT}") unless setting('use_hup');
    Test::Nginx::Util::workers(setting('workers'));
    Test::Nginx::Util::worker_connections(setting('connections'));
    Test::Nginx::Util::log_level(setting('log_level'));
    Test::Nginx::Util::master_on();
    Test::Nginx::Util::no_shuffle();
    # A block's log is judged as a whole, at its end.
    Test::Nginx::Util::check_accum_error_log();
    Test::Nginx::Socket::no_long_string();
}

# Upstream sees only sections it knows, with our variables put in and the rig under them.
sub _prepare {
    my ($original) = @_;
    my $block = SessT::Block->of($original);
    $original->set_value(wait => $block->value('delay')) if $block->has('delay') && !$block->has('wait');
    my $rigged = ($block->value('rig') // setting('rig')) ne 'none';
    if ($block->has('config') || $rigged || !defined $Test::Nginx::Util::PrevConfig) {
        my $part = compose($block, $nginx, {});
        $original->set_value($_ => $part->{$_}) for qw(main_config http_config config post_main_config);
        $Test::Nginx::Util::NoRootLocation = $no_root_location || !$part->{root_location};
    }
    for my $section (qw(request raw_request pipelined_requests more_headers user_files)) {
        $original->set_value($section => _expanded($block->value($section))) if $block->has($section);
    }
    $original->set_value(more_headers => [ map { $_ // '' } @{ $original->more_headers } ]) if ref $original->more_headers;
    # ours, and upstream would take it in its own way
    $original->set_value(http2 => undef);
}

sub _expanded {
    my ($value) = @_;
    return [ map { _expanded($_) } @$value ] if ref $value eq 'ARRAY';
    return { %$value, value => expand($value->{value}) } if ref $value eq 'HASH' && defined $value->{value};
    return expand($value);
}

# --- requests ---

my $requests = \&Test::Nginx::Socket::get_req_from_block;

sub _requests {
    my ($original) = @_;
    my $block = SessT::Block->of($original);
    my $list = $block->has('raw_requests')
        ? [ map { [ { value => expand($_) } ] } @{ $block->value('raw_requests') } ]
        : $requests->($original);
    if ($block->has('raw_request_middle_delay')) {
        for my $request (@$list) {
            $_->{delay_before} //= $block->value('raw_request_middle_delay') for @$request[1 .. $#$request];
        }
    }
    _change($original, $block, 'reload', {}) if defined $at && $at->{original} == $original && $at->{changed};
    my $answers = $block->has('pipelined_requests') ? @{ $block->value('pipelined_requests') } : @$list;
    $block->check_lists($answers);
    $at = {
        original => $original, block => $block, sent => 0, requests => $list, answers => $answers,
        steps => SessT::Steps->new($block, count => scalar @$list, change => sub { _change($original, $block, @_) }),
    };
    _guard();
    return $list;
}

sub _send {
    my $i = $at->{sent}++;
    if ($at->{block}->has('parallel') && !$at->{results}) {
        $at->{results} = [ $at->{steps}->exchange_all(@{ $at->{requests} }) ];
    }
    my $result = $at->{results} ? $at->{results}[$i] : $at->{steps}->exchange($i, $at->{requests}[$i]);
    return (_final($result->{raw}), $result->{head_request});
}

# Upstream reads the first head it finds.
sub _final {
    my ($raw) = @_;
    $raw =~ s{\AHTTP/\S+ 1(?!01)\d\d[^\n]*\n(?:[^\r\n]+\r\n)*\r\n}{} while $raw =~ m{\AHTTP/\S+ 1(?!01)\d\d};
    return $raw;
}

# nginx is a daemon here: upstream starts and stops it by its pid file.
my $guarded;

sub _guard {
    my $pid = _pid();
    return if defined $guarded && defined $pid && $guarded == $pid;
    release_group($guarded) if defined $guarded;
    guard_group($pid) if defined $pid;
    $guarded = $pid;
}

sub _pid {
    my $text = SessT::Room::slurp($Test::Nginx::Util::PidFile);
    return $text =~ /(\d+)/ ? $1 : undef;
}

# --- configuration changes inside a block ---

sub _change {
    my ($original, $block, $how, $instead) = @_;
    my $part = compose($block, $nginx, $instead);
    $at->{changed} = 1;
    my $changed = bless {%$original}, ref $original;
    $changed->set_value($_ => $part->{$_}) for qw(main_config http_config post_main_config);
    Test::Nginx::Util::write_config_file($changed, $part->{config}, $Test::Nginx::Util::RandPorts);
    return $how eq 'reload' ? _reload() : _restart();
}

sub _reload {
    $nginx->{pid} = _pid();
    my $trouble = $nginx->reload;
    undef $nginx->{pid};
    return $trouble;
}

sub _restart {
    my $pid = _pid();
    kill QUIT => $pid;
    my $end = time + 3 * setting('timeout');
    while (kill 0 => $pid) {
        return 'nginx did not leave when asked to' if time > $end;
        sleep 0.01;
    }
    my $root = $nginx->root;
    my @command = (setting('binary'), '-e', "$root/logs/error.log", '-p', "$root/", '-c', $Test::Nginx::Util::ConfFile);
    return "nginx does not start (status $?)" if system @command;
    sleep 0.005 until _pid() || time > $end;
    _guard();
    return;
}

# --- judging ---

# The block as if it had request $i alone: expectations left out are out, captured values are in.
sub _only {
    my ($original, $i, $several) = @_;
    my $block = SessT::Block->of($original);
    my $one = bless {%$original}, ref $original;
    for my $section (SessT::Block::expectations()) {
        next unless $block->has($section);
        my $item = fill_in(expand($block->expectation($section, $i, $several)));
        undef $item if defined $item && $item eq '' && $section =~ /like$/;
        $one->set_value($section => $item);
    }
    return $one;
}

sub _judge {
    my ($check) = @_;
    return sub {
        my ($original, @rest) = @_;
        my $i = $#rest - ($check->{body} ? 2 : 1);
        my $one = _only($original, @rest[$i, $#rest]);
        @rest[$i, $#rest] = (0, 0);
        $check->{sub}->($one, @rest);
    };
}

# Upstream wants the text as of each request; a block's log is judged once, behind the last.
sub _judge_log {
    my ($check) = @_;
    return sub {
        my ($original, @rest) = @_;
        my $block = SessT::Block->of($original);
        return if !$block->has('must_die') && $at->{judged}++ < $at->{answers} - 1;
        my $one = bless {%$original}, ref $original;
        $one->set_value($_ => fill_in(_expanded($block->value($_)))) for grep { $block->has($_) } qw(error_log no_error_log);
        $check->{sub}->($one, @rest);
        check_quiet($block, SessT::Log->new($nginx->root . '/logs/error.log')->from_start) unless $block->has('must_die');
    };
}

{
    no strict 'refs';
    no warnings qw(redefine prototype);
    my $socket = 'Test::Nginx::Socket';
    *{"${socket}::get_req_from_block"} = \&_requests;
    *{"${socket}::send_request"} = \&_send;
    for my $name (qw(check_error_code check_raw_response_headers check_response_headers)) {
        *{"${socket}::$name"} = _judge({ sub => \&{"${socket}::$name"} });
    }
    *{"${socket}::check_response_body"} = _judge({ sub => \&{"${socket}::check_response_body"}, body => 1 });
    my $log = _judge_log({ sub => \&{"${socket}::check_error_log"} });
    *{"${socket}::check_error_log"} = $log;
    $Test::Nginx::Util::CheckErrorLog = $log;
}

1;
