package SessT::Response;

# One response taken apart: status, header lines, body, and the Set-Cookie lines among them.

use strict;
use warnings;

# A response at the start of $bytes, or undef while it is not complete. With $closed the bytes are all there will be.
# `length` of the result says how many bytes it took.
sub parse {
    my ($class, $bytes, %about) = @_;
    my ($head, @interim, $at);
    $at = 0;
    while (1) {
        my $end = index $bytes, "\r\n\r\n", $at;
        return $about{closed} ? $class->_broken($bytes) : undef if $end < 0;
        $head = substr $bytes, $at, $end + 2 - $at;
        $at = $end + 4;
        last unless $head =~ m{\AHTTP/\S+ 1(?!01)\d\d};
        push @interim, $head;
    }
    my $self = bless { head => $head, interim => \@interim, _at => $at }, $class;
    ($self->{code}) = $head =~ m{\AHTTP/\S+ (\d{3})} or return $class->_broken($bytes);
    my ($body, $length) = $self->_body(substr($bytes, $at), %about);
    return unless defined $body;
    @$self{qw(body length complete)} = ($body, $at + $length, $self->{complete} // 1);
    return $self;
}

sub _broken {
    my ($class, $bytes) = @_;
    return bless {
        code => '', head => $bytes, body => '', interim => [], length => length $bytes, complete => 0,
    }, $class;
}

sub _body {
    my ($self, $rest, %about) = @_;
    return ('', 0) if $about{head_request} || $self->{code} =~ /^(?:204|304)$/;
    if ($self->{code} eq '101') { return $about{closed} ? ($rest, length $rest) : () }
    return $self->_chunked($rest, $about{closed}) if ($self->header('Transfer-Encoding') // '') =~ /chunked/i;

    my $length = $self->header('Content-Length');
    if (!defined $length) { return $about{closed} ? ($rest, length $rest) : () }
    if (length $rest < $length) {
        return () unless $about{closed};
        $self->{complete} = 0;
        return ($rest, length $rest);
    }
    return (substr($rest, 0, $length), $length);
}

sub _chunked {
    my ($self, $rest, $closed) = @_;
    my $body = '';
    pos($rest) = 0;
    while ($rest =~ /\G([0-9A-Fa-f]+)[^\r\n]*\r\n/gc) {
        my ($size, $at) = (hex $1, pos $rest);
        if ($size == 0) {
            last unless $rest =~ /\G((?:[^\r\n]+\r\n)*)\r\n/gc;
            $self->{trailers} = $1;
            return ($body, pos $rest);
        }
        last if length($rest) < $at + $size + 2;
        $body .= substr $rest, $at, $size;
        pos($rest) = $at + $size + 2;
    }
    return () unless $closed;
    $self->{complete} = 0;
    return ($body, length $rest);
}

sub _lines {
    my ($self) = @_;
    return map { /^([^:\s][^:]*):[ \t]*(.*?)[ \t]*$/ ? [ $1, $2 ] : () } split /\r?\n/, $self->{head};
}

sub headers {
    my ($self, $name) = @_;
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } $self->_lines;
}

sub header { ($_[0]->headers($_[1]))[0] }

sub set_cookies {
    my ($self) = @_;
    return map { _set_cookie($_) } $self->headers('Set-Cookie');
}

sub set_cookie {
    my ($self, $name) = @_;
    my @found = grep { $_->{name} eq $name } $self->set_cookies;
    die @found . " Set-Cookie lines for $name where one is due\n" if @found > 1;
    return $found[0];
}

sub _set_cookie {
    my ($line) = @_;
    my ($pair, @attributes) = split /\s*;\s*/, $line;
    my ($name, $value) = ($pair // '') =~ /\A([^=]*?)\s*=\s*(.*)\z/s ? ($1, $2) : ('', $pair // '');
    my %attr;
    for my $attribute (@attributes) {
        my ($key, $text) = split /\s*=\s*/, $attribute, 2;
        $attr{ lc $key } = $text // '' if defined $key;
    }
    return { name => $name, value => $value, attr => \%attr, line => $line };
}

1;
