package SessT::Certificates;

# An authority and the certificates it signs, for servers with TLS:
#
#   my $authority = SessT::Certificates->new($folder);
#   $authority->file;                                   # its own certificate
#   my ($certificate, $key) = $authority->sign('localhost', from => '20200101000000Z', to => '20200201000000Z');

use strict;
use warnings;

use SessT::Room qw(spew);

sub new {
    my ($class, $folder) = @_;
    mkdir $folder or die "mkdir $folder: $!\n";
    my $self = bless { folder => $folder, count => 0 }, $class;
    spew("$folder/conf", <<"END");
[ca]
default_ca = this
[this]
unique_subject = no
database = $folder/index
new_certs_dir = $folder
serial = $folder/serial
certificate = $folder/ca.pem
private_key = $folder/ca.key
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
END
    spew("$folder/index", '');
    spew("$folder/serial", "01\n");
    _openssl('req', '-x509', '-config', "$folder/conf", _new_key("$folder/ca.key"), '-subj', '/CN=an authority of tests', '-days', '2',
        '-addext', 'basicConstraints=critical,CA:TRUE', '-out', "$folder/ca.pem");
    return $self;
}

sub file { "$_[0]{folder}/ca.pem" }

# A certificate for a host's name, and its key.
sub sign {
    my ($self, $host, %valid) = @_;
    my $path = "$self->{folder}/" . ++$self->{count};
    _openssl('req', '-new', '-config', "$self->{folder}/conf", _new_key("$path.key"), '-subj', "/CN=$host",
        '-addext', "subjectAltName=DNS:$host", '-out', "$path.csr");
    my @valid = $valid{to} ? ('-startdate', $valid{from}, '-enddate', $valid{to}) : ('-days', '2');
    _openssl('ca', '-batch', '-notext', '-config', "$self->{folder}/conf", @valid, '-in', "$path.csr", '-out', "$path.pem");
    chmod 0644, "$path.key";
    return ("$path.pem", "$path.key");
}

sub _new_key { my ($file) = @_; return ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', $file) }

sub _openssl {
    my (@words) = @_;
    my $said = do {
        open my $out, '-|', 'sh', '-c', 'exec openssl "$@" 2>&1', 'sh', @words or die "openssl: $!\n";
        local $/;
        my $text = <$out>;
        close $out;
        $text;
    };
    die "openssl $words[0] failed:\n$said" if $?;
    return;
}

1;
