# perl ldirectord.pl PROGRAM <LIST-OF-FILES
# perl ldirectord.pl PROGRAM --check SECONDS <LIST-OF-FILES
# perl ldirectord.pl PROGRAM --rounds NUMBER <LIST-OF-FILES
#
# Has each file read by ldirectord's own read_config and ld_setup, all in one process, and prints a
# line of JSON for each: the verdict, the line of the fault, the values that ldirectord works with.
# With --check it has each real server checked by ldirectord's own _check_real instead, each in a
# process of its own, and prints a line of JSON for each: the service's port, the server, the state.
# A check that hangs is ended after SECONDS, and prints none. With --rounds it runs ldirectord's own
# round of all checks NUMBER times, in its own process, and prints the state of the last check; all
# real servers have to be alive, since a change would be made in the kernel's table.
#
# PROGRAM's text is taken without its main part, which would look for ipvsadm and start a daemon.
# Names are not looked up: whatever could be a name has an address here.
use strict;
use warnings;
no warnings 'once';

use JSON::PP;
use POSIX ();

my $program = shift @ARGV;
my $wanted = shift(@ARGV) || '';
my $seconds = shift @ARGV;
$ENV{HOSTNAME} = 'director.example';
open my $source, '<', $program or die "$program: $!";
my $text = do { local $/; <$source> };
close $source;
$text =~ s/^# main code\n.*?^# functions\n//ms or die "$program is not laid out as expected";
# A monitorfile would be made where it is not.
$text =~ s/open\(MONITORFILE, ">>\$monitorfile"\) and close\(MONITORFILE\)/length \$monitorfile/
    or die "$program opens its monitorfile in another way";

my ($line, $said);
my $stubs = <<'END';
$HOSTNAME = $ENV{HOSTNAME};
$DAEMON_STATUS = $DAEMON_STATUS_STARTING;
{
    no warnings 'redefine';
    *main::ld_exit = sub { die "ended\n" };
    *main::ld_openlog = sub { 0 };
    *main::__config_log = sub {
        my ($at, $kind, $message) = @_;
        ($line, $said) = ($at, $message) if $kind eq 'Error';
    };
    # A slip in a range can mean more real servers than there is memory for.
    my $add_range = \&main::add_real_server_range;
    *main::add_real_server_range = sub {
        my ($at, $virtual, $first, $last) = @_;
        die "too many\n" if $_[6] == AF_INET && ip_to_int($last) - ip_to_int($first) > 1e3;
        $add_range->(@_);
    };
    *main::ld_log = sub { };
    my $set = \&main::service_set;
    *main::service_set = sub {
        my ($v, $r, $state) = @_;
        $main::STATE = $state;
        $set->(@_) if $wanted eq '--rounds';
    };
    my $look_up = \&main::getaddrinfo;
    *main::getaddrinfo = sub {
        my ($name, $service, $family) = @_;
        my @found = $look_up->($name, $service, $family, 0, 0, 4);
        return @found if defined $found[3];
        return () if $name !~ /^[\w.+-]+$/ || $name =~ /^[0-9.]*$/;
        return $look_up->($family == AF_INET6 ? '2001:db8::99' : '192.0.2.99', 0, $family);
    };
}
sub number { defined $_[0] ? 0 + $_[0] : undef }
sub server {
    my ($r) = @_;
    return undef unless defined $r;
    return {
        address => $r->{server}, port => number($r->{port}), method => $r->{forward},
        weight => number($r->{weight}), lower => number($r->{'l-threshold'}) || 0,
        upper => number($r->{'u-threshold'}) || 0,
        request => $r->{request}, receive => $r->{receive},
    };
}
sub service {
    my ($v) = @_;
    my $email = defined $v->{emailalert} ? $v->{emailalert} : $EMAILALERT;
    my $states = defined $v->{emailalertstatus} ? $v->{emailalertstatus} : $EMAILALERTSTATUS;
    my $own_interval = $FORKING eq 'yes' ? $v->{checkinterval} : undef;
    my $quiescent = defined $v->{quiescent} ? $v->{quiescent} : $QUIESCENT;
    my $cleanstop = defined $v->{cleanstop} ? $v->{cleanstop} : $CLEANSTOP;
    my $every = defined $v->{emailalertfreq} ? $v->{emailalertfreq} : $EMAILALERTFREQ;
    return {
        protocol => $v->{protocol}, address => $v->{server}, port => number($v->{port}),
        port_text => "$v->{port}", fwmark => number($v->{fwm}) || 0, is_six => $v->{addressfamily} == AF_INET6 ? 1 : 0,
        scheduler => $v->{scheduler}, persistent => number($v->{persistent}),
        netmask => $v->{netmask}, flags => $v->{schedflags}, ops => $v->{ops},
        real_servers => [map { server($_) } @{$v->{real}}],
        fallback => server($v->{protocol} eq 'fwm' ? $v->{fallback} : fallback_find($v)),
        checktype => $v->{checktype}, connects => number($v->{num_connects}),
        service => $v->{service}, checkport => number($v->{checkport}),
        request => $v->{request}, receive => $v->{receive}, method => $v->{httpmethod},
        virtualhost => $v->{virtualhost}, login => $v->{login}, passwd => $v->{passwd},
        database => $v->{database}, secret => $v->{secret}, command => $v->{checkcommand},
        timeout => number($v->{checktimeout}), negotiate => number($v->{negotiatetimeout}),
        interval => number($own_interval || $CHECKINTERVAL), tries => number($v->{checkcount}),
        failures => number($v->{failurecount}), quiescent => $quiescent, cleanstop => $cleanstop,
        email => $email, states => number($states), every => number($every),
        sender => $EMAILALERTFROM,
    };
}
END
eval "no warnings; no strict; package main; $text\n$stubs\n1" or die $@;

# Checks each real server in a process of its own, since a check may take long, or end its process.
sub check_all {
    my @processes;
    $| = 1;
    for my $v (@_) {
        for my $r (@{$v->{real}}) {
            my $process = fork;
            die "fork: $!" unless defined $process;
            push @processes, $process and next if $process;
            open my $results, '>&', \*STDOUT or die $!;
            open STDOUT, '>', '/dev/null' or die $!;
            open STDERR, '>', '/dev/null' or die $!;
            $main::STATE = 'none';
            eval { main::_check_real($v, $r) };
            my %found = (port => 0 + $v->{port}, server => "$r->{server}:$r->{port}", state => $main::STATE);
            syswrite $results, JSON::PP->new->canonical->latin1->encode(\%found) . "\n";
            POSIX::_exit(0);
        }
    }
    my $end = time + $seconds;
    while (@processes && time < $end) {
        @processes = grep { waitpid($_, POSIX::WNOHANG()) == 0 } @processes;
        select undef, undef, undef, 0.05;
    }
    kill 'KILL', @processes;
    waitpid $_, 0 for @processes;
}

# All is well before, so that no round has anything to do to the table.
sub run_rounds {
    for my $v (@main::VIRTUAL) {
        main::_status_up($v, $_) for @{$v->{real}};
    }
    main::_ld_main_check_all() for 1 .. $seconds;
    print "$main::STATE\n";
}

my $json = JSON::PP->new->canonical->latin1;
while (my $file = <STDIN>) {
    chomp $file;
    ($line, $said) = (undef, undef);
    no strict 'vars';
    $main::CONFIG = $file;
    my $taken = eval { local $SIG{__WARN__} = sub { }; read_config(); ld_setup(); 1 };
    close CFGFILE;
    die $@ unless $taken || defined $said || $@ eq "too many\n";
    if ($wanted) {
        die $said if defined $said;
        check_all(@main::VIRTUAL) if $wanted eq '--check';
        run_rounds() if $wanted eq '--rounds';
        next;
    }
    my %answer = $taken || !defined $said
        ? (services => [map { service($_) } @main::VIRTUAL], maintenance => $main::MAINTDIR)
        : (line => 0 + $line, said => $said);
    print $json->encode(\%answer), "\n";
}
