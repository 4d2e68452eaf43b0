# What the tests of control headers, of rules for the response and of named sessions share, for a test file to require:
# requests whose answer the test writes, and looks at Set-Cookie lines.

use strict;
use warnings;

use JSON::PP ();
use MIME::Base64 qw(decode_base64url);

# A request that the echo upstream answers with these header lines. They are in the request's URI byte by byte in
# hexadecimal, so a log line that shows the request shows none of them.
sub ask {
    my ($path, @lines) = @_;
    return asking('GET', $path, @lines);
}

sub asking {
    my ($method, $path, @lines) = @_;
    return "$method $path" . ($path =~ /\?/ ? '&' : '?') . wanted_lines(@lines);
}

sub wanted_lines { return join '&', map { 'rh=' . hexed($_) } @_ }

sub hexed { my ($text) = @_; return $text =~ s/(.)/sprintf '%%%02x', ord $1/gser }

# --- subs for `check` ---

# One Set-Cookie line, of that name, with a token in it.
sub sets {
    my ($name) = @_;
    return sub {
        my ($res) = @_;
        my @lines = $res->set_cookies;
        return 'Set-Cookie lines: ' . join ' | ', map { $_->{line} } @lines if @lines != 1;
        return "cookie $lines[0]{name}" if $lines[0]{name} ne $name;
        return $lines[0]{value} =~ /\AAQ[\w-]{108,}\z/ ? 1 : "no token: $lines[0]{value}";
    };
}

# One Set-Cookie line, which expires the cookie of that name.
sub expires {
    my ($name) = @_;
    return sub {
        my ($res) = @_;
        my ($line, @more) = map { $_->{line} } $res->set_cookies;
        return 'not one Set-Cookie' if !$line || @more;
        return $line =~ /\A\Q$name\E=;.*Max-Age=0\z/ ? 1 : $line;
    };
}

sub silent { my ($res) = @_; return $res->{head} !~ /^Set-Cookie:/mi || 'a Set-Cookie: ' . $res->header('Set-Cookie') }

# No control header, in no spelling.
sub clean {
    my ($res) = @_;
    return join('', $res->{head}, $res->{trailers} // '') =~ /^(x[-_]session[-_](?:data|info|action|subject|audience|remember)):/mi ? "the client sees $1" : 1;
}

# All of them hold; the first finding of those that do not.
sub all_hold {
    my (@subs) = @_;
    return sub {
        for my $sub (@subs) {
            my $finding = $sub->(@_);
            return $finding unless $finding && $finding =~ /\A[\d.]+\z/;
        }
        return 1;
    };
}

# The id is the part of a token that a touch leaves as it is: bytes 3 to 34.
sub id_in { my ($token) = @_; return substr decode_base64url(substr $token, 0, 110), 3, 32 }

my %kept;

# The cookie's id, kept under a name; the same as one kept, or none of those kept so far.
sub keeps_id { my ($as, $name) = @_; return sub { $kept{$as} = _id($_[0], $name) // return 'no token'; 1 } }
sub same_id  { my ($as, $name) = @_; return sub { (_id($_[0], $name) // return 'no token') eq $kept{$as} or 'another id' } }

sub new_id {
    my ($than, $name) = @_;
    return sub { (_id($_[0], $name) // return 'no token') ne $kept{$than} or 'the same id' };
}

sub _id {
    my ($res, $name) = @_;
    my $cookie = $res->set_cookie($name // 'session');
    return $cookie && length $cookie->{value} >= 110 ? id_in($cookie->{value}) : undef;
}

# --- the section `shown`: the body of each response, in which the order of a JSON object's keys does not matter ---

own_sections('shown');

add_block_preprocessor(sub {
    my ($block) = @_;
    my $shown = $block->shown // return;
    my ($requests, $check) = ($block->request, $block->check);
    die $block->name . ": `--- shown` has to be a list, an item for each request\n" if @$shown != (ref $requests ? @$requests : 1);
    $block->set_value(check => sub {
        my ($res, $i) = @_;
        my $other = ref $check eq 'ARRAY' ? $check->[$i] : $check;
        return all_hold($other // (), defined $shown->[$i] ? shows($shown->[$i]) : ())->($res, $i);
    });
});

# A text that may end with a JSON object.
sub shows {
    my ($wanted) = @_;
    return sub { _sorted($_[0]{body}) eq _sorted($wanted) or "got $_[0]{body}, expected $wanted" };
}

sub _sorted {
    my ($text) = @_;
    my $json = JSON::PP->new->canonical->allow_bignum;
    return $text =~ s/\{.*\}\z/eval { $json->encode($json->decode($&)) } \/\/ $&/ser;
}

# --- storages ---

# A server runs again, and nobody pauses after an outage any more.
sub comes_back {
    my ($server) = @_;
    $server->start;
    select undef, undef, undef, 1.2;
    return;
}

# --- the log, between `before` and `check` ---

my $read;

sub mark_log { $read = -s _log_file() || 0; return }

sub news_of_log {
    open my $log, '<', _log_file() or return '';
    seek $log, $read, 0;
    local $/;
    return readline($log) // '';
}

sub _log_file { return server_root() . '/logs/error.log' }

# One line at error since `mark_log`, which speaks of sessions and of this header.
sub one_error {
    my ($header) = @_;
    return sub {
        my @lines = grep { /\[error\]/ } split /\n/, news_of_log();
        return @lines . ' error lines' if @lines != 1;
        return $lines[0] =~ /session: .*\Q$header\E/i ? 1 : $lines[0];
    };
}

1;
