# A configuration of nginx-conf/ as what every block of a file runs on, for that file to require:
#
#   require './t/preset.pl';
#   preset('gateway-plugin.conf');
#
# It is the file itself, with ports, certificate and the file with the secret of this test; both of its upstreams are the echo.
# Requests go to it over TLS, unless the block has `port` or `tls` of its own; $TEST_NGINX_RAND_PORT_2 is without TLS.
#
#   --- with
#   session_cookie_max_age 2h;                the preset's line of that directive becomes this one; without one it is added
#   - session_secret_file                     that line goes
#   location = /show { return 200 "$session_id"; }    everything else is added to the server
#   --- in_profile
#   admin idling_timeout 2s;                  the same in the block of a profile

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::INET;

use SessT::Room qw(slurp spew);

own_sections('with', 'in_profile');

my %is_list = map { $_ => 1 } qw(session session_set session_unset session_info_set session_map_header session_request_headers
    session_response_headers session_require session_bypass session_cookie_jar_pass);

my $home = tempdir('nginx-session-preset.XXXXXX', TMPDIR => 1, CLEANUP => 1);
our $secrets = "$home/secrets";
spew($secrets, "the secret of this test\n");
chmod 0600, $secrets;

my $text;

sub preset {
    my ($file) = @_;
    $text = slurp("nginx-conf/$file");
    die "there is no nginx-conf/$file\n" unless length $text;
    rig('none');
    add_block_preprocessor(sub {
        my ($block) = @_;
        my $preset = with_lines($text, split /\n/, $block->with // '');
        $preset = in_profile($preset, split /\n/, $block->in_profile // '');
        $block->set_value(http_config => for_this_test($preset) . ($block->http_config // ''));
        $block->set_value(config => '') unless defined $block->config;    # so that nginx is started anew
        return if defined $block->must_die;
        return if defined $block->port || defined $block->tls;
        $block->set_value(tls => '');
        $block->set_value(port => '$TEST_NGINX_RAND_PORT_1');
    });
}

# The preset with such lines, for a reload.
sub preset_with { return for_this_test(with_lines($text, @_)) }

sub for_this_test {
    my ($text) = @_;
    $text =~ s/\blisten 443 ssl;/listen 127.0.0.1:\$TEST_NGINX_RAND_PORT_1 ssl; listen 127.0.0.1:\$TEST_NGINX_RAND_PORT_2;/g;
    $text =~ s{/etc/nginx/tls/\S+\.crt}{\$TEST_NGINX_CERT}g;
    $text =~ s{/etc/nginx/tls/\S+\.key}{\$TEST_NGINX_CERT_KEY}g;
    $text =~ s{/etc/nginx/session/secrets}{$secrets}g;
    $text =~ s{/var/lib/nginx/session/}{\$TEST_NGINX_SERVROOT/logs/}g;
    $text =~ s/127\.0\.0\.1:808\d\b/127.0.0.1:\$TEST_NGINX_ECHO_PORT/g;
    return $text;
}

sub with_lines {
    my ($text, @lines) = @_;
    for my $line (@lines) {
        if (my ($gone) = $line =~ /\A- (\w+)/) {
            $text =~ s/^(?: {4})?$gone\s[^;\n]*;.*\n//m or die "the preset has no $gone to take out\n";
        }
        elsif ($line =~ /\Asession_backend \w+/) {
            $text =~ s/^session_backend \w+ (?:[^\n]*\}|.*?^\}) *(?:#[^\n]*)?\n/$line\n/ms or die "the preset has no session_backend\n";
        }
        elsif (my ($name) = $line =~ /\A(session_\w+)\s/) {
            next if !$is_list{$name} && $text =~ s/^(?: {4})?$name\s[^;\n]*;/$line/m;
            $text =~ s/^( {4}ssl_certificate_key .*\n)/$1$line\n/m or die "the preset has no server\n";
        }
        else {
            $text =~ s/^\}\s*\z/$line\n}\n/m or die "the preset does not end with its server\n";
        }
    }
    return $text;
}

sub in_profile {
    my ($text, @lines) = @_;
    for my $line (@lines) {
        my ($profile, $name, $rest) = $line =~ /\A(\w+) (\w+)(.*)\z/ or die "no line of a profile: $line\n";
        my ($block) = $text =~ /^(session_profile $profile \{.*?^\}\n)/ms or die "the preset has no profile $profile\n";
        my $new = $block;
        $new =~ s/^ {4}$name\s[^;\n]*;/$name$rest/m or $new =~ s/^\}/$name$rest\n}/m;
        $text =~ s/\Q$block\E/$new/;
    }
    return $text;
}

# --- for `check` ---

# A request on its own, without TLS, for checks that watch what goes on meanwhile.
sub by_hand {
    my ($uri, $cookie) = @_;
    my $socket = opened($uri, $cookie);
    local $/;
    return scalar(<$socket>) // '';
}

# The socket it is under way on.
sub opened {
    my ($uri, $cookie) = @_;
    my $socket = IO::Socket::INET->new("127.0.0.1:$ENV{TEST_NGINX_RAND_PORT_2}") or die "nginx does not listen: $@";
    print {$socket} "GET $uri HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: $cookie\r\n\r\n";
    return $socket;
}

# The commands that a Redis got for sessions meanwhile, without those of connections and of the worker's first look.
sub commands_for_sessions {
    my ($redis, $code) = @_;
    my @commands = $redis->commands_during($code);
    return join ' ', map { $_->[0] } grep { $_->[0] !~ /^(?:HELLO|CLIENT|AUTH|SELECT|PING|INFO)$/i && ($_->[1] // '') !~ /:A{43}(?:$|:)/ } @commands;
}

1;
