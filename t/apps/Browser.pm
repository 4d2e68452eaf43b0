package Browser;

# Debian's Chromium without a window, as somebody who visits an https://….test address would use it:
#
#   my $browser = Browser->start(profile => $folder, port => $tls_port);    # every *.test:443 is 127.0.0.1:$tls_port
#   $browser->visit('https://shop.test/login');
#   $browser->fill('#user' => 'ann');
#   $browser->click('button');                   # and waits for the page it leads to
#   $browser->back;
#   $browser->text; $browser->url; $browser->status;
#   $browser->cookies;                           # as the browser has stored them
#   $browser->refused;                           # names of cookies it was sent and did not take, and why
#   $browser->close;                             # as a user does; another start with the same folder goes on
#
# It is steered by the DevTools protocol over a pair of pipes, so that no port is open and no driver is needed.

use strict;
use warnings;

use Exporter 'import';
use IO::Select;
use JSON::PP ();
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

use SessT::Guard qw(guard_group release_group);

use constant { PROGRAM => '/usr/bin/chromium', PATIENCE => 60, POLL => 0.02 };

# The others are not even decoded: there are hundreds for each page.
my %WANTED = map { $_ => 1 }
    qw(Page.frameNavigated Page.lifecycleEvent Network.responseReceived Network.responseReceivedExtraInfo Inspector.targetCrashed);

my $json = JSON::PP->new->utf8;

sub start {
    my ($class, %about) = @_;
    die PROGRAM . " is not there: scripts/setup test installs it\n" unless -x PROGRAM;
    my $self = bless { %about, id => 0, bytes => '', refused => [], headers => [] }, $class;
    $self->_spawn;
    my ($page) = grep { $_->{type} eq 'page' } @{ $self->_ask('Target.getTargets')->{targetInfos} };
    $self->{session} = $self->_ask('Target.attachToTarget', targetId => $page->{targetId}, flatten => JSON::PP::true)->{sessionId};
    $self->_ask($_) for qw(Page.enable Network.enable);
    $self->_ask('Page.setLifecycleEventsEnabled', enabled => JSON::PP::true);
    return $self;
}

# ---- what a visitor does -------------------------------------------------------------------------------------------

sub visit {
    my ($self, $url) = @_;
    return $self->_until_loaded(sub {
        my $answer = $self->_ask('Page.navigate', url => $url);
        die "$url: $answer->{errorText}\n" if $answer->{errorText};
    });
}

sub fill {
    my ($self, $selector, $text) = @_;
    $self->script('(at => { at.focus(); at.select() })(' . _element($selector) . ')');
    $self->_ask('Input.insertText', text => $text);
    return $self;
}

# A click that changes this page only, as that on a box.
sub tick {
    my ($self, $selector) = @_;
    $self->script(_element($selector) . '.click()');
    return $self;
}

# A click that leads to another page.
sub click {
    my ($self, $selector) = @_;
    return $self->_until_loaded(sub { $self->tick($selector) });
}

sub back {
    my ($self) = @_;
    my $history = $self->_ask('Page.getNavigationHistory');
    die "there is no page to go back to\n" unless $history->{currentIndex} > 0;
    my $before = $history->{entries}[ $history->{currentIndex} - 1 ];
    return $self->_until_loaded(sub { $self->_ask('Page.navigateToHistoryEntry', entryId => $before->{id}) });
}

# All windows are closed.
sub close {
    my ($self) = @_;
    $self->_send('Browser.close');
    my $end = time + PATIENCE;
    until (waitpid($self->{pid}, WNOHANG) == $self->{pid}) {
        die "Chromium does not leave\n" if time > $end;
        sleep POLL;
    }
    release_group($self->{pid});
    return;
}

# ---- what a visitor, or one who opens the developer tools, sees ------------------------------------------------------

sub url    { $_[0]->script('location.href') }
sub text   { $_[0]->script('document.body.innerText') }
sub status { $_[0]{status} }

# Whether an element is on the page.
sub shows { my ($self, $selector) = @_; return $self->script('!!document.querySelector(' . _text($selector) . ')') }

sub cookies { @{ $_[0]->_ask_browser('Storage.getCookies')->{cookies} } }
sub refused { @{ $_[0]{refused} } }

# Cookies that were taken from `cookies` before are there again, as a thief would put them.
sub put_back {
    my ($self, @cookies) = @_;
    my @given = map { { name => $_->{name}, value => $_->{value}, url => "https://$_->{domain}/", secure => JSON::PP::true } } @cookies;
    $self->_ask_browser('Storage.setCookies', cookies => \@given);
    return $self;
}

# The headers of all responses so far, each as [name, value].
sub headers { map { my $one = $_; map { [$_, $one->{$_}] } sort keys %$one } @{ $_[0]{headers} } }

sub script {
    my ($self, $text) = @_;
    my $answer = $self->_ask('Runtime.evaluate', expression => $text, returnByValue => JSON::PP::true, userGesture => JSON::PP::true);
    die "$text: $answer->{exceptionDetails}{exception}{description}\n" if $answer->{exceptionDetails};
    return $answer->{result}{value};
}

sub _element { my ($selector) = @_; return 'document.querySelector(' . _text($selector) . ')' }
sub _text    { my ($text) = @_; return JSON::PP->new->ascii->allow_nonref->encode($text) }

# ---- pages ---------------------------------------------------------------------------------------------------------

# Does what leads to another page, and returns when that has loaded. A page that comes out of the browser's memory as it
# was left (on the way back) is there at once.
sub _until_loaded {
    my ($self, $leave) = @_;
    delete @$self{qw(page loaded status)};
    $leave->();
    $self->_take_until(sub { $self->{page} && ($self->{page}{restored} || $self->{loaded}{ $self->{page}{loader} }) }, 'a page');
    return $self;
}

my %on = (
    'Page.frameNavigated' => sub {
        my ($self, $event) = @_;
        return if $event->{frame}{parentId};
        $self->{page} = { loader => $event->{frame}{loaderId}, restored => ($event->{type} // '') eq 'BackForwardCacheRestore' };
    },
    'Page.lifecycleEvent' => sub {
        my ($self, $event) = @_;
        $self->{loaded}{ $event->{loaderId} } = 1 if $event->{name} eq 'load';
    },
    'Network.responseReceived' => sub {
        my ($self, $event) = @_;
        $self->{status} = $event->{response}{status} if $event->{type} eq 'Document';
    },
    'Network.responseReceivedExtraInfo' => sub {
        my ($self, $event) = @_;
        push @{ $self->{headers} }, $event->{headers};
        push @{ $self->{refused} }, map { (split /=/, $_->{cookieLine})[0] . ": @{ $_->{blockedReasons} }" } @{ $event->{blockedCookies} };
    },
    'Inspector.targetCrashed' => sub { die "the page crashed\n" },
);

# ---- the protocol --------------------------------------------------------------------------------------------------

sub _ask {
    my ($self, $method, %words) = @_;
    my $id = $self->_send($method, %words);
    $self->_take_until(sub { exists $self->{answers}{$id} }, $method);
    my $answer = delete $self->{answers}{$id};
    die "$method: $answer->{error}{message}\n" if $answer->{error};
    return $answer->{result};
}

# Of the browser, not of its page.
sub _ask_browser {
    my ($self, @words) = @_;
    local $self->{session};
    return $self->_ask(@words);
}

sub _send {
    my ($self, $method, %words) = @_;
    my $id = ++$self->{id};
    my $text = $json->encode({ id => $id, method => $method, params => \%words, $self->{session} ? (sessionId => $self->{session}) : () });
    syswrite($self->{to}, "$text\0") or die "Chromium has gone: $!\n" . $self->_said;
    return $id;
}

sub _take_until {
    my ($self, $done, $what) = @_;
    my $end = time + PATIENCE;
    until ($done->()) {
        my $left = $end - time;
        die "Chromium: no $what in @{[PATIENCE]} s\n" if $left <= 0;
        IO::Select->new($self->{from})->can_read($left) or next;
        sysread($self->{from}, $self->{bytes}, 1 << 20, length $self->{bytes}) or die "Chromium has gone\n" . $self->_said;
        while ($self->{bytes} =~ s/\A([^\0]*)\0//) { $self->_take($1) }
    }
    return;
}

sub _take {
    my ($self, $text) = @_;
    return if $text =~ /\A\{"method":"(\w+\.\w+)"/ && !$WANTED{$1};
    my $message = $json->decode($text);
    if   (defined $message->{id})     { $self->{answers}{ $message->{id} } = $message }
    elsif ($on{ $message->{method} }) { $on{ $message->{method} }->($self, $message->{params}) }
    return;
}

# ---- the process ---------------------------------------------------------------------------------------------------

sub _spawn {
    my ($self) = @_;
    pipe my $its_in,  my $to     or die "pipe: $!\n";
    pipe my $from,    my $its_out or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    $self->_become($its_in, $its_out) if !$pid;
    setpgrp $pid, $pid;
    guard_group($pid);
    @$self{qw(pid to from)} = ($pid, $to, $from);
    $SIG{PIPE} = 'IGNORE';
    return;
}

sub _become {
    my ($self, $in, $out) = @_;
    setpgrp;
    open STDIN,  '<',  '/dev/null';
    open STDOUT, '>>', "$self->{profile}.log";
    open STDERR, '>&', \*STDOUT;
    # Chromium reads commands from 3 and answers on 4. Far out of the way first: what the test has open may be there.
    my @above = (POSIX::dup2(fileno $in, 500), POSIX::dup2(fileno $out, 501));
    POSIX::dup2($above[$_], 3 + $_) for 0, 1;
    POSIX::close($_) for @above;
    # Nothing of whoever runs the tests, and nothing left behind.
    mkdir $self->{profile};
    local @ENV{qw(HOME XDG_CONFIG_HOME XDG_CACHE_HOME TMPDIR)} = ($self->{profile}) x 4;
    exec { +PROGRAM } PROGRAM, $self->_options, 'about:blank' or POSIX::_exit(127);
}

sub _options {
    my ($self) = @_;
    return (
        '--headless=new', '--remote-debugging-pipe', "--user-data-dir=$self->{profile}",
        # Only names in .test exist, and all of them are nginx's.
        "--host-resolver-rules=MAP *.test:443 127.0.0.1:$self->{port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        '--ignore-certificate-errors',
        # In containers there is no room for the sandbox, nor in /dev/shm. The pages are our own.
        '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu',
        # No keyring, no questions, no calls home.
        '--password-store=basic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
        '--disable-sync', '--disable-default-apps', '--disable-extensions',
    );
}

sub _said {
    my ($self) = @_;
    open my $log, '<', "$self->{profile}.log" or return '';
    local $/;
    return scalar(<$log>) // '';
}

1;
