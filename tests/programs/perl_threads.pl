#!/usr/bin/perl
# perl's interpreter threads: results, queues, locks.
use strict;
use warnings;
use threads;
use threads::shared;
use Thread::Queue;
$| = 1;
my @t = map {
    my $i = $_;
    threads->create(sub { my $s = 0; $s += $_ for 1 .. 1000 * $i; $s })
} 1 .. 4;
print join(" ", map { $_->join } @t), "\n";
my $c : shared = 0;
@t = map {
    threads->create(
        sub {
            for (1 .. 500) { lock $c; $c++ }
        }
    )
} 1 .. 4;
$_->join for @t;
print "$c\n";
my $q    = Thread::Queue->new;
my $done = Thread::Queue->new;
my @w    = map {
    threads->create(
        sub {
            while (defined(my $x = $q->dequeue)) { $done->enqueue($x * $x) }
        }
    )
} 1 .. 3;
$q->enqueue($_) for 1 .. 50;
$q->end;
$_->join for @w;
my $s = 0;
while (defined(my $x = $done->dequeue_nb)) { $s += $x }
print "$s\n";
my $go : shared = 0;
my $t = threads->create(sub { lock $go; cond_wait $go until $go; "signalled" });
{ lock $go; $go = 1; cond_broadcast $go }
print $t->join, "\n";
my $th;
{
    open my $save, ">&", \*STDERR;
    open STDERR, ">", "/dev/null";
    $th = threads->create(sub { die "in thread\n" });
    $th->join;
    open STDERR, ">&", $save
}
print "survived ", ($th->error // "");
print threads->create(sub { `echo from a thread` })->join;
print scalar(threads->list), "\n";
