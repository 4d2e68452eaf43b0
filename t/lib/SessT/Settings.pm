package SessT::Settings;

# What a test file or the environment sets once for all blocks.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(setting);

my %setting = (
    binary        => $ENV{TEST_NGINX_BINARY} || 'nginx',
    repeat_each   => 1,
    workers       => 2,
    master        => 1,
    connections   => 256,
    log_level     => $ENV{TEST_NGINX_LOG_LEVEL} || 'info',
    timeout       => $ENV{TEST_NGINX_TIMEOUT} || 3,
    server_name   => 'localhost',
    root_location => 1,
    shuffle       => 0,
    use_hup       => $ENV{TEST_NGINX_USE_HUP} ? 1 : 0,
    rig           => 'none',
);

# Reads a setting, or sets it when given a value.
sub setting {
    my ($name, @value) = @_;
    die "no setting is called $name\n" unless exists $setting{$name};
    $setting{$name} = $value[0] if @value;
    return $setting{$name};
}

1;
