package SessT;

# `use SessT 'no_plan';` at the head of a test file: opens the room it works in, starts the echo upstream, chooses the
# harness and gives the file its functions. t/README.md describes the format.

use strict;
use warnings;

use Test::Base ();
use Test::More ();

use SessT::Captures qw(captured);
use SessT::Echo;
use SessT::Guard qw(guard_group);
use SessT::Ports qw(free_port);
use SessT::Rig;
use SessT::Room qw(open_room);
use SessT::Settings qw(setting);

my @test_functions = qw(ok is isnt like unlike is_deeply cmp_ok pass fail diag note skip plan done_testing BAIL_OUT);

sub import {
    my ($class, @plan) = @_;
    my $test_file = caller;
    strict->import;
    warnings->import;
    _end_on_signals();
    open_room();
    $ENV{TEST_NGINX_ECHO_PORT} = free_port();
    guard_group(SessT::Echo::start($ENV{TEST_NGINX_ECHO_PORT}));

    my %function = (_harness()->functions, rig => \&rig, captured => \&captured);
    $function{$_} = Test::More->can($_) for @test_functions;
    no strict 'refs';
    *{"${test_file}::$_"} = $function{$_} for keys %function;
    *{"main::$_"} = \SessT::Rig::base($_) for qw(B1 B2 B3 B4);
    *{'main::LOCATIONS'} = \SessT::Rig::locations('B1');
    Test::More->import(import => [], @plan) if @plan;
}

# The base configuration of every block of the file that names none itself.
sub rig {
    my ($name) = @_;
    SessT::Rig::base($name);
    setting(rig => $name);
}

sub _harness {
    my $wanted = $ENV{SESST_HARNESS} || 'own';
    my $module = { own => 'SessT::Own', upstream => 'SessT::Adapter' }->{$wanted}
        // die "SESST_HARNESS is own or upstream, not $wanted\n";
    eval "require $module; 1" or die $@;
    return $module;
}

# An ordinary exit, so that all that was started is ended.
sub _end_on_signals {
    $SIG{$_} //= sub { exit 130 } for qw(INT TERM HUP);
}

1;
