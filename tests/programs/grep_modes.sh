#!/bin/bash
# grep: expressions, contexts, statuses, recursion.
dir=$(mktemp -d) && cd "$dir" || exit 1

printf 'alpha\nbeta\ngamma\ndelta\nAlpha\nbeta max\n' > f
mkdir -p r/s
echo needle > r/s/x
echo hay > r/y
grep a f | wc -l
grep -c a f
grep -i alpha f
grep -v a f
echo "$?"
grep -n beta f
grep -w beta f
grep -x beta f
grep -E '^(al|ga)' f
grep -F 'a m' f
grep -P '\bmax$' f
grep -o 'a.' f | sort | uniq -c | sed 's/^ *//'
grep -A1 gamma f
grep -B1 gamma f
grep -C1 gamma f
grep -m1 a f
grep -q beta f
echo "$?"
grep nope f
echo "$?"
grep x missing 2> /dev/null
echo "$?"
grep -s x missing
echo "$?"
grep -e alpha -e delta f
echo 'alpha' > pat
grep -f pat f
grep -r needle r
grep -rl hay r
grep -rL hay r | sort
grep -rc . r | sort
grep -h needle r/s/x r/y
grep -H beta f | head -1
seq 100000 | grep -c 7
seq 100000 | grep -E '^(.)(.)\2\1$' | wc -l
grep -b gamma f
grep '\(a\).*\1' f
printf 'a\0b\n' | grep -c a
printf 'bin\0ary\n' | grep bin 2>&1 | sed 's/.*: //'
grep -z a f | wc -c
grep -a bin <(printf 'bin\0ary\n') | od -An -c
cd / && rm -rf "$dir"
