#!/bin/bash
# Background jobs: wait for one, for all, for the next; statuses kept.
dir=$(mktemp -d) && cd "$dir" || exit 1

for i in 1 2 3 4 5; do
    (exit $((i * 10))) &
    pids[i]=$!
done
for i in 5 4 3 2 1; do
    wait "${pids[i]}"
    echo "job $i: $?"
done
for i in 1 2 3 4 5 6 7 8; do (echo "part $i" > part.$i) & done
wait
echo "all: $?"
cat part.*
sleep 5 &
slow=$!
(exit 9) &
quick=$!
wait -n $quick $slow
echo "next: $?"
kill $slow
wait $slow 2> /dev/null
echo "killed: $?"
(
    sleep 0.05
    exit 3
) &
wait $!
echo "slept: $?"
wait 999999 2> /dev/null
echo "no child: $?"
for i in 1 2 3; do {
    sleep 0.$i
    echo "end $i"
} & done
wait
(
    sleep 0.05
    echo late > late
) &
cat /dev/null
wait
cat late
out=$(
    (
        sleep 0.05
        echo from background
    ) &
    echo first
    wait
)
echo "$out"
jobs | wc -l
cd / && rm -rf "$dir"
