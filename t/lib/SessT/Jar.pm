package SessT::Jar;

# A client's cookies. A plain jar sends all it has everywhere; a strict one keeps to RFC 6265: domain, path, Secure.

use strict;
use warnings;

use HTTP::Date qw(str2time);
use Time::HiRes qw(time);

sub new {
    my ($class, %about) = @_;
    return bless { strict => $about{strict}, cookies => [], count => 0 }, $class;
}

sub strict { my ($self, $strict) = @_; $self->{strict} = $strict }

# Takes the Set-Cookie lines of $response, the answer to $request (host, path, tls).
sub store {
    my ($self, $response, $request) = @_;
    for my $line ($response->set_cookies) {
        next unless length $line->{name};
        my $cookie = $self->_cookie($line, $request) or next;
        $self->_replace($cookie);
    }
}

sub _cookie {
    my ($self, $line, $request) = @_;
    my $attr = $line->{attr};
    my $host = lc $request->{host};
    my $domain = lc($attr->{domain} // '');
    $domain =~ s/^\.//;
    my $host_only = $domain eq '';
    $domain = $host if $host_only;
    return if $self->{strict} && !_domain_match($host, $domain);
    return if $self->{strict} && exists $attr->{secure} && !$request->{tls};
    my $path = ($attr->{path} // '') =~ m{^/} ? $attr->{path} : _default_path($request->{path});
    return {
        name => $line->{name}, value => $line->{value}, domain => $domain, host_only => $host_only, path => $path,
        secure => exists $attr->{secure}, expires => _expiry($attr),
    };
}

sub _expiry {
    my ($attr) = @_;
    return time + $attr->{'max-age'} if ($attr->{'max-age'} // '') =~ /\A-?\d+\z/;
    return defined $attr->{expires} ? str2time($attr->{expires}) : undef;
}

sub _default_path {
    my ($path) = @_;
    $path =~ s/\?.*//s;
    return $path =~ m{\A(/.*)/[^/]*\z}s ? $1 : '/';
}

# The same cookie: by name; in a strict jar by domain and path as well. An update keeps the cookie's age.
sub _replace {
    my ($self, $cookie) = @_;
    my ($old) = grep { $self->_same($_, $cookie) } @{ $self->{cookies} };
    $cookie->{order} = $old ? $old->{order} : $self->{count}++;
    @{ $self->{cookies} } = grep { !$self->_same($_, $cookie) } @{ $self->{cookies} };
    push @{ $self->{cookies} }, $cookie unless defined $cookie->{expires} && $cookie->{expires} <= time;
}

sub _same {
    my ($self, $one, $other) = @_;
    return 0 if $one->{name} ne $other->{name};
    return !$self->{strict} || ($one->{domain} // '') eq ($other->{domain} // '') && $one->{path} eq $other->{path};
}

# The Cookie line's value for a request, undef if there is none to send.
sub cookie_line {
    my ($self, $request) = @_;
    my @cookies = grep { !$self->{strict} || _sent_to($_, $request) } $self->_living;
    return @cookies ? join '; ', map { "$_->{name}=$_->{value}" } @cookies : undef;
}

sub _living {
    my ($self) = @_;
    my $now = time;
    @{ $self->{cookies} } = grep { !defined $_->{expires} || $_->{expires} > $now } @{ $self->{cookies} };
    return sort { length $b->{path} <=> length $a->{path} || $a->{order} <=> $b->{order} } @{ $self->{cookies} };
}

sub _sent_to {
    my ($cookie, $request) = @_;
    my $host = lc $request->{host};
    return 0 if $cookie->{secure} && !$request->{tls};
    my $domain = $cookie->{domain} // $host;    # none: a test put the cookie in by hand
    return 0 unless $cookie->{host_only} ? $host eq $domain : _domain_match($host, $domain);
    my $path = $request->{path} =~ s/\?.*//sr;
    return $path eq $cookie->{path} || $path =~ m{\A\Q$cookie->{path}\E(?:(?<=/)|/)};
}

sub _domain_match {
    my ($host, $domain) = @_;
    return $host eq $domain || $host !~ /\A[\d.]+\z/ && $host =~ /\.\Q$domain\E\z/;
}

# name => value, for tests that look or meddle; what `edited` gets back becomes the jar's content.
sub plain { my ($self) = @_; return { map { $_->{name} => $_->{value} } $self->_living } }

sub edited {
    my ($self, $plain) = @_;
    my $had = $self->plain;
    @{ $self->{cookies} } = grep { exists $plain->{ $_->{name} } } @{ $self->{cookies} };
    for my $cookie (@{ $self->{cookies} }) {
        $cookie->{value} = $plain->{ $cookie->{name} } if $plain->{ $cookie->{name} } ne $had->{ $cookie->{name} };
    }
    for my $name (sort grep { !exists $had->{$_} } keys %$plain) {
        push @{ $self->{cookies} }, {
            name => $name, value => $plain->{$name}, domain => undef, host_only => 0, path => '/', secure => 0,
            order => $self->{count}++,
        };
    }
}

1;
