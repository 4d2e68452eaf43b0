# What holds for every storage: a session is stored, found, replaced, ended and expires; and what each has under which name.
# Redis has a file of its own, and shm one for what is its alone.
use lib 't/lib';
use SessT 'no_plan';

use Digest::SHA qw(sha256);
use File::Find ();
use IO::Select;
use IO::Socket::INET;
use MIME::Base64 qw(decode_base64url encode_base64url);
use Time::HiRes qw(sleep time);

use SessT::Servers;

rig 'none';
timeout 20;

our %server = map { $_ => SessT::Servers->$_ } qw(memcached postgres mysql dshm);
our $folder = File::Temp->newdir('sesst-files-XXXXXXXX', TMPDIR => 1);

our @all    = qw(file memcached postgres mysql dshm shm);
our @listed = qw(file memcached postgres mysql dshm);

sub backend {
    my ($name, $type, $lines) = @_;
    $lines .= "path $folder/$name;" if $type eq 'file';
    $lines .= 'size 1m;' if $type eq 'shm';
    $lines .= 'timeout 5s; connect_timeout 5s; server 127.0.0.1:' . $server{$type}->port . ';' if $server{$type};
    $lines .= 'database ' . SessT::Servers::DATABASE . '; username ' . SessT::Servers::USER . '; password ' . SessT::Servers::PASSWORD . ';'
        if $type =~ /postgres|mysql/;
    return "session_backend $name $type { $lines }\n";
}

# Locations of a storage, below its name; with session lines of their own, below a further one.
sub locations {
    my ($name, $further, $lines) = @_;
    my $echo = 'proxy_pass http://127.0.0.1:$TEST_NGINX_ECHO_PORT;';
    my %in = (
        put   => 'session_set user $arg_u; return 204;',
        show  => 'return 200 "$session_status [$session_data_user]";',
        id    => 'return 200 "$session_id";',
        out   => 'session destroy; return 204;',
        upput => "session_set user \$arg_u; $echo",
        up    => "session_map_header X-User user; $echo",
        in    => "session_subject \$arg_s; session_store_metadata on; return 204;",
        hashed => "session_subject \$arg_s; session_store_metadata on; session_hash_subject on; session_hash_storage_key on; return 204;",
    );
    my $where = defined $further ? "$name/$further" : $name;
    $lines //= '';
    return map { "location = /$where/$_ { session_storage $name; $lines $in{$_} }\n" } sort keys %in;
}

our %affixes = (p => 'prefix pre;', s => 'suffix suf;', ps => 'prefix pre; suffix suf;');

add_block_preprocessor(sub {
    my ($block) = @_;
    my @affixed = map { my $type = $_; map { [ "${type}_$_", $type, $affixes{$_} ] } sort keys %affixes } @listed;
    $block->set_value(http_config => join '', "session start;\nsession_secret test-secret;\nsession_cookie_name sid;\nlarge_client_header_buffers 4 32k;\n",
        map({ backend($_, $_, '') } @all), map({ backend(@$_) } @affixed), backend('levels', 'file', '') =~ s/(path [^;]*)/$1 levels=1:2/r);
    $block->set_value(config => join '', map({ locations($_) } @all, 'levels', map { $_->[0] } @affixed),
        map({ locations($_, 'brief', 'session_absolute_timeout 2s;'), locations($_, 'stale', 'session_stale_ttl 2s;') } @all),
        "location = /plain { session off; return 200 plain; }\n");
    $block->set_value(request => "GET /plain") unless defined $block->request;
});

# --- a client ---

sub ask {
    my ($path, $cookie) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ENV{TEST_NGINX_SERVER_PORT}) or die "connect: $!";
    print {$socket} "GET $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", ($cookie ? "Cookie: $cookie\r\n" : ()), "\r\n";
    $socket->flush;
    local $/;
    return scalar(<$socket>) // '';
}

sub body { return (split /\r\n\r\n/, $_[0], 2)[1] // '' }

sub show { return body(ask("/$_[0]/show", $_[1])) }

sub token { my ($answer) = @_; return $answer =~ /^Set-Cookie: (sid=[^;\r]+)/m ? $1 : die "no token in\n$answer" }

sub put { my ($where, $user, $cookie) = @_; return token(ask("/$where/put?u=$user", $cookie)) }

sub id_of { my ($cookie) = @_; return encode_base64url(substr decode_base64url($cookie =~ s/^sid=//r), 3, 32) }

# --- what the storages hold ---

sub files {
    my ($name) = @_;
    my @files;
    File::Find::find({ no_chdir => 1, wanted => sub { push @files, s{^\Q$folder/$name/}{}r if -f } }, "$folder/$name") if -d "$folder/$name";
    return @files;
}

# Keys that memcached has, as they are sent.
sub memcached_keys {
    my $said = $server{memcached}->ask("lru_crawler metadump all\r\n");
    return map { s/%([0-9A-F]{2})/chr hex $1/gier } $said =~ /^key=(\S+)/mg;
}

# The names of all records and lists.
sub names {
    my ($name) = @_;
    my ($type) = $name =~ /^([a-z]+)/;
    my @names = $type =~ /postgres|mysql/ ? split(/\n/, $server{$type}->ask("SELECT CONCAT(name, ' ', sid) FROM sessions WHERE exp > CURRENT_TIMESTAMP"))
        : $type eq 'memcached'            ? map({ s/%([0-9A-F]{2})/chr hex $1/gier } memcached_keys())
        : $type eq 'dshm'                 ? split(' ', $server{dshm}->ask("names\r\n") =~ /\r\n(.*)\r\nDONE/ ? $1 : '')
        :                                   files($name);
    @names = sort @names;
    return @names;
}

sub remove_all {
    my ($type) = @_;
    $server{$type}->ask('DELETE FROM sessions') if $type =~ /postgres|mysql/;
    $server{memcached}->ask("flush_all\r\n") if $type eq 'memcached';
    $server{dshm}->ask("delete $_\r\n") for $type eq 'dshm' ? names('dshm') : ();
    unlink "$folder/$type/$_" for $type eq 'file' ? files('file') : ();
    return;
}

# Another value under the names of all records.
sub overwrite {
    my ($type, $value) = @_;
    if ($type =~ /postgres|mysql/) { $server{$type}->ask("UPDATE sessions SET data = '$value'") }
    elsif ($type eq 'memcached') { $server{memcached}->ask("set $_ 0 100 @{[length $value]}\r\n$value\r\n") for memcached_keys() }
    elsif ($type eq 'dshm')      { $server{dshm}->ask("set $_ 100 @{[length $value]}\r\n$value") for names('dshm') }
    else {
        for my $file (map { "$folder/file/$_" } files('file')) {
            my $expires = (stat $file)[9];
            SessT::Room::spew($file, $value);
            utime $expires, $expires, $file;
        }
    }
    return;
}

sub until_holds {
    my ($holds, $seconds) = @_;
    my $end = time + $seconds;
    sleep 0.1 until $holds->() || time > $end;
    return $holds->();
}

run_tests();
__DATA__

=== X1: a value is stored and read, with and without an upstream; a new one goes with a new id
--- init
for my $type (@main::all) {
    my $cookie = main::put($type, 'ann');
    is length $cookie, 4 + 110, "$type: the cookie is the header alone";
    is join(' ', map { main::show($type, $cookie) } 1 .. 6), join(' ', ('open [ann]') x 6), "$type: all workers find it";
    like main::ask("/$type/up", $cookie), qr/\["X-User","ann"\]/, "$type: the upstream is told";
    my $answer = main::ask("/$type/upput?u=bob", $cookie);
    like $answer, qr/^HTTP\/1.1 200 /, "$type: saved before the upstream";
    isnt main::id_of(main::token($answer)), main::id_of($cookie), "$type: a new id";
    is main::show($type, main::token($answer)), 'open [bob]', "$type: with the new value";
    unlike main::ask("/$type/show", $cookie), qr/^Set-Cookie/m, "$type: reading sends no cookie";
    isnt main::id_of(main::put($type, 'eve', 'sid=made-up')), 'made-up', "$type: L3: nothing is adopted";
    is main::body(main::ask("/$type/id", $cookie)), main::id_of($cookie), "$type: the id is the cookie's";
}

=== a reload and a restart keep what is not nginx's own
--- init
our %kept = map { $_ => main::put($_, 'ann') } @main::all;
--- request eval
[("GET /plain") x 3]
--- reload eval
[undef, 1]
--- restart eval
[undef, undef, 1]
--- check eval
my $all = sub {
    my ($lost) = @_;
    return sub {
        my @wrong = grep { main::show($_, $main::kept{$_}) ne ($_ eq $lost ? 'no-record []' : 'open [ann]') } @main::all;
        return !@wrong || "wrong: @wrong";
    };
};
[$all->(''), $all->(''), $all->('shm')]

=== X6: names with a prefix, a suffix, both, none
--- init
for my $type (@main::listed) {
    main::remove_all($type);
    for my $affix ('', 'p', 's', 'ps') {
        my $name = $affix ? "${type}_$affix" : $type;
        my $id = main::id_of(main::put($name, 'ann'));
        my ($pre, $suf) = (scalar $affix =~ /p/, scalar $affix =~ /s/);
        my $expected = $type eq 'file' ? ($pre ? 'pre_' : '') . "sid_$id" . ($suf ? '.suf' : '')
            : $type =~ /sql|postgres/  ? ($pre ? 'pre:' : '') . 'sid' . ($suf ? ':suf' : '') . " $id"
            :                            ($pre ? 'pre:' : '') . "sid:$id" . ($suf ? ':suf' : '');
        is scalar(grep { $_ eq $expected } main::names($name)), 1, "$type: $expected" or diag(main::names($name));
    }
}

=== X9: a cookie of one prefix opens nothing under another
--- init
for my $type (@main::listed) {
    my $cookie = main::put("${type}_p", 'ann');
    is main::show($_, $cookie), $_ eq "${type}_p" ? 'open [ann]' : 'no-record []', "$type: $_" for $type, map { "${type}_$_" } qw(p s ps);
}

=== X2, X3: after the absolute timeout session and record are gone; a replaced one goes after session_stale_ttl
--- init
main::remove_all($_) for @main::listed;
my %brief = map { $_ => main::put("$_/brief", 'ann') } @main::all;
my %old = map { $_ => main::put("$_/stale", 'ann') } @main::all;
my %new = map { $_ => main::put("$_/stale", 'bob', $old{$_}) } @main::all;
is main::show($_, $old{$_}), 'open [ann]', "$_: the replaced session works for a while" for @main::all;
sleep 4;
for my $type (@main::all) {
    is main::show("$type/brief", $brief{$type}), 'expired-absolute []', "$type: over";
    is main::show($type, $brief{$type}), 'no-record []', "$type: the record, too";
    is main::show($type, $old{$type}), 'no-record []', "$type: the replaced session is gone";
    is main::show($type, $new{$type}), 'open [bob]', "$type: the new one is there";
}
my $left = sub { my ($type) = @_; scalar(grep { /sid[:_]|^sid / } main::names($type)) };
# Files stay for a minute more.
for my $type (grep { $_ ne 'file' } @main::listed) {
    ok main::until_holds(sub { $left->($type) == 1 }, 20), "$type: nothing else is left" or diag(main::names($type));
}

=== A10, E12: after destroy the record is gone, and the old cookie is never revived
--- init
for my $type (@main::all) {
    main::remove_all($type);
    my $cookie = main::put($type, 'ann');
    like main::ask("/$type/out", $cookie), qr/^Set-Cookie: sid=; .*Max-Age=0/m, "$type: the cookie is expired";
    is main::show($type, $cookie), 'no-record []', "$type: replayed, it opens nothing";
    is scalar(main::names($type)), 0, "$type: nothing is left" unless $type eq 'shm';
    isnt main::id_of(main::put($type, 'eve', $cookie)), main::id_of($cookie), "$type: the old id is not taken again";
    is main::show($type, $cookie), 'no-record []', "$type: and opens nothing ever";
}

=== T16, O3: a record that is removed or garbage is as none
--- init
for my $type (@main::listed) {
    main::remove_all($type);
    my $cookie = main::put($type, 'ann');
    main::remove_all($type);
    my $answer = main::ask("/$type/show", $cookie);
    is main::body($answer), 'no-record []', "$type: removed";
    like $answer, qr/^Set-Cookie: sid=; /m, "$type: and the cookie is cleared";
    for my $garbage ('x', '[]', '["AAAA"]', '[' x 5000, '{"a":1}', 'null') {
        my $cookie = main::put($type, 'ann');
        main::overwrite($type, $garbage);
        is main::show($type, $cookie), 'no-record []', "$type: " . substr $garbage, 0, 10;
        main::remove_all($type);
    }
}
--- error_log eval
qr/\[error\].*the record of cookie "sid" is not used/

=== T14: one storage's cookie opens nothing in another
--- init
for my $type (@main::all) {
    my $cookie = main::put($type, 'ann');
    is main::show($_, $cookie), 'no-record []', "$type in $_" for grep { $_ ne $type } @main::all;
}

=== values of all kinds and sizes come back as they are
--- init
for my $type (@main::all) {
    for my $value ('x' x 5000, '%22\'%60;--%0', "\xc3\xa4\xf0\x9f\x98\x80", 'a+b=c/d:e_f') {
        my $cookie = main::put($type, $value);
        is main::show($type, $cookie), "open [$value]", "$type: " . length($value) . ' bytes';
    }
}

=== A15: lists of a subject's sessions, and subjects that would like to be something else
--- init
my $subject = "../../ann'%22;drop%20table%20sessions;--";
for my $type (@main::all) {
    main::remove_all($type);
    for my $where (qw(in hashed)) {
        my @cookies = map { main::token(main::ask("/$type/$where?s=$subject")) } 1 .. 3;
        my $hashed = $where eq 'hashed';
        my $sub = encode_base64url($hashed ? substr sha256($subject), 0, 16 : $subject);
        my $count = sub { $main::server{$type}->ask("SELECT COUNT(*) FROM sessions_meta WHERE aud = 'ZGVmYXVsdA' AND sub = '$sub'") };
        if ($type =~ /postgres|mysql/) { is $count->(), 3, "$type: three of $where" }
        main::ask("/$type/out", $cookies[0]) unless $hashed;
        if ($type =~ /postgres|mysql/ && !$hashed) { is $count->(), 2, "$type: two after one has ended" }
        if ($type !~ /postgres|mysql|shm/) {
            is scalar(grep { /[:_]ZGVmYXVsdA[:_]\Q$sub\E/ } main::names($type)), 1, "$type: a list of $where" or diag(main::names($type));
        }
    }
    next if $type eq 'shm';
    is scalar(grep { /drop/ } main::names($type)), 0, "$type: no raw subject";
}
is join(' ', sort map { m{([^/]*)$} } grep { -f } glob "$main::folder/*"), '', 'no file outside of the folders';

=== files: only for their owner, expiring by their time, in folders; what is not ours stays
--- init
main::remove_all('file');
SessT::Room::spew("$main::folder/file/$_", 'x') for 'mine.txt', 'sid_short', '.session', 'session_' . 'A' x 43 . '.bak~';
utime 1, 1, glob "$main::folder/file/*";
my $cookie = main::put('file', 'ann');
my ($file) = grep { /^sid_.{43}$/ } main::files('file');
my @stat = stat "$main::folder/file/$file";
is sprintf('%o', $stat[2] & 07777), '600', 'the mode';
cmp_ok abs($stat[9] - time - 3600), '<', 5, 'the time of modification is the expiry';
is sprintf('%o', (stat "$main::folder/file")[2] & 077), '0', 'the folder is for nginx alone';
utime 1, time - 100, "$main::folder/file/$file";
is main::show('file', $cookie), 'no-record []', 'expired by its time';
main::put('levels', 'ann');
like((main::files('levels'))[0], qr{^([\w-])/([\w-]{2})/sid_[\w-]{40}\2\1$}, 'levels=1:2');
ok main::until_holds(sub { !-e "$main::folder/file/$file" }, 20), 'O5: swept, without a request';
is scalar(main::files('file')), 4, 'but not what others have there' or diag(main::files('file'));

=== SQL: rows long expired are reclaimed
--- init
for my $type (qw(postgres mysql)) {
    main::remove_all($type);
    $main::server{$type}->ask("INSERT INTO sessions (sid, name, data, exp) VALUES ('old$_', 'sid', 'x', '2020-01-01 00:00:00')") for 1 .. 3;
    main::put($type, 'ann') for 1 .. 20;
    ok main::until_holds(sub { $main::server{$type}->ask('SELECT COUNT(*) FROM sessions') == 20 }, 10), "$type: the old rows are gone"
        or diag($main::server{$type}->ask('SELECT COUNT(*) FROM sessions'));
}
