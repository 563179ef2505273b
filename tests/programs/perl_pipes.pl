#!/usr/bin/perl
# Pipes between forked processes: both directions, large data, end of file.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
$| = 1;
pipe my $r, my $w or die;
my $pid = fork // die;
if (!$pid) { close $r; print $w "from child\n"; exit }
close $w;
print <$r>;
waitpid $pid, 0;
pipe my $ar, my $aw;
pipe my $br, my $bw;
$pid = fork // die;

if (!$pid) {
    close $aw;
    close $br;
    $bw->autoflush(1);
    while (<$ar>) { print $bw uc }
    exit;
}
close $ar;
close $bw;
$aw->autoflush(1);
for (qw(one two three)) { print $aw "$_\n"; print scalar <$br> }
close $aw;
print "end\n" unless defined <$br>;
waitpid $pid, 0;
my $data = join "", map { "line $_\n" } 1 .. 50000;
pipe $r, $w;
$pid = fork // die;
if (!$pid) { close $r; print $w $data; exit }
close $w;
my $got = do { local $/; <$r> };
waitpid $pid, 0;
print md5_hex($got) eq md5_hex($data) ? "equal\n" : "different\n";
open my $p, "-|", "seq", 1, 5 or die;
print map { "r$_" } <$p>;
close $p;
print "status $?\n";
open $p, "|-", "sort -r" or die;
print $p "$_\n" for 1 .. 3;
close $p;
open $p, "-|", "sh -c \"exit 3\"";
close $p;
print $? >> 8, "\n";
my $out = `echo out; echo err 1>&2; exit 4`;
print $out, $? >> 8, "\n";
my @l = `seq 100`;
print scalar(@l), "\n";
print `echo nested \`echo ticks\``;
open $p, "-|" // die or do { print "forked open\n"; exit 6 };
print <$p>;
close $p;
print $? >> 8, "\n";
pipe $r, $w;
my $old = select $w;
$| = 1;
select $old;
{ local $SIG{PIPE} = "IGNORE"; close $r; print $w "x"; print $!{EPIPE} ? "EPIPE\n" : "$!\n" }
pipe $r, $w;
use Fcntl;
fcntl $r, F_SETFL, O_NONBLOCK;
my $n = sysread $r, my $b, 10;
print defined $n ? $n : $!{EAGAIN} ? "EAGAIN\n" : "$!\n";
fcntl $w, F_SETFL, O_NONBLOCK;
my $total = 0;
while (defined(my $k = syswrite $w, "x" x 4096)) { $total += $k }
print "capacity $total\n";
print system("true"), " ", system("false") >> 8, " ", system("nonexistent-program"), "\n"
  if open STDERR, ">", "/dev/null";
