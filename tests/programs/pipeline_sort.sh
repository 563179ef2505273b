#!/bin/bash
# Pipelines of several stages, their data and their statuses.
dir=$(mktemp -d) && cd "$dir" || exit 1

seq 1 1000 | sort -R | sort -n | tail -1
seq 1 1000 | sort -R | sort -n | md5sum
seq 1 5000 | awk '{ s += $1 } END { print s }'
printf '%s\n' pear apple fig apple pear apple | sort | uniq -c | sort -rn
seq 10 | cat | cat | cat | cat | cat | cat | cat | wc -l

true | false | (exit 7) | true
echo "statuses: ${PIPESTATUS[*]}"
! true | false
echo "negated: $?"

# More data than a pipe holds, with a reader that starts late.
head -c 300000 /dev/zero | tr '\0' x | {
    sleep 0.05
    wc -c
}
seq 1 100000 | tee copy | tail -2
wc -l < copy
seq 1 20 | paste -d, - - - - | sort -t, -k2nr
cd / && rm -rf "$dir"
