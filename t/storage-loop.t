# A single Redis server, which workers ask on nginx's own event loop: every way to it, values of all sizes, and connections that
# come and go. What holds for all storages is in the other storage-*.t.
use lib 't/lib';
use SessT 'no_plan';

use Time::HiRes qw(sleep time);

use SessT::Certificates;
use SessT::Servers;

require './t/asking.pl';
rig 'none';
timeout 20;
workers(1);

our $plain     = SessT::Servers->redis;
our $authority = SessT::Certificates->new($plain->folder . '/tls');
my ($certificate, $key) = $authority->sign('redis.test');
my $tls_port = SessT::Ports::free_port();
our %server = (
    plain => $plain,
    tls   => SessT::Servers->redis('--port', '0', '--tls-port', $tls_port, '--tls-cert-file', $certificate, '--tls-key-file', $key,
        '--tls-ca-cert-file', $authority->file, '--tls-auth-clients', 'no'),
);
our @ways = qw(address name unix tls);

sub backends {
    my %lines = (
        address => 'server 127.0.0.1:' . $server{plain}->port . ';',
        name    => 'server localhost:' . $server{plain}->port . ';',
        unix    => 'server unix:' . $server{plain}->socket . ';',
        tls     => "server 127.0.0.1:$tls_port; ssl on; ssl_name redis.test; ssl_trusted_certificate " . $authority->file . ';',
        nowhere => 'server no-such-name.invalid;',
        brief   => 'server 127.0.0.1:' . $server{plain}->port . ';',
    );
    return join '', map { my $time = $_ eq 'brief' ? '300ms' : '10s'; "session_backend $_ redis { prefix $_; timeout $time; $lines{$_} }\n" } sort keys %lines;
}

sub locations {
    my ($name) = @_;
    my %in = (
        put  => 'session_set user $arg_u; return 204;',
        show => 'return 200 "$session_status [$session_data_user]";',
        out  => 'session destroy; return 204;',
    );
    return map { "location = /$name/$_ { session_storage $name; $in{$_} }\n" } sort keys %in;
}

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value(http_config => backends() . "session start;\nsession_secret test-secret;\nsession_max_data 1m;\nlarge_client_header_buffers 4 128k;\n");
    $block->set_value(config => join '', map({ locations($_) } @ways, 'nowhere', 'brief'), "location = /plain { session off; return 200 plain; }\n");
    $block->set_value(request => 'GET /plain');
});

# Text that does not become much smaller by deflating.
sub noise { my ($size, $seed) = @_; srand $seed; return join '', map { ('a' .. 'z', 0 .. 9)[ rand 36 ] } 1 .. $size }

sub master { return SessT::Room::slurp(server_root() . '/logs/nginx.pid') =~ /(\d+)/ ? $1 : die 'no pid' }

# Connections of clients that the server has, without ours.
sub clients { return scalar grep { !/cmd=client/ } split /\n/, $server{plain}->ask('CLIENT', 'LIST') }

run_tests();

__DATA__

=== every way: stored, read, replaced, read, ended
--- init
for my $way (@main::ways) {
    my $first = main::token(main::ask("/$way/put?u=ann"));
    is main::body(main::ask("/$way/show", $first)), 'open [ann]', "$way: stored";
    my $second = main::token(main::ask("/$way/put?u=bob", $first));
    is main::body(main::ask("/$way/show", $second)), 'open [bob]', "$way: replaced";
    is main::status(main::ask("/$way/out", $second)), 204, "$way: ended";
    is main::body(main::ask("/$way/show", $second)), 'no-record []', "$way: and gone";
}

=== every way: values of all sizes, one after another and at once
--- init
for my $way (@main::ways) {
    my %values = map { $_ => main::noise($_, $_) } 1, 900, 8_000, 16_300, 16_400, 60_000;
    my %cookies = map { $_ => main::token(main::ask("/$way/put?u=$values{$_}")) } keys %values;
    my @sizes = (sort { $a <=> $b } keys %values) x 5;
    my @asked = map { main::send_request("/$way/show", $cookies{$_}) } @sizes;
    my @wrong = grep { main::body(main::answer(shift @asked)) ne "open [$values{$_}]" } @sizes;
    is "@wrong", '', "$way: every value comes back as it was";
}

=== every way: more than a frozen server takes waits, and none of it is lost
--- init
for my $way (@main::ways) {
    my $server = $main::server{$way eq 'tls' ? 'tls' : 'plain'};
    # There is a connection by then: who has none does not wait so long.
    main::token(main::ask("/$way/put?u=ann"));
    $server->freeze;
    # Far more than what sockets and the connection hold.
    my @values = map { main::noise(60_000, $_) . "-$_" } 1 .. 160;
    my @asked = map { main::send_request("/$way/put?u=$_") } @values;
    sleep 0.5;
    # Some of those who wait leave.
    close $_ for @asked[20 .. 29, 140 .. 149];
    is main::body(main::ask('/plain')), 'plain', "$way: others are served";
    $server->thaw;
    my @answers = map { main::answer($_) } @asked[0 .. 19, 150 .. 159];
    is scalar(grep { main::status($_) eq '204' } @answers), 30, "$way: all are stored";
    my @shown = map { main::body(main::ask("/$way/show", main::token($answers[$_]))) } 0, 29;
    is $shown[0], "open [$values[0]]", "$way: the first";
    is $shown[1], "open [$values[159]]", "$way: the last";
    main::answer($_) for @asked[30 .. 139];
}

=== many at once share one connection, and go in few pieces
--- init
my $cookie = main::token(main::ask('/address/put?u=ann'));
my $before = main::clients();
my @asked = map { main::send_request('/address/show', $cookie) } 1 .. 200;
is scalar(grep { main::body(main::answer($_)) eq 'open [ann]' } @asked), 200, 'all are answered';
is main::clients(), $before, 'no connection more';

=== a connection that the server closes is made again, once
--- init
my $cookie = main::token(main::ask('/address/put?u=ann'));
for my $turn (1 .. 3) {
    my $before = main::clients();
    $main::server{plain}->ask('CLIENT', 'KILL', 'TYPE', 'normal');
    my @asked = map { main::send_request('/address/show', $cookie) } 1 .. 20;
    is scalar(grep { main::body(main::answer($_)) eq 'open [ann]' } @asked), 20, "turn $turn: nobody notices";
    cmp_ok main::clients(), '<=', $before, "turn $turn: one connection";
}

=== a name without an address: an answer at once, and a line that says so
--- init
is main::status(main::ask('/nowhere/put?u=ann')), 503, 'not stored';
is main::body(main::ask('/plain')), 'plain', 'others are served';
--- error_log
the name "no-such-name.invalid" has no address

=== replies that come when nobody waits for them any more are nobody else's
--- init
my %cookies = map { $_ => main::token(main::ask("/brief/put?u=$_")) } qw(ann bob);
$main::server{plain}->freeze;
my @late = map { main::send_request('/brief/show', $cookies{ann}) } 1 .. 5;
my @gone = map { main::send_request('/brief/show', $cookies{ann}) } 1 .. 5;
close $_ for @gone;
sleep 0.1;
$main::server{plain}->thaw;
is main::body(main::ask('/brief/show', $cookies{bob})), 'open [bob]', 'the right session' for 1 .. 5;
is main::body(main::answer($_)), 'open [ann]', 'and who still waits has the own one' for @late;
$main::server{plain}->freeze;
my @over = map { main::send_request('/brief/show', $cookies{ann}) } 1 .. 5;
is main::status(main::answer($_)), 503, 'too late' for @over;
$main::server{plain}->thaw;
my $end = time + 5;
my $shown = '';
until (($shown = main::body(main::ask('/brief/show', $cookies{bob}))) eq 'open [bob]' || time > $end) { sleep 0.1 }
is $shown, 'open [bob]', 'the right session afterwards';
--- error_log
storage "brief"

=== a worker that leaves while its server is frozen leaves no socket open
--- init
my $cookie = main::token(main::ask('/address/put?u=ann'));
main::ask("/$_/show", $cookie) for @main::ways, 'brief';
$main::server{plain}->freeze;
my @asked = map { main::send_request('/brief/show', $cookie) } 1 .. 3;
sleep 0.1;
kill HUP => main::master();
is main::status(main::answer($_)), 503, 'answered' for @asked;
$main::server{plain}->thaw;
--- error_log
storage "brief"
--- no_error_log
open socket
