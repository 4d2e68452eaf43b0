package SessT::Servers;

# Real servers for the tests of storages, each on free loopback ports and in a temporary folder, ended by process id with
# the test:
#
#   my $redis = SessT::Servers->redis('--requirepass', 'x');    # memcached, postgres, mysql, dshm, proxy likewise
#   $redis->port; $redis->ask('GET', 'key');                    # what the server's own client says
#   $redis->stop; $redis->start; $redis->freeze; $redis->thaw;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp ();
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

use SessT::Guard qw(guard_group release_group);
use SessT::Ports qw(free_port);
use SessT::Room qw(slurp spew);

use constant { PATIENCE => 60, POLL => 0.02 };

# The user and database of the storages in SQL servers.
use constant { USER => 'nginx', PASSWORD => 'hunter2-hunter2', DATABASE => 'app' };

my $here = dirname(abs_path(__FILE__));
my $root = dirname(dirname(dirname($here)));

my @running;

# Options are the server's own; those of a text with %FOLDER% name its folder.
sub redis     { return shift->_new('redis',     @_) }
sub memcached { return shift->_new('memcached', @_) }
sub postgres  { return shift->_new('postgres',  @_) }
sub mysql     { return shift->_new('mysql',     @_) }
sub dshm      { return shift->_new('dshm',      @_) }

# A proxy before a server, whose faults are steered by `fault`.
sub proxy { my ($class, $server) = @_; return $class->_new('proxy', $server->port) }

my %kind = (
    redis => {
        needs   => 'redis-server',
        command => sub {
            my ($self) = @_;
            # An option that comes later, as `--port 0`, wins.
            return ('redis-server', '--bind', '127.0.0.1', '--port', $self->port, '--save', '', '--dir', $self->folder,
                '--unixsocket', $self->socket, $self->options);
        },
        client => sub {
            my ($self, @words) = @_;
            my ($password) = "@{[$self->options]}" =~ /--requirepass (\S+)/;
            local $ENV{REDISCLI_AUTH} = $password if defined $password;
            return _said('redis-cli', '-s', $self->socket, @words);
        },
        answers => sub { ($_[0]->ask('PING') // '') eq 'PONG' },
    },
    memcached => {
        needs   => 'memcached',
        user    => 'nobody',
        command => sub {
            my ($self) = @_;
            return ('memcached', '-l', '127.0.0.1', '-p', $self->port, '-U', '0', $self->options);
        },
        client  => \&_memcached,
        answers => sub { ($_[0]->ask("version\r\n") // '') =~ /^VERSION/ },
    },
    postgres => {
        needs   => 'postgresql',
        user    => 'postgres',
        make    => \&_make_postgres,
        command => sub {
            my ($self) = @_;
            return (_postgres('postgres'), '-D', $self->folder . '/data', '-k', $self->folder, '-p', $self->port,
                '-h', '127.0.0.1', '-c', 'fsync=off', '-c', 'max_connections=60', $self->options);
        },
        client => sub {
            my ($self, $sql) = @_;
            my $database = $self->{made} ? DATABASE : 'postgres';
            return _said(_postgres('psql'), '-h', $self->folder, '-p', $self->port, '-U', 'postgres', '-d', $database,
                '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', $sql);
        },
        answers => sub { ($_[0]->ask('SELECT 1') // '') eq '1' },
        tables  => sub {
            my ($self) = @_;
            $self->ask("CREATE ROLE @{[USER]} LOGIN PASSWORD '@{[PASSWORD]}'");
            $self->ask('CREATE DATABASE ' . DATABASE);
            $self->{made} = 1;
            $self->ask(_schema('postgres'));
            $self->ask('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ' . USER);
        },
        # Killed, it would leave shared memory behind.
        kill => 'QUIT',
    },
    mysql => {
        needs   => 'mariadb-server',
        user    => 'mysql',
        make    => \&_make_mysql,
        command => sub {
            my ($self) = @_;
            return ('/usr/sbin/mariadbd', '--no-defaults', '--datadir=' . $self->folder . '/data', '--socket=' . $self->socket,
                '--pid-file=' . $self->folder . '/pid', '--bind-address=127.0.0.1', '--port=' . $self->port,
                '--skip-name-resolve', '--skip-log-bin', '--innodb-log-file-size=4M', '--innodb-buffer-pool-size=16M',
                '--innodb-flush-log-at-trx-commit=2', '--innodb-fast-shutdown=2', $self->options);
        },
        client => sub {
            my ($self, $sql) = @_;
            my @database = $self->{made} ? ('-D', DATABASE) : ();
            return _said('mariadb', '--no-defaults', '--socket=' . $self->socket, '-u', 'root', @database, '-N', '-B', '-e', $sql);
        },
        answers => sub { ($_[0]->ask('SELECT 1') // '') eq '1' },
        tables  => sub {
            my ($self) = @_;
            my $user = USER . '@"%"';
            $self->ask("CREATE DATABASE @{[DATABASE]}; CREATE USER $user IDENTIFIED BY '@{[PASSWORD]}'");
            $self->{made} = 1;
            $self->ask(_schema('mysql'));
            $self->ask("GRANT SELECT, INSERT, UPDATE, DELETE ON @{[DATABASE]}.* TO $user");
        },
    },
    dshm => {
        command => sub { ('python3', dirname($here) . '/dshm.py', $_[0]->port) },
        client  => sub { my ($self, $text) = @_; return _talk($self->port, $text, qr/DONE\r\n\z|^ERROR.*\r\n/) },
        answers => sub { ($_[0]->ask("get x\r\n") // '') =~ /^ERROR not_found/ },
    },
    proxy => {
        command => sub {
            my ($self) = @_;
            return ('python3', dirname($here) . '/faultproxy.py', $self->port, $self->options, $self->{control});
        },
        client  => sub { my ($self, $text) = @_; return _talk($self->{control}, "$text\n", qr/\+\n\z/) },
        answers => sub { defined $_[0]->ask('ok') },
    },
);

sub _new {
    my ($class, $name, @options) = @_;
    my $folder = File::Temp->newdir('sesst-server-XXXXXXXX', TMPDIR => 1);
    my $self = bless { name => $name, is => $kind{$name}, folder => $folder, port => free_port(), owner => $$ }, $class;
    chmod 0755, $folder;
    $self->{options} = [ map { s/%FOLDER%/$folder/gr } @options ];
    $self->{control} = free_port() if $name eq 'proxy';
    if (my $user = $self->_user) {
        my (undef, undef, $uid, $gid) = getpwnam $user or die "there is no user $user; install the package $self->{is}{needs}\n";
        chown $uid, $gid, "$folder";
    }
    $self->{is}{make}->($self) if $self->{is}{make};
    push @running, $self;
    $self->start;
    $self->{is}{tables}->($self) if $self->{is}{tables};
    return $self;
}

sub port    { $_[0]{port} }
sub folder  { "$_[0]{folder}" }
sub socket  { "$_[0]{folder}/socket" }
sub options { @{ $_[0]{options} } }

# What the server's own client says to these words; undef when it cannot.
sub ask { my ($self, @words) = @_; return $self->{is}{client}->($self, @words) }

# Of a proxy: what happens from now on (see faultproxy.py).
sub fault { my ($self, $what) = @_; defined $self->ask($what) or die "the proxy does not answer\n"; return }

# --- life ---

sub start {
    my ($self) = @_;
    my @command = $self->_as_user($self->{is}{command}->($self));
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        setpgrp;
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', "$self->{folder}/log";
        open STDERR, '>>', "$self->{folder}/log";
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    setpgrp $pid, $pid;
    guard_group($pid);
    $self->{pid} = $pid;
    my $end = time + PATIENCE;
    until ($self->{is}{answers}->($self)) {
        my $gone = waitpid($pid, WNOHANG) == $pid;
        die "$command[0] does not start (Debian: " . ($self->{is}{needs} // 'python3') . "):\n" . slurp("$self->{folder}/log")
            if $gone || time > $end;
        sleep POLL;
    }
    return $self;
}

# At once, without a word to its clients.
sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    $self->_signal(CONT => $pid);
    kill(($self->{is}{kill} // 'KILL') => $pid);
    my $end = time + 10;
    until (waitpid($pid, WNOHANG) == $pid) {
        kill(KILL => -$pid) if time > $end;
        sleep POLL;
    }
    release_group($pid);
    return;
}

# A server with several threads may answer for a moment after the signal: it is frozen when all of them stand still, or have
# ended without anybody to notice.
sub freeze {
    my ($self) = @_;
    my $pid = $self->{pid};
    $self->_signal(STOP => $pid);
    my $children = slurp("/proc/$pid/task/$pid/children") // '';
    my @stats = map { glob "/proc/$_/task/*/stat" } $pid, split ' ', $children;
    for (my $end = time + PATIENCE; time < $end; sleep POLL) {
        return unless grep { (slurp($_) // '') !~ /^\d+ \(.*\) [TtZX]\b/s && -e } @stats;
    }
    die "process $pid cannot be frozen\n";
}

sub thaw { my ($self) = @_; $self->_signal(CONT => $self->{pid}); return }

# To it and to the processes it has started, which may have groups of their own.
sub _signal {
    my ($self, $signal, $pid) = @_;
    my $children = slurp("/proc/$pid/task/$pid/children") // '';
    kill($signal => $_) for $pid, split ' ', $children;
    return;
}

END {
    local ($?, $!, $@);
    $_->stop for grep { $_->{owner} == $$ } @running;
    @running = ();
}

# --- redis: what clients send ---

# Calls $code and returns the commands that came from clients meanwhile, each as its words.
sub commands_during {
    my ($self, $code) = @_;
    my $seen = "$self->{folder}/monitor";
    spew($seen, '');
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        setpgrp;
        open STDOUT, '>', $seen;
        exec 'redis-cli', '-s', $self->socket, 'MONITOR' or POSIX::_exit(127);
    }
    guard_group($pid);
    _until(sub { slurp($seen) =~ /^OK/ }, 'redis-cli MONITOR');
    $code->();
    $self->ask('ECHO', 'all-is-seen');
    _until(sub { slurp($seen) =~ /all-is-seen/ }, 'the end of what redis-cli MONITOR shows');
    kill(TERM => $pid);
    waitpid $pid, 0;
    release_group($pid);
    my @lines = grep { !/all-is-seen|unix:/ } split /\n/, slurp($seen);
    return map { [ /"((?:[^"\\]|\\.)*)"/g ] } grep { /^[\d.]+ \[/ } @lines;
}

# --- making them ---

sub _user { my ($self) = @_; return $> == 0 ? $self->{is}{user} : undef }

sub _as_user {
    my ($self, @command) = @_;
    my $user = $self->_user or return @command;
    my $group = getgrgid((getpwnam $user)[3]);
    return ('setpriv', '--reuid', $user, '--regid', $group, '--clear-groups', @command);
}

sub _run {
    my ($self, @command) = @_;
    my $said = _said($self->_as_user(@command));
    die "$command[0] failed; is the package $self->{is}{needs} installed?\n" unless defined $said;
    return;
}

sub _make_postgres {
    my ($self) = @_;
    $self->_run(_postgres('initdb'), '-D', "$self->{folder}/data", '-U', 'postgres', '--no-sync', '-E', 'UTF8', '--no-locale',
        '--auth-local=trust', '--auth-host=scram-sha-256');
    return;
}

sub _make_mysql {
    my ($self) = @_;
    $self->_run('mariadb-install-db', '--no-defaults', "--datadir=$self->{folder}/data", '--skip-test-db',
        '--auth-root-authentication-method=normal', '--innodb-log-file-size=4M');
    return;
}

sub _postgres {
    my ($program) = @_;
    my ($newest) = sort { ($b =~ m{(\d+)/bin})[0] <=> ($a =~ m{(\d+)/bin})[0] } glob "/usr/lib/postgresql/*/bin/$program";
    return $newest // die "there is no $program; install the package postgresql\n";
}

sub _schema { my ($dialect) = @_; return _said("$root/scripts/schema", $dialect) // die "scripts/schema $dialect fails\n" }

# --- talking ---

# What a program writes; undef when it fails.
sub _said {
    my (@command) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!\n";
    if (!$pid) {
        open STDIN,  '<', '/dev/null';
        open STDERR, '>', '/dev/null' unless $ENV{TEST_NGINX_VERBOSE};
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    my $said = do { local $/; <$out> } // '';
    close $out or return;
    $said =~ s/\n\z//;
    return $said;
}

sub _memcached { my ($self, $text) = @_; return _talk($self->port, $text, qr/(?:END|STORED|DELETED|NOT_FOUND|OK|ERROR|VERSION.*)\r\n\z/) }

sub _talk {
    my ($port, $text, $end) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 5) or return;
    print {$socket} $text;
    $socket->flush;
    my $said = '';
    while ($said !~ $end) { sysread $socket, $said, 65536, length $said or last }
    return $said;
}

sub _until {
    my ($holds, $what) = @_;
    my $end = time + PATIENCE;
    until ($holds->()) {
        die "$what: never\n" if time > $end;
        sleep POLL;
    }
    return;
}

1;
