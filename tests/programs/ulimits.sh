#!/bin/bash
# Resource limits: shown, lowered, enforced.
dir=$(mktemp -d) && cd "$dir" || exit 1

ulimit -S -n 64
ulimit -S -n
bash -c 'ulimit -S -n'
(
    ulimit -H -n 100
    ulimit -S -n 100
    ulimit -H -n
    ulimit -n 50
    ulimit -n
)
perl -e 'my @f; while (open my $h, "<", "/dev/null") { push @f, $h } print $!{EMFILE} ? "EMFILE" : "$!", " after ", fileno $f[-1], "\n"'
(
    ulimit -S -c 0
    ulimit -c
)
(
    ulimit -f 8
    (
        trap '' XFSZ
        head -c 100000 /dev/zero > big
    ) 2> /dev/null
    echo "status $?"
    stat -c %s big
)
(
    ulimit -f 8
    head -c 100000 /dev/zero > big2
    echo "status $?"
) 2> /dev/null
stat -c %s big2
(
    ulimit -s 256
    ulimit -s
    bash -c 'ulimit -s'
)
(
    ulimit -v 200000
    perl -e 'my $x = "a" x 600_000_000; print "no\n"' 2> /dev/null
    [ $? -ne 0 ] && echo "address space limit holds"
)
(
    ulimit -n 5
    exec 9< /dev/null
) 2> /dev/null
[ $? -ne 0 ] && echo "fd 9 refused"
ulimit -S -n 64
sed -n 's/^Max open files *\([0-9]*\).*/\1/p' /proc/self/limits
(
    ulimit -S -n 40
    ulimit -S -n 60
    echo "raised to $(ulimit -n)"
)
cd / && rm -rf "$dir"
