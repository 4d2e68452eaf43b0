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

my %seen;

# The view is taken once, before anyone rewrites sections of the block.
sub of {
    my ($class, $block) = @_;
    return $seen{ refaddr $block } ||= bless {
        name     => scalar $block->name,
        sections => { map { ref $block->{$_} eq 'ARRAY' ? ($_ => $block->{$_}[0]) : () } keys %$block },
        original => $block,
    }, $class;
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
