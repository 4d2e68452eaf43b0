package SessT::Curl;

# A request by HTTP/2, through curl.

use strict;
use warnings;

use File::Temp ();
use POSIX ();
use Time::HiRes qw(time);

use SessT::Room qw(slurp);

# Headers that have no place in HTTP/2, and those curl would add of itself.
my %connection_header = map { $_ => 1 } qw(connection content-length transfer-encoding keep-alive upgrade);
my @of_its_own = qw(User-Agent Accept Content-Type Expect);

# about: port, local, tls, timeout. Returns what the response was, as Connection's fields are named.
sub exchange {
    my ($bytes, %about) = @_;
    my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
    my $input = File::Temp->new;
    binmode $input;
    print {$input} $body // '';
    $input->flush;
    my $started = time;
    my ($output, $errors, $status) = _run(_command($head, $body, "$input", %about));
    my %result = (raw => $output, seconds => time - $started, timed_out => $status == 28);
    die "curl is not here; HTTP/2 tests need it\n" if $status == 127;
    die "curl failed ($status): $errors\n" if $status && !length $output && !$result{timed_out};
    return \%result;
}

sub _command {
    my ($head, $body, $input, %about) = @_;
    my ($line, @headers) = split /\r\n/, $head;
    my ($method, $uri) = split ' ', $line;
    my %given = map { /^([^:]+)/ ? (lc $1 => 1) : () } @headers;
    my $scheme = $about{tls} ? 'https' : 'http';
    return (
        qw(curl --silent --show-error --include --globoff --path-as-is --insecure --noproxy *),
        $about{tls} ? '--http2' : '--http2-prior-knowledge',
        '--max-time' => $about{timeout},
        $method eq 'HEAD' ? '--head' : ('--request' => $method),
        defined $about{local} ? ('--interface' => $about{local}) : (),
        length($body // '') ? ('--data-binary' => "\@$input") : (),
        (map { ('--header' => "$_:") } grep { !$given{ lc $_ } } @of_its_own),
        (map { ('--header' => s/:\s*\z/;/r) } grep { /^([^:]+)/ && !$connection_header{ lc $1 } } @headers),
        "$scheme://127.0.0.1:$about{port}$uri",
    );
}

sub _run {
    my (@command) = @_;
    my ($out, $err) = (File::Temp->new, File::Temp->new);
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>&', $out;
        open STDERR, '>&', $err;
        exec @command or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return (slurp("$out"), slurp("$err"), $? >> 8);
}

1;
