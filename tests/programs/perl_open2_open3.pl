#!/usr/bin/perl
# IPC::Open2 and IPC::Open3: conversations with programs.
use strict;
use warnings;
use IPC::Open2;
use IPC::Open3;
use Symbol "gensym";
use IO::Select;
$| = 1;
my $pid = open2(my $out, my $in, "cat");
print $in "hello\n";
close $in;
print <$out>;
waitpid $pid, 0;
print "status $?\n";
$pid = open2($out, $in, "sort", "-n");
print $in "$_\n" for 3, 1, 2;
close $in;
print <$out>;
waitpid $pid, 0;
my $err = gensym;
$pid = open3($in, $out, $err, "sh", "-c", 'echo to-out; echo to-err >&2; cat; exit 5');
print $in "input\n";
close $in;
print "out: ", join("|", map { chomp; $_ } <$out>), "\n", "err: ", <$err>;
waitpid $pid, 0;
print "status ", $? >> 8, "\n";
$pid = open3($in, $out, undef, "sh", "-c", "echo a; echo b >&2");
print sort <$out>;
waitpid $pid, 0;
$pid = open2($out, $in, $^X, "-ne", 'BEGIN { $| = 1 } print $_ * 2, "\n"');
for (1 .. 5) { print $in "$_\n"; my $x = <$out>; print $x }
close $in;
waitpid $pid, 0;
$err = gensym;
$pid = open3($in, $out, $err, "sh", "-c", 'for i in 1 2 3; do echo o$i; echo e$i >&2; done');
close $in;
my %got;
my $sel = IO::Select->new($out, $err);

while (my @ready = $sel->can_read(5)) {
    for my $h (@ready) {
        my $n = sysread $h, my $b, 4096;
        if (!$n) { $sel->remove($h); next }
        $got{$h == $out ? "out" : "err"} .= $b;
    }
}
waitpid $pid, 0;
print map { "$_: " . $got{$_} =~ s/\n/ /gr . "\n" } sort keys %got;
eval { $pid = open3($in, $out, undef, "/nonexistent/program"); 1 }
  or print "cannot start: ", ($@ =~ /No such file/ ? "No such file" : $@), "\n";
my @pids;
for my $i (1 .. 10) {
    my $p = open2(my $o, my $w, "tr", "a-z", "A-Z");
    print $w "conversation $i\n";
    close $w;
    push @pids, [$p, $o];
}
for (@pids) { my $o = $_->[1]; print <$o>; waitpid $_->[0], 0 }
