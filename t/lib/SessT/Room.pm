package SessT::Room;

# What a test file owns while it runs: a temporary directory with nginx's server root in it, ports, a certificate. All
# of it is told to tests and configurations as TEST_NGINX_… in the environment.

use strict;
use warnings;

use Exporter 'import';
use File::Path qw(make_path);
use File::Temp qw(tempdir);

use SessT::Guard qw(guard_directory);
use SessT::Ports qw(free_port);

our @EXPORT_OK = qw(open_room expand make_certificate slurp spew);

my $certificate_made;

sub open_room {
    my $room = tempdir('sesst-XXXXXXXX', TMPDIR => 1);
    chmod 0755, $room;    # nginx workers may run as another user
    guard_directory($room);
    $ENV{TEST_NGINX_SERVROOT} ||= "$room/servroot";
    $ENV{TEST_NGINX_HTML_DIR} = "$ENV{TEST_NGINX_SERVROOT}/html";
    $ENV{TEST_NGINX_SERVER_PORT} ||= $ENV{TEST_NGINX_PORT} || free_port();
    $ENV{TEST_NGINX_CLIENT_PORT} ||= $ENV{TEST_NGINX_SERVER_PORT};
    $ENV{TEST_NGINX_TLS_PORT} = free_port();
    $ENV{TEST_NGINX_H2_PORT} = free_port();
    $ENV{TEST_NGINX_CERT} = "$room/tls/localhost.crt";
    $ENV{TEST_NGINX_CERT_KEY} = "$room/tls/localhost.key";
    return $room;
}

# `$TEST_NGINX_NAME` in a text. Names that cost something are made when first asked for.
sub expand {
    my ($text) = @_;
    return $text if !defined $text || ref $text;
    $text =~ s/\$\{?(TEST_NGINX_\w+)\}?/_value($1)/ge;
    return $text;
}

sub _value {
    my ($name) = @_;
    $ENV{$name} //= free_port() if $name =~ /^TEST_NGINX_RAND_PORT_\d+$/;
    make_certificate() if $name =~ /^TEST_NGINX_CERT/;
    return $ENV{$name} // die "\$$name is used but the environment does not have it\n";
}

sub make_certificate {
    return if $certificate_made++;
    my ($directory) = $ENV{TEST_NGINX_CERT} =~ m{(.*)/};
    make_path($directory);
    my @command = (
        qw(openssl req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=localhost),
        -addext => 'subjectAltName=DNS:localhost,IP:127.0.0.1',
        -keyout => $ENV{TEST_NGINX_CERT_KEY}, -out => $ENV{TEST_NGINX_CERT},
    );
    my $command = join ' ', map { "'$_'" } @command;
    my $output = `$command 2>&1`;
    die "openssl could not make a certificate:\n$output" if $?;
}

sub slurp {
    my ($path, $from) = @_;
    open my $in, '<:raw', $path or return '';
    seek $in, $from || 0, 0;
    local $/;
    return scalar(<$in>) // '';
}

sub spew {
    my ($path, $text) = @_;
    make_path($1) if $path =~ m{(.*)/}s && !-d $1;
    open my $out, '>:raw', $path or die "$path: $!\n";
    print {$out} $text or die "$path: $!\n";
    close $out or die "$path: $!\n";
}

1;
