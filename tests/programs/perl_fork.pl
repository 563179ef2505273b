#!/usr/bin/perl
# fork, wait and waitpid: statuses, many children, shared offsets.
use strict;
use warnings;
use POSIX ":sys_wait_h";
$| = 1;
for my $code (0, 1, 42, 255) {
    my $pid = fork // die;
    exit $code unless $pid;
    waitpid $pid, 0;
    print "exit ", $? >> 8, "\n";
}
my $pid = fork // die;
if (!$pid) { kill KILL => $$; sleep 5 }
waitpid $pid, 0;
print "signal ", $? & 127, "\n";
my %left  = map { my $p = fork // die; exit $_ unless $p; $p => $_ } 1 .. 50;
my $wrong = 0;
while ((my $p = wait) > 0) { $wrong++ if ($? >> 8) != delete $left{$p} }
print "50 children, $wrong wrong, ", scalar(keys %left), " left, ECHILD ", ($!{ECHILD} ? 1 : 0),
  "\n";
my $dir = `mktemp -d`;
chomp $dir;
open my $f, "+>", "$dir/f" or die;
$f->autoflush(1);

for (1 .. 5) {
    my $p = fork // die;
    if (!$p) { print $f "child $_\n"; exit }
    waitpid $p, 0;
}
seek $f, 0, 0;
print while <$f>;
close $f;
unlink "$dir/f";
rmdir $dir;
my $depth = 0;
while ($depth < 20) {
    my $p = fork // die;
    if ($p) { waitpid $p, 0; POSIX::_exit(($? >> 8) + 1) if $depth; last }
    $depth++;
    POSIX::_exit(0) if $depth == 20;
}
print "a chain of ", $? >> 8, " forks\n";
$pid = fork // die;
if (!$pid) { select undef, undef, undef, 0.1; exit 3 }
print "not yet: ", waitpid($pid, WNOHANG), "\n";
waitpid $pid, 0;
print "then ", $? >> 8, "\n";
my $x = 1;
$pid = fork // die;
if (!$pid) { $x = 2; exit }
waitpid $pid, 0;
print "own memory: $x\n";
print "parent known: ", (`echo \$PPID` == $$ ? 1 : 0), "\n";
my @big = (1 .. 200000);
$pid = fork // die;
if (!$pid) { $_++ for @big; exit($big[-1] == 200001 ? 7 : 8) }
waitpid $pid, 0;
print "big memory ", $? >> 8, " $big[-1]\n";
END { }
