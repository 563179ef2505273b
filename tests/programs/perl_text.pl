#!/usr/bin/perl
# perl as a language: expressions, hashes, sorting, packing, big loops.
use strict;
use warnings;
no warnings "recursion";
use List::Util qw(sum max first shuffle reduce);
use Data::Dumper;
use POSIX qw(floor strftime);
use Digest::SHA "sha256_hex";
use MIME::Base64;
use Time::Local;
use Encode;
$Data::Dumper::Sortkeys = 1;
$Data::Dumper::Indent   = 1;
my %h = map { $_ => length } qw(apple fig banana);
print "$_ $h{$_}\n" for sort { $h{$a} <=> $h{$b} || $a cmp $b } keys %h;
print Dumper({a => [1, 2], b => {c => undef}});
my $t = "The year 1999 and 2024";
my @y = $t =~ /(\d{4})/g;
print "@y\n";
(my $u = $t) =~ s/(\d+)/<$1>/g;
print "$u\n";
print join("|", split /\s+/, $t), "\n";
print "named $+{w}\n" if $t =~ /(?<w>year)/;
$t =~ tr/a-z/A-Z/;
print "$t\n";
print sum(1 .. 1000), " ", max(3, 9, 2), " ", first { $_ > 3 } 1 .. 9;
print "\n";
print reduce { $a * $b } 1 .. 10;
print "\n";
print unpack("H*", pack "NnCa4", 1, 2, 3, "ab"), "\n";
printf "%.3f %e %s %05d %b\n", 3.14159, 12345.678, "s", 42, 10;
print strftime("%F %T", gmtime 86399), "\n";
print sha256_hex("abc"),               "\n";
print encode_base64("hello");
print timegm(0, 0, 0, 1, 0, 100),         "\n";
print length(encode "UTF-8", "\x{263a}"), "\n";
print floor(-2.5),                        "\n";
local $, = "-";
local $\ = "\n";
print 1, 2, 3;
{
    local $@;
    eval { die "oops\n" };
    print "caught $@" =~ s/\n//r
}
my %c;
$c{$_ % 7}++ for 1 .. 50000;
print map { $c{$_} } sort keys %c;
my @s = sort { $a <=> $b } map { ($_ * 7919) % 10007 } 1 .. 10000;
print @s[0, 5000, -1];
my $s = "";
$s .= chr(97 + $_ % 26) for 1 .. 100000;
print length $s, sha256_hex($s);

sub ack {
    my ($m, $n) = @_;
    $m == 0 ? $n + 1 : $n == 0 ? ack($m - 1, 1) : ack($m - 1, ack($m, $n - 1));
}
print ack(2, 50);
my @m = map {
    [map { $_ * $_ } 1 .. 3]
} 1 .. 3;
print $m[2][1];
print scalar reverse("abc"), ucfirst "word", lc "UP", "x" x 5;
print join ",", map { sprintf "%02x", $_ } unpack "C*", "AZ";
my $str = sprintf "%s", 0.1 + 0.2;
print $str;
format STDOUT =
@<<<<< @>>>>> @||||
"left", "right", "mid"
.
{
    local ($,, $\);
    write
}
