#!/bin/bash
# Named pipes: open waits for the other side, data, end of file.
dir=$(mktemp -d) && cd "$dir" || exit 1

mkfifo p
test -p p && stat -c '%F %a' p
(
    sleep 0.05
    echo late writer > p
) &
cat p
wait
cat p > out &
echo early reader > p
wait
cat out
(for i in 1 2 3; do echo "line $i"; done > p) &
while read -r l; do echo "got $l"; done < p
wait
exec 3<> p
echo both ends >&3
read -r l <&3
echo "$l"
exec 3>&-
mkfifo q
(tr a-z A-Z < p > q) &
echo through two > p &
cat q
wait
(seq 1 30000 > p) &
md5sum < p
wait
(
    exec 4> p
    echo a >&4
    sleep 0.05
    echo b >&4
) &
cat p
wait
mkfifo p 2> /dev/null
echo "exists: $?"
mkfifo -m 600 r
stat -c %a r
rm p
test -e p
echo "gone: $?"
(
    trap 'echo "no reader"' PIPE
    exec 5<> q
    exec 6> q 5<&-
    echo x >&6
    echo "write $?"
) 2> /dev/null
perl -MFcntl -e 'sysopen(my $h, "q", O_WRONLY | O_NONBLOCK) or print $!{ENXIO} ? "ENXIO\n" : "$!\n"'
perl -MFcntl -e 'sysopen(my $h, "q", O_RDONLY | O_NONBLOCK) or die; my $n = sysread $h, my $b, 10; print "end of file: $n\n"'
cd / && rm -rf "$dir"
