#!/usr/bin/perl
# Signal handlers, masks, pending signals, signals between processes.
use strict;
use warnings;
use POSIX qw(:signal_h pause);
$| = 1;
my %n;
$SIG{$_} = sub { $n{$_[0]}++ }
  for qw(USR1 USR2 HUP TERM INT);
kill $_ => $$ for qw(USR1 USR2 HUP TERM INT USR1);
print join(" ", map { "$_=$n{$_}" } sort keys %n), "\n";
my $set = POSIX::SigSet->new(SIGUSR1);
my $old = POSIX::SigSet->new;
sigprocmask(SIG_BLOCK, $set, $old);
%n = ();
kill USR1 => $$ for 1 .. 3;
my $pend = POSIX::SigSet->new;
sigpending($pend);
print "pending ", $pend->ismember(SIGUSR1), " handled ", $n{USR1} // 0, "\n";
sigprocmask(SIG_SETMASK, $old);
print "handled ", $n{USR1}, "\n";
pipe my $r, my $w;
my $pid = fork // die;

if (!$pid) {
    my $got = 0;
    local $SIG{USR1} = sub { $got++ };
    syswrite $w, "r";
    select undef, undef, undef, 0.02 until $got >= 1;
    exit 10 + ($got >= 1);
}
sysread $r, my $b, 1;
kill USR1 => $pid;
waitpid $pid, 0;
print "child ", $? >> 8, "\n";
{
    my $c = 0;
    local $SIG{CHLD} = sub {
        while (waitpid(-1, POSIX::WNOHANG) > 0) { $c++ }
    };
    for (1 .. 5) { my $p = fork // die; exit unless $p }
    my $t = 0;
    while ($c < 5 && $t++ < 200) { select undef, undef, undef, 0.02 }
    print "CHLD handler reaped $c\n"
}
{
    local $SIG{CHLD} = "IGNORE";
    my $p = fork // die;
    exit 3 unless $p;
    print "ignored CHLD: ", waitpid($p, 0), " ", ($!{ECHILD} ? "ECHILD" : ""), "\n"
}
print "kill 0 self ", kill(0, $$), " missing ", kill(0, 99999999), "\n";
{ local $SIG{USR1} = "IGNORE"; kill USR1 => $$; print "ignored\n" }
{
    my $act = POSIX::SigAction->new(sub { print "sigaction ", $_[0], "\n" }, POSIX::SigSet->new,
        SA_RESTART);
    sigaction(SIGUSR2, $act);
    kill USR2 => $$;
    my $cur = POSIX::SigAction->new;
    sigaction(SIGUSR2, undef, $cur);
    print ref $cur->handler, "\n"
}
for my $s (qw(TERM KILL SEGV USR1)) {
    my $p = fork // die;
    if (!$p) { $SIG{$s} = "DEFAULT" unless $s eq "KILL"; kill $s => $$; sleep 5; exit }
    waitpid $p, 0;
    print "$s ", $? & 127, "\n";
}
{
    my $p = fork // die;
    if (!$p) {
        setpgrp;
        for (1 .. 3) {
            my $q = fork // die;
            if (!$q) { $SIG{TERM} = "DEFAULT"; sleep 5; exit }
        }
        $SIG{TERM} = "IGNORE";
        select undef, undef, undef, 0.4;
        kill TERM => -getpgrp;
        my $k = 0;
        while (wait > 0) { $k++ if ($? & 127) == 15 }
        exit $k;
    }
    waitpid $p, 0;
    print "group kill ended ", $? >> 8, "\n"
}
{
    my $p = fork // die;
    if (!$p) {
        local $SIG{INT} = sub { exit 4 };
        my $m = POSIX::SigSet->new;
        sigsuspend($m) while 1;
    }
    select undef, undef, undef, 0.4;
    kill INT => $p;
    waitpid $p, 0;
    print "sigsuspend ", $? >> 8, "\n"
}
eval {
    local $SIG{__WARN__} = sub { print "warn: @_" };
    warn "careful\n";
    die {code => 7};
};
print "died with $@->{code}\n";
