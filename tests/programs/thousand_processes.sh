#!/bin/bash
# One thousand short-lived processes.
dir=$(mktemp -d) && cd "$dir" || exit 1

n=0
while [ $n -lt 500 ]; do
    /bin/true || echo failed
    n=$((n + 1))
done
echo "$n in turn"
bad=0
for i in $(seq 1 300); do
    (exit $((i % 256)))
    [ $? -eq $((i % 256)) ] || bad=$((bad + 1))
done
echo "$bad wrong"
for round in 1 2 3 4 5; do
    for i in $(seq 1 40); do echo "$i" >> out.$round & done
    wait
done
cat out.* | sort -n | uniq -c | awk '$1 != 5 { print "lost", $2 } END { print NR }'
cd / && rm -rf "$dir"
