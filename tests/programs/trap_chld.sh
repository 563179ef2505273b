#!/bin/bash
# SIGCHLD traps, once for each child.
dir=$(mktemp -d) && cd "$dir" || exit 1

set -m
n=0
trap 'n=$((n + 1))' CHLD
for i in 1 2 3; do
    (exit "$i") &
    wait $!
    echo "status $?"
done
trap - CHLD
echo "children: $n"
count=0
trap 'count=$((count + 1))' USR2
for i in $(seq 20); do kill -USR2 $$; done
echo "usr2: $count"
bash -c 'trap "echo child ended" CHLD; /bin/true; /bin/false; echo end' | sort | uniq -c
trap '' USR1
(
    kill -USR1 $BASHPID
    echo "ignored in subshell"
)
trap - USR1
cd / && rm -rf "$dir"
