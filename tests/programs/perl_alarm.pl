#!/usr/bin/perl
# Alarms: they interrupt sleep, reads, waits and loops.
use strict;
use warnings;
use Time::HiRes qw(ualarm alarm sleep time setitimer ITIMER_REAL ITIMER_VIRTUAL);
$| = 1;

sub limited {
    my ($name, $code) = @_;
    my $ok = eval {
        local $SIG{ALRM} = sub { die "alarm\n" };
        alarm 0.1;
        $code->();
        alarm 0;
        1;
    };
    alarm 0;
    print "$name: ", $ok ? "finished\n" : $@;
}
limited("sleep",    sub { sleep 5 });
limited("loop",     sub { 1 while 1 });
limited("quick",    sub { 1 });
limited("read",     sub { pipe my $r, my $w;                       <$r> });
limited("child",    sub { system "exec sleep 0.3";                 sleep 5 });
limited("backtick", sub { my $pid = open my $p, "-|", "sleep 0.5"; <$p> });
my $n = 0;
{
    local $SIG{ALRM} = sub { $n++ };
    setitimer(ITIMER_REAL, 0.01, 0.01);
    my $end = time + 2;
    while ($n < 5 && time < $end) { select undef, undef, undef, 0.05 }
    setitimer(ITIMER_REAL, 0)
}
print "interval timer: ", $n >= 5 ? "five" : $n, "\n";
{
    local $SIG{ALRM} = sub { print "nested " };
    alarm 0.05;
    my $left = alarm 10;
    print $left > 0 ? "remaining\n" : "none\n";
    alarm 0
}
my $t0 = time;
{
    local $SIG{ALRM} = sub { };
    alarm 0.1;
    my $k = select undef, undef, undef, 5;
    print "select: ", $k, " ", ($!{EINTR} ? "EINTR" : "$!"), "\n"
}
print "in time\n" if time - $t0 < 3;
my $v = 0;
{
    local $SIG{VTALRM} = sub { $v = 1 };
    setitimer(ITIMER_VIRTUAL, 0.02);
    1 until $v;
}
print "virtual timer\n";
my $pid = fork // die;
if (!$pid) { alarm 0.05; sleep 5; exit }
waitpid $pid, 0;
print "default action: ", $? & 127, "\n";
alarm 5;
$pid = fork // die;
if (!$pid) { exit(alarm(0) == 0 ? 0 : 1) }
waitpid $pid, 0;
alarm 0;
print "not inherited by fork: ", $? >> 8, "\n";
$pid = fork // die;
if (!$pid) { alarm 0.1; exec $^X, "-e", 'select undef, undef, undef, 5; exit 1' }
waitpid $pid, 0;
print "kept over exec: ", $? & 127, "\n";
