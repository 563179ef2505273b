#!/bin/bash
# split, csplit, join, paste and comm put together what they took apart.
dir=$(mktemp -d) && cd "$dir" || exit 1

seq 1 1000 > n
split -l 300 n part-
wc -l part-* | awk '{ print $1, $2 }'
cat part-* | cmp - n && echo whole
split -b 1000 -d n num-
ls num-*
cat num-* | md5sum
md5sum < n
split -n 3 n third-
cat third-* | cmp - n && echo thirds
split -n l/4 n q-
cat q-* | cmp - n && echo quarters
split -l 500 --filter='wc -l > $FILE.count' n f-
cat f-*.count
csplit -s n 100 '/^5..$/' '{2}'
wc -l xx* | awk '{ print $1, $2 }'
printf '1 a\n2 b\n3 c\n' > l
printf '1 x\n3 y\n4 z\n' > r
join l r
join -a1 -a2 -e - -o 0,1.2,2.2 l r
join -v1 l r
join -t: <(echo k:1) <(echo k:2)
paste l r
paste -s -d, l
comm l r
comm -12 <(seq 1 5) <(seq 3 7)
comm -3 <(seq 1 3) <(seq 2 4)
tac n | head -2
nl -ba l
fold -w 5 <<< abcdefghijkl
fmt -w 20 <<< "some words that are longer than one line"
pr -2 -t -l 3 <<< $'a\nb\nc\nd' | sed 's/[[:space:]]\+/ /g'
expand <<< $'a\tb'
unexpand -a <<< 'a       b' | od -An -c
printf 'a b\nb c\nc d\n' | tsort | tr '\n' ' '
echo
shuf -i 1-100 --random-source=n | sort -n | md5sum
cd / && rm -rf "$dir"
