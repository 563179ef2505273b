#!/usr/bin/perl
# Files from perl: seek, truncate, stat, rename, directories, times.
use strict;
use warnings;
use Fcntl qw(:DEFAULT :seek :mode);
use File::Temp "tempdir";
use File::Find;
use File::Copy;
use File::Path qw(make_path remove_tree);
use Cwd;
$| = 1;
my $dir = tempdir(CLEANUP => 1);
chdir $dir or die;
open my $f, "+>", "f" or die;
print $f "0123456789" x 10;
seek $f, 5, SEEK_SET;
read $f, my $b, 10;
print "$b\n";
seek $f, -3, SEEK_END;
read $f, $b, 10;
print "$b\n";
print tell $f, "\n";
print "\n";
truncate $f, 20;
close $f;
print -s "f", "\n";
sysopen(my $e, "f", O_RDWR | O_CREAT | O_EXCL) or print $!{EEXIST} ? "EEXIST\n" : "$!\n";
open $e, "<", "missing" or print $!{ENOENT} ? "ENOENT\n" : "";
open $e, ">", "."       or print $!{EISDIR} ? "EISDIR\n" : "$!\n";
mkdir "f" or print $!{EEXIST}  ? "EEXIST\n"  : "";
rmdir "f" or print $!{ENOTDIR} ? "ENOTDIR\n" : "";
opendir my $dd, "f" or print $!{ENOTDIR} ? "ENOTDIR\n" : "";
my @s = stat "f";
printf "%o %d %d\n", S_IMODE($s[2]), $s[3], $s[7];
chmod 0600, "f";
printf "%o\n", S_IMODE((stat "f")[2]);
utime 1000, 2000, "f";
print join(" ", (stat "f")[8, 9]), "\n";
rename "f", "g";
print -e "f" ? 1 : 0, -e "g" ? 1 : 0, "\n";
link "g", "h";
print +(stat "g")[3], "\n";
symlink "g", "s";
print readlink "s", "\n";
print -l "s" ? "link\n" : "";
make_path "a/b/c", "a/d";
for my $n (1 .. 20) { open my $o, ">", "a/b/file$n"; print $o $n }
my ($files, $dirs, $sum) = (0, 0, 0);
find(
    {
        no_chdir => 1,
        wanted   => sub {
            -d ? $dirs++ : do { $files++; open my $i, "<", $_; $sum += <$i> }
        }
    },
    "a"
);
print "$files $dirs $sum\n";
opendir $dd, "a/b";
my @e = sort grep !/^\./, readdir $dd;
print scalar @e, " $e[0]\n";
rewinddir $dd;
print scalar(() = readdir $dd), "\n";
closedir $dd;
print join(" ", sort glob "a/b/file1*"), "\n";
copy "g", "copy" or die;
print -s "copy", "\n";
move "copy", "a/moved";
print -e "a/moved" ? "moved\n" : "";
remove_tree "a";
print -d "a" ? 1 : 0,            "\n";
print unlink(qw(g h s nothere)), "\n";
open my $t, "+>", undef or die;
print $t "anonymous";
seek $t, 0, 0;
print <$t>, "\n";
open my $m, "<", \"in\nmemory\n";
print <$m>;
open my $u, ">", "un";
unlink "un";
print $u "still";
print -s $u // 0, "\n";
open my $ap,  ">>", "ap";
open my $ap2, ">>", "ap";
syswrite $ap,  "one\n";
syswrite $ap2, "two\n";
syswrite $ap,  "three\n";
open my $r, "<", "ap";
print <$r>;
open my $dup, ">&", $ap;
syswrite $dup, "four\n";
seek $r, 0, 1;
print scalar(<$r>) // "none\n";
print "umask ", umask(022) >= 0 ? "ok" : "", "\n";
open my $sp, ">", "sparse";
seek $sp, 1_000_000, 0;
print $sp "x";
close $sp;
print -s "sparse", " ", ((stat "sparse")[12] < 1000 ? "sparse" : "full"), "\n";
chdir "/";
