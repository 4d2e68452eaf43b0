package SessT::Rig;

# The base configurations of the acceptance cases. The session lines of a base stand at the http level, so a case's own
# lines, at the server level, override them without being duplicates.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(base locations is_base);

my $buffers = "large_client_header_buffers 4 64k;\n";

my $b1 = <<'END';
session start;
session_secret test-secret;
END

# SESST_STORAGE keeps the sessions of all bases elsewhere than in the cookie, for tests to which that makes no difference.
my %storage = (
    cookie => '',
    shm    => "session_backend rig shm { size 4m; }\nsession_storage rig;\n",
);
my $kept_in = $storage{ $ENV{SESST_STORAGE} // 'cookie' } // die "SESST_STORAGE is one of @{[sort keys %storage]}\n";
$b1 .= $kept_in;

my $b2 = <<'END';
session start;
session_secret RaJKp8UQW1;
END
$b2 .= $kept_in;

my %base = (
    none  => '',
    plain => $buffers,
    B1    => "$buffers${b1}session_cookie_name sid;\n",
    B2    => "$buffers$b2",
    B3    => "$buffers${b1}session_cookie_name sid;\nsession_create always;\n",
    B4    => "$buffers${b1}session_cookie_name proxy-session;\nsession_create always;\nsession_cookie_jar on;\n",
);

my $echo = 'proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;';

my $plain_locations = "location / { $echo }\n";

my $session_locations = <<"END";
location /     { $echo }
location /set  { session_set user \$arg_u; $echo }
location /get  { session_map_header X-User user; $echo }
location /out  { session destroy; return 204; }
END

sub is_base { exists $base{ $_[0] } }

sub base {
    my ($name) = @_;
    return $base{$name} // die "there is no rig $name; there are @{[sort keys %base]}\n";
}

sub locations {
    my ($name) = @_;
    return '' if $name eq 'none';
    return $name eq 'plain' ? $plain_locations : $session_locations;
}

1;
