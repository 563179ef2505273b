#!/bin/bash
# timeout: status, signal, escalation; and sleep.
dir=$(mktemp -d) && cd "$dir" || exit 1

timeout 0.05 sleep 5
echo "$?"
timeout 5 true
echo "$?"
timeout 5 sh -c 'exit 7'
echo "$?"
(
    timeout -s KILL 0.05 sleep 5
    echo "$?"
) 2> /dev/null
timeout -s INT 0.05 sleep 5
echo "$?"
timeout --preserve-status 0.05 sleep 5
echo "$?"
(
    timeout -k 0.2 0.3 sh -c 'trap "" TERM; while :; do sleep 0.02; done'
    echo "$?"
) 2> /dev/null
timeout --foreground 0.4 sh -c 'trap "kill \$!; echo cleaned; exit 3" TERM; sleep 5 & wait'
echo "$?"
timeout 5 missing-program 2> /dev/null
echo "$?"
timeout 5 / 2> /dev/null
echo "$?"
timeout 0.1 yes > /dev/null
echo "$?"
timeout 1 cat /dev/null
echo "$?"
echo through | timeout 5 cat
timeout --foreground 0.05 sleep 5
echo "$?"
s=${EPOCHREALTIME/./}
sleep 0.1
e=${EPOCHREALTIME/./}
[ $((e - s)) -ge 100000 ] && echo "slept"
sleep 0.01 0.02
echo "sum $?"
sleep x 2> /dev/null
echo "$?"
timeout 0.05 bash -c 'sleep 5 | sleep 5'
echo "$?"
timeout 1 bash -c 'read -t 0.05 x < <(sleep 3); echo "read timed out: $?"'
cd / && rm -rf "$dir"
