# What a worker has decrypted it knows for some seconds, in case the client comes again, and then its memory holds it no more.
use lib 't/lib';
use SessT 'no_plan';
no warnings "portable";    # addresses have 64 bits

rig 'B2';

our $vector = 'AQAAS3ZGU0k8tUKsWSci9Fb6PM5xbm469FlR5g_B5HWZ6KYGSOZjAAAAAABcAABTCuHjqpE7B6Ux7m4GCylZAAAAzcWnTvzG51whooR_4QQwDgGdMOOa5W7t'
    . 'G4JWiDFU3zuYLFzakWEi-y-ogrwTpnt24zQXP_uJK7r5lMPNzRSMJM9H1a_MIegzEMm-QSgVRaoZVJq3Oo';
our @seen;

# In how many workers' memory the data of the vector is, which never was in a configuration, request or response.
sub workers_that_know {
    my ($master) = SessT::Room::slurp(server_root() . '/logs/nginx.pid') =~ /(\d+)/ or die 'no pid';
    my @workers = split ' ', `ps -o pid= --ppid $master`;
    return scalar grep { memory_has($_, 'Lorem ipsum dolor sit amet') } @workers;
}

sub memory_has {
    my ($pid, $text) = @_;
    open my $maps, '<', "/proc/$pid/maps" or die "/proc/$pid/maps: $!";
    open my $memory, '<:raw', "/proc/$pid/mem" or die "/proc/$pid/mem: $! (kernel.yama.ptrace_scope must be 0)";
    while (my $line = <$maps>) {
        my ($from, $to, $what) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) rw\S+(?:\s+\S+){3}\s*(.*)/ or next;
        next if $what =~ /^\[v/;
        my ($at, $size) = (hex $from, hex($to) - hex($from));
        sysseek $memory, $at, 0 or next;
        sysread $memory, my ($bytes), $size or next;
        return 1 if index($bytes, $text) >= 0;
    }
    return 0;
}

run_tests();
__DATA__

=== what was decrypted is known for some seconds, and then overwritten
--- config
session_audience my_application;
session_idling_timeout 0;
session_rolling_timeout 0;
session_absolute_timeout 0;
add_header X-Cause $session_status;
location /off { session off; return 204; }
--- request eval
["GET /off", "GET /", "GET /off", "GET /off"]
--- error_code eval
[204, 200, 204, 204]
--- more_headers eval
["X-A: b", "Cookie: session=$::vector", "X-A: b", "X-A: b"]
--- sleep_before eval
[0, 0, 0.2, 16]
--- before eval
sub { push @::seen, workers_that_know() }
--- response_headers eval
["", "X-Cause: open", "", ""]
--- check eval
[undef, undef, undef, sub { "@::seen" eq '0 0 1 0' or "workers that know it: @::seen" }]

=== so it is where a token is opened late in a request, with nothing else going on
--- config
session_audience my_application;
session_idling_timeout 0;
session_rolling_timeout 0;
session_absolute_timeout 0;
location /off  { session off; return 204; }
location /slow {
    session_max_data 200;
    session_set big $arg_big phase=response;
    proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;
}
--- init
@::seen = ();
--- timeout: 30
--- request eval
["GET /slow?delay=17000&big=" . 'z' x 900, "GET /off", "GET /off"]
--- error_code eval
[200, 204, 204]
--- more_headers eval
["Cookie: session=$::vector", "X-A: b", "X-A: b"]
--- sleep_before eval
[0, 0, 16]
--- before eval
sub { push @::seen, workers_that_know() }
--- error_log
session_max_data allows 200
--- check eval
[undef, undef, sub { "@::seen" eq '0 1 0' or "workers that know it: @::seen" }]
