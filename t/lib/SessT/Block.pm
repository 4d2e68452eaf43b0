package SessT::Block;

# One block of a test file as the harness sees it: the sections as they were written, and the expectation that belongs to
# one of several requests.

use strict;
use warnings;

# Ahead of all lexical variables, so that a section's code sees none.
sub _run { package main; return CORE::eval($_[0]) }

use Scalar::Util qw(refaddr);
use Test::Base ();
use Test::Base::Filter ();

my @expectations = qw(
    error_code error_code_like response_headers response_headers_like raw_response_headers_like
    raw_response_headers_unlike response_body response_body_like response_body_unlike
);

# Sections that have an item for each request when they are lists; the rest may also be shorter.
my @each_request = (@expectations, qw(more_headers));
my @up_to_each_request = qw(
    tls http2 port client_addr sleep_before before reload restart cookie_jar jar_edit capture check
    response_body_json upstream_json
);

# The sections there are.
my %known = map { $_ => 1 } @each_request, @up_to_each_request, qw(
    ONLY SKIP LAST rig rig_locations config http_config main_config post_main_config server_name log_level user_files init
    post_setup_server_root must_die reload_fails request raw_request raw_requests raw_request_middle_delay
    pipelined_requests keepalive parallel timeout abort ignore_response wait delay jar_mode error_log no_error_log
    access_log no_access_log shutdown_error_log no_shutdown_error_log skip_eval skip_nginx
);

my %seen;

sub expectations { @expectations }

# Sections a test file reads itself, in a preprocessor for instance.
sub own_sections { $known{$_} = 1 for @_ }

# The view is taken once, before anyone rewrites sections of the block.
sub of {
    my ($class, $block) = @_;
    return $seen{ refaddr $block } ||= $class->_new($block);
}

sub _new {
    my ($class, $block) = @_;
    my $name = $block->name;
    my @unknown = sort grep { !$known{$_} } keys %{ $block->_section_map };
    die "$name: no such section: @unknown (a test's own are to be named by own_sections)\n" if @unknown;
    my %section = map { ref $block->{$_} eq 'ARRAY' ? ($_ => $block->{$_}[0]) : () } keys %$block;
    return bless { name => $name, sections => \%section }, $class;
}

sub name { $_[0]{name} }

sub has { defined $_[0]{sections}{ $_[1] } }

sub value { $_[0]{sections}{ $_[1] } }

sub set { my ($self, $section, $value) = @_; $self->{sections}{$section} = $value }

# The value for request $i of a section that may be a list.
sub item {
    my ($self, $section, $i) = @_;
    my $value = $self->{sections}{$section};
    return ref $value eq 'ARRAY' ? $value->[$i] : $value;
}

# The expectation for request $i: with several requests it has to be a list.
sub expectation {
    my ($self, $section, $i, $several) = @_;
    my $value = $self->{sections}{$section};
    return $value unless defined $value && $several || ref $value eq 'ARRAY';
    return $value->[$i] if ref $value eq 'ARRAY';
    die "$self->{name}: with several requests `--- $section` has to be a list, an item for each\n";
}

# A list that is too short or too long would quietly leave something unchecked.
sub check_lists {
    my ($self, $requests) = @_;
    my %exact = map { $_ => 1 } @each_request;
    for my $section (@each_request, @up_to_each_request) {
        my $value = $self->{sections}{$section};
        next unless ref $value eq 'ARRAY';
        next if @$value == $requests || @$value < $requests && !$exact{$section};
        die "$self->{name}: `--- $section` has @{[scalar @$value]} items for $requests requests\n";
    }
}

# A flag for request $i: `--- tls` alone means all requests.
sub flag {
    my ($self, $section, $i) = @_;
    return 0 unless $self->has($section);
    my $value = $self->item($section, $i);
    return ref $self->{sections}{$section} ? $value : $value !~ /^\s*(?:0|off)\s*$/;
}

# Test::Base puts the error text of a broken `eval` section in the section's place, where it could pass for a value.
{
    no warnings 'redefine';
    *Test::Base::Filter::eval = sub {
        my ($filter, $code) = @_;
        my @value = _run($code);
        die $filter->current_block->name . ": an `eval` section does not run: $@" if $@;
        return @value;
    };
}

1;
