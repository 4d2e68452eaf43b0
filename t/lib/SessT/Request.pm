package SessT::Request;

# The bytes of a block's requests: each request is a list of packets { value, delay_before }.

use strict;
use warnings;

use Exporter 'import';

use SessT::Room qw(expand);

our @EXPORT_OK = qw(requests_of);

sub requests_of {
    my ($block, $host) = @_;
    return [ map { [ { value => expand($_) } ] } _list($block->value('raw_requests')) ] if $block->has('raw_requests');
    return [ _raw($block) ] if $block->has('raw_request');
    return [ _pipelined($block, $host) ] if $block->has('pipelined_requests');
    die $block->name . ": there is neither a `request` nor a `raw_request` section\n" unless $block->has('request');

    my @requests = _list($block->value('request'));
    return [ map { _one($block, $host, $requests[$_], $_) } 0 .. $#requests ];
}

sub _list { ref $_[0] eq 'ARRAY' ? @{ $_[0] } : $_[0] }

# A list here is one request in several packets.
sub _raw {
    my ($block) = @_;
    my $pause = $block->value('raw_request_middle_delay');
    my @packets = map { { value => expand($_) } } _list($block->value('raw_request'));
    $_->{delay_before} = $pause for @packets[1 .. $#packets];
    return \@packets;
}

sub _pipelined {
    my ($block, $host) = @_;
    my @requests = _list($block->value('pipelined_requests'));
    my $bytes = '';
    for my $i (0 .. $#requests) {
        my $connection = $i == $#requests ? 'close' : 'keep-alive';
        $bytes .= build(expand($requests[$i]), expand($block->item('more_headers', $i)), $host, $connection);
    }
    return [ { value => $bytes } ];
}

sub _one {
    my ($block, $host, $request, $i) = @_;
    my @packets = map { ref $_ ? {%$_} : { value => $_ } } _list($request);
    $_->{value} = expand($_->{value}) for @packets;
    my $text = join '', map { $_->{value} } @packets;
    $text =~ s/\A(?:\s*\#[^\n]*\n|\s+)*// if @packets == 1;
    my $bytes = build($text, expand($block->item('more_headers', $i)), $host, 'close');
    return @packets == 1 ? [ { value => $bytes } ] : _cut($bytes, $text, @packets);
}

# Cuts a built request where its text was cut: what was put in (version, headers) stands behind the first line.
sub _cut {
    my ($bytes, $text, @packets) = @_;
    my $first_line = length(($text =~ /\A([^\n]*)/)[0]);
    my ($read, $written) = (0, 0);
    for my $packet (@packets) {
        $read += length $packet->{value};
        my $until = $read < $first_line ? $read : length($bytes) - (length($text) - $read);
        $packet->{value} = substr $bytes, $written, $until - $written;
        $written = $until;
    }
    return \@packets;
}

# A request from its short form: method, URI and version on the first line, the body behind it.
sub build {
    my ($text, $more, $host, $connection) = @_;
    my ($line, $body) = split /\n/, $text, 2;
    my ($method, $uri, $version) = split ' ', $line // '';
    die "a request needs at least a method: \"$text\"\n" unless defined $method;
    my $headers = _headers($more);
    my $given = sub { $headers =~ /^\Q$_[0]\E:/mi };

    $body //= '';
    my $framed = $given->('Content-Length') || $headers =~ /^Transfer-Encoding: *chunked/mi;
    $body =~ s/\A\s+|\s+\z//g unless $framed;
    my $ahead = '';
    $ahead .= "Host: $host\r\n" unless $given->('Host');
    $ahead .= "Connection: $connection\r\n" unless $given->('Connection');
    $headers .= 'Content-Length: ' . length($body) . "\r\n" if length $body && !$framed;
    return join(' ', $method, $uri // '/', $version // 'HTTP/1.1') . "\r\n$ahead$headers\r\n$body";
}

sub _headers {
    my ($text) = @_;
    my $lines = '';
    for my $line (split /\n+/, $text // '') {
        next if $line =~ /^\s*\#/ || $line !~ /\S/;
        my ($name, $value) = split /:\s*/, $line, 2;
        $value //= '';
        $value =~ s/\r\z//;
        $lines .= "$name: $value\r\n";
    }
    return $lines;
}

1;
