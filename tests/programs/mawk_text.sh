#!/bin/bash
# mawk over files: fields, separators, joins, several inputs.
dir=$(mktemp -d) && cd "$dir" || exit 1

printf 'alice 30 paris\nbob 25 rome\ncarol 35 paris\n' > p
mawk '{ print $2, $1 }' p
mawk '$2 > 28 { n++ } END { print n }' p
mawk '{ c[$3] += $2 } END { for (k in c) print k, c[k] }' p | sort
mawk -F: '{ print $NF }' <<< a:b:c
mawk 'NR == 2' p
mawk 'END { print NR, NF, $0 }' p
mawk -v x=5 'BEGIN { print x * 2 }'
mawk '/^b/, /^c/' p
mawk '{ $2 = ""; print }' p
mawk 'BEGIN { OFS = "-" } { $1 = $1; print }' p
mawk 'FNR == NR { a[$1] = $2; next } { print $1, a[$1] }' p p
mawk 'BEGIN { RS = "" } { print NF }' <<< $'a b\nc\n\nd'
seq 100000 | mawk '{ s += $1 } END { print s }'
mawk '{ print > ($3 ".out") } END { close("paris.out") }' p
cat paris.out
wc -l *.out | tail -1
mawk '{ print | "sort" }' p | head -1
mawk 'BEGIN { while ((getline l < "p") > 0) n++; print n }'
mawk '{ print length }' p
mawk 'BEGIN { printf "%d %s %5.1f%%\n", 3.9, "s", 99.5 }'
mawk 'BEGIN { exit 7 }'
echo "$?"
mawk 'BEGIN { print substr("x", 0), -3 % 2; print 1 == 1.0, "a" < "b" }'
seq 1000 | mawk 'BEGIN { srand(1) } { a[NR] = $1 } END { for (i = NR; i > 0; i--) s = s a[i]; print length(s) }'
mawk 'BEGIN { "pwd" | getline d; print (d == ENVIRON["PWD"]) }'
mawk '{ gsub(/[aeiou]/, "*") } 1' p
mawk -f /dev/stdin p <<< '{ print NR ": " $1 }'
mawk 'BEGIN {' 2> /dev/null
echo "$?"
mawk 1 missing 2> /dev/null
echo "$?"
yes | mawk 'NR == 3 { print "three"; exit }'
cd / && rm -rf "$dir"
