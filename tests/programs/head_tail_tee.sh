#!/bin/bash
# head, tail and tee, with files that grow.
dir=$(mktemp -d) && cd "$dir" || exit 1

seq 100 > n
head -n 3 n
head -n -97 n
tail -n 2 n
tail -n +99 n
head -c 5 n
tail -c 4 n
head -n1 -q n n
head -v -n 1 n n
cat n | tail -1
cat n | tail -c +285
tail -n 0 n | wc -c
seq 3 | tee a b > c
cat a b c | sort | uniq -c | sed 's/^ *//'
echo 4 | tee -a a > /dev/null
cat a
echo x | tee /dev/full 2>&1 | sed 's/.*: //'
: > log
(for i in 1 2 3; do
    echo "entry $i"
    sleep 0.03
done >> log) &
timeout 5 tail -n +1 -s 0.02 -f ---disable-inotify --pid=$! log
wait
head missing 2>&1 | sed 's/.*: //'
echo "${PIPESTATUS[0]}"
{
    head -n 1 > /dev/null
    cat
} < n | wc -l
(
    read -r l
    echo "$l"
    head -1
) < n
seq 10 | {
    read -r a
    read -r b
    echo "$a $b"
    cat | wc -l
}
cd / && rm -rf "$dir"
