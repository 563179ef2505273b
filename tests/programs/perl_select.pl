#!/usr/bin/perl
# select over pipes: readiness, time-outs, several writers.
use strict;
use warnings;
use IO::Select;
use IO::Handle;
use IO::Poll qw(POLLIN POLLHUP POLLOUT);
$| = 1;
pipe my $r, my $w;
my $rin = "";
vec($rin, fileno $r, 1) = 1;
my $n = select my $ro = $rin, undef, undef, 0.05;
print "nothing: $n\n";
syswrite $w, "x";
$n = select $ro = $rin, undef, undef, 1;
print "ready: $n ", vec($ro, fileno $r, 1), "\n";
my $win = "";
vec($win, fileno $w, 1) = 1;
$n = select undef, my $wo = $win, undef, 0;
print "writable: $n\n";
sysread $r, my $b, 1;
close $w;
$n = select $ro = $rin, undef, undef, 1;
print "end of file is ready: $n ", sysread($r, $b, 1), "\n";
my ($sel, %name, %text, %open) = IO::Select->new;

for my $i (1 .. 6) {
    pipe my $cr, my $cw;
    my $p = fork // die;
    if (!$p) {
        close $cr;
        for my $k (1 .. 4) { select undef, undef, undef, 0.005 * $i; syswrite $cw, "w$i.$k " }
        exit;
    }
    close $cw;
    $sel->add($cr);
    $name{fileno $cr} = $i;
}
while ($sel->count) {
    for my $h ($sel->can_read(5)) {
        my $k = sysread $h, my $d, 100;
        if ($k) { $text{$name{fileno $h}} .= $d }
        else    { $sel->remove($h) }
    }
}
print "$text{$_}\n" for sort keys %text;
1 while wait > 0;
pipe $r, $w;
my $poll = IO::Poll->new;
$poll->mask($r => POLLIN);
$poll->mask($w => POLLOUT);
print "poll: ", $poll->poll(1), " ", $poll->events($w) == POLLOUT ? "out" : "",
  $poll->events($r) ? "in" : "", "\n";
syswrite $w, "a";
$poll->poll(1);
print "poll in: ", $poll->events($r) & POLLIN ? 1 : 0, "\n";
sysread $r, $b, 1;
$poll->remove($w);
close $w;
$poll->poll(1);
print "poll hup: ", $poll->events($r) & POLLHUP ? 1 : 0, "\n";
pipe $r, $w;
my $pid = fork // die;
if (!$pid) { close $r; select undef, undef, undef, 0.1; syswrite $w, "late"; exit }
close $w;
$rin = "";
vec($rin, fileno $r, 1) = 1;
($n, my $left) = select $ro = $rin, undef, undef, 5;
sysread $r, $b, 10;
print "$n $b ", ($left > 1 && $left < 5 ? "time left is told" : "time left $left"), "\n";
waitpid $pid, 0;
open my $null, "<", "/dev/null";
$rin = "";
vec($rin, fileno $null, 1) = 1;
print "files are always ready: ", scalar select($ro = $rin, undef, undef, 0), "\n";
$rin = "";
vec($rin, 40, 1) = 1;
$n = select $ro = $rin, undef, undef, 0;
print "bad descriptor: ", $!{EBADF} ? "EBADF" : $n, "\n";
