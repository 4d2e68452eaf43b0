package SessT::Conf;

# The configuration of a block: its sections, the rig under them, and the listen lines its requests need.

use strict;
use warnings;

use Exporter 'import';

use SessT::Rig qw(base locations);
use SessT::Room qw(expand);
use SessT::Settings qw(setting);

our @EXPORT_OK = qw(compose nginx_conf);

my @texts = qw(main_config http_config config post_main_config);

# The sections as nginx is to have them. $instead holds sections that take the place of the block's own.
sub compose {
    my ($block, $nginx, $instead) = @_;
    my %part = map { $_ => $instead->{$_} // $block->value($_) // '' } @texts;
    my $rig = $block->value('rig') // setting('rig');
    my $with_locations = ($block->value('rig_locations') // 'on') ne 'off';
    $part{http_config} = base($rig) . $part{http_config};
    $part{config} = join "\n", _listen($block, $nginx, $part{config}), $part{config},
        $with_locations ? locations($rig) : '';
    $part{$_} = expand($part{$_}) for @texts;
    $part{server_name} = $block->value('server_name') // setting('server_name');
    $part{log_level} = $block->value('log_level') // setting('log_level');
    $part{root_location} = setting('root_location') && $part{config} !~ m{^\s*location\s+/\s*\{}m;
    return \%part;
}

sub _listen {
    my ($block, $nginx, $config) = @_;
    my $h2_line = $block->has('http2') && $nginx->version_at_least(1, 25, 1);
    my $h2_word = $block->has('http2') && !$h2_line ? ' http2' : '';
    my $lines = $h2_line ? "http2 on;\n" : '';
    if ($block->has('tls') && $config !~ /\$\{?TEST_NGINX_TLS_PORT/) {
        $lines .= "listen 127.0.0.1:\$TEST_NGINX_TLS_PORT ssl$h2_word;\n";
    }
    if ($block->has('tls') && $config !~ /^\s*ssl_certificate\s/m) {
        $lines .= "ssl_certificate \$TEST_NGINX_CERT;\nssl_certificate_key \$TEST_NGINX_CERT_KEY;\n";
    }
    if ($block->has('http2') && $config !~ /\$\{?TEST_NGINX_H2_PORT/) {
        $lines .= "listen 127.0.0.1:\$TEST_NGINX_H2_PORT$h2_word;\n";
    }
    return $lines;
}

# The text of nginx.conf.
sub nginx_conf {
    my ($part, $root, @env) = @_;
    my $modules = join "\n", map { "load_module $_;" } split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
    my $env = join "\n", map { /\s/ ? "env '$_';" : "env $_;" } @env;
    my $user = $> == 0 ? 'user root;' : '';
    my $temporary = join "\n    ",
        map { "${_}_temp_path $root/${_}_temp;" } qw(client_body proxy fastcgi uwsgi scgi);
    my $files = $part->{root_location} ? "location / { root $root/html; index index.html index.htm; }" : '';
    my $server_name = $part->{server_name} =~ s/(['\\])/\\$1/gr;
    return <<"END";
worker_processes @{[setting('workers')]};
daemon off;
master_process @{[setting('master') ? 'on' : 'off']};
error_log $root/logs/error.log $part->{log_level};
pid $root/logs/nginx.pid;
$user
$env
$modules
$part->{main_config}
events {
    accept_mutex off;
    worker_connections @{[setting('connections')]};
}
http {
    access_log $root/logs/access.log;
    $temporary
    default_type text/plain;
$part->{http_config}
    server {
        listen 127.0.0.1:$ENV{TEST_NGINX_SERVER_PORT};
        server_name '$server_name';
        client_max_body_size 30M;
$part->{config}
        $files
    }
}
$part->{post_main_config}
END
}

1;
