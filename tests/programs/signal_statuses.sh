#!/bin/bash
# Exit statuses of processes that signals end.
dir=$(mktemp -d) && cd "$dir" || exit 1

exec 2> /dev/null
for s in HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM 16 XCPU XFSZ VTALRM PROF IO PWR SYS; do
    dash -c "ulimit -c 0; kill -$s \$\$; sleep 5"
    echo "$s $?"
done
for s in CHLD CONT URG WINCH; do
    bash -c "kill -$s \$\$; exit 7"
    echo "$s $?"
done
for s in 34 40 64; do
    bash -c "kill -$s \$\$"
    echo "real time $s: $?"
done
perl -e 'system "sh", "-c", "kill -9 \$\$"; print $? & 127, "\n"; system "sh", "-c", "exit 5"; print $? >> 8, "\n"; system "sh", "-c", "ulimit -c 0; kill -SEGV \$\$"; printf "%d\n", $? & 255'
for n in 0 1 2 127 128 200 255; do
    sh -c "exit $n"
    echo "exit $n: $?"
done
kill -l 137
kill -l TERM
kill -l 11
kill -0 $$
echo "exists $?"
kill -0 99999999
echo "does not $?"
cd / && rm -rf "$dir"
