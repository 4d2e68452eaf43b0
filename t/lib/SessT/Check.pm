package SessT::Check;

# The expectations of a block against one response, and against the logs.

use strict;
use warnings;

use Exporter 'import';
use Test::More ();

use SessT::Captures qw(fill_in);
use SessT::Log;
use SessT::Room qw(expand);

our @EXPORT_OK = qw(check_response check_logs check_shutdown_log check_quiet);

my $test = Test::More->builder;

sub check_response {
    my ($block, $response, $i, $several) = @_;
    my $about = {
        block => $block, response => $response, i => $i, several => $several,
        name => $block->name . ($several ? " (req $i)" : ''),
    };
    _status($about);
    _headers($about, $_) for qw(response_headers response_headers_like);
    _patterns($about, 'raw_response_headers', $response->{head});
    _patterns($about, 'response_body', $response->{body});
    _body($about);
}

sub _expected {
    my ($about, $section) = @_;
    return fill_in(expand($about->{block}->expectation($section, @$about{qw(i several)})));
}

sub _status {
    my ($about) = @_;
    my $name = "$about->{name} - status";
    my $like = _expected($about, 'error_code_like');
    my $passed = defined $like && length $like
        ? $test->like($about->{response}{code}, qr/$like/, $name)
        : $test->is_eq($about->{response}{code}, _expected($about, 'error_code') // 200, $name);
    $test->diag($about->{response}{head}) unless $passed;
}

sub _headers {
    my ($about, $section) = @_;
    my $response = $about->{response};
    for my $line (split /\n/, _expected($about, $section) // '') {
        $line =~ s/\A\s+|\s+\z//g;
        next unless length $line;
        if ($line =~ s/\A!\s*//) {
            my @values = $response->headers($line);
            $test->ok(!@values, "$about->{name} - no header $line") or $test->diag(map { "$line: $_\n" } @values);
            next;
        }
        my ($header, $value) = split /\s*:\s*/, $line, 2;
        my $got = join ', ', $response->headers($header);
        $value //= '';
        my $passed = $section eq 'response_headers'
            ? $test->is_eq($got, $value, "$about->{name} - header $header")
            : $test->like($got, qr/\A(?:$value)\z/, "$about->{name} - header $header");
        $test->diag($response->{head}) unless $passed;
    }
}

sub _patterns {
    my ($about, $of, $text) = @_;
    my $like = _expected($about, "${of}_like");
    $test->like($text, qr/$like/s, "$about->{name} - ${of}_like") if defined $like && length $like;
    my $unlike = _expected($about, "${of}_unlike");
    $test->unlike($text, qr/$unlike/s, "$about->{name} - ${of}_unlike") if defined $unlike && length $unlike;
}

sub _body {
    my ($about) = @_;
    my $expected = _expected($about, 'response_body');
    my ($body, $name) = ($about->{response}{body}, "$about->{name} - body");
    if    (!defined $expected) { return }
    elsif (ref $expected)      { $test->like($body, $expected, $name) }
    else                       { $test->is_eq($body, $expected, $name) }
    $test->ok(0, "$about->{name} - the body is cut short") unless $about->{response}{complete};
}

sub check_logs {
    my ($block, $error_log, $access_log) = @_;
    _log($block, $error_log, 'error_log');
    _log($block, $access_log, 'access_log') if $access_log;
}

# Once nginx has left.
sub check_shutdown_log {
    my ($block, $error_log) = @_;
    _log($block, $error_log, 'shutdown_error_log');
}

sub _log {
    my ($block, $log, $section) = @_;
    my $wanted = fill_in(expand($block->value($section)));
    for my $pattern (SessT::Log::patterns($wanted)) {
        $test->ok($log->comes_to_have($pattern), $block->name . " - $section has $pattern");
    }
    my $unwanted = fill_in(expand($block->value("no_$section")));
    for my $pattern (SessT::Log::patterns($unwanted)) {
        my @lines = $log->lines_with($pattern);
        $test->ok(!@lines, $block->name . " - $section lacks $pattern") or $test->diag(@lines);
    }
}

# What no block may leave in the log: only a failure is told.
sub check_quiet {
    my ($block, $log) = @_;
    my $expected = join "\n", map { SessT::Log::patterns($block->value($_)) } qw(error_log shutdown_error_log);
    my @levels = grep { index($expected, "[$_") < 0 } qw(alert emerg);
    @levels = () if defined $block->value('reload_fails');
    my @signals = grep { index($expected, $_) < 0 } 'exited on signal';
    my $unwanted = join '|', @signals, map { "\\[$_\\] " } @levels;
    return if $unwanted eq '';
    my @lines = grep { /$unwanted/ } $log->news;
    return unless @lines;
    $test->ok(0, $block->name . ' - nothing at alert or emerg in the log, no worker gone by a signal');
    $test->diag(@lines);
}

1;
