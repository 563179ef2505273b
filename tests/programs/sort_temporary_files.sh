#!/bin/bash
# sort with little memory, which merges temporary files.
dir=$(mktemp -d) && cd "$dir" || exit 1

mkdir tmp
awk 'BEGIN { x = 42; for (i = 0; i < 40000; i++) { x = (x * 1103515245 + 12345) % 2147483648; printf "%d line %d\n", x, i } }' > data
md5sum < data
sort -S 100k -T tmp -n data > sorted && sort -n -c sorted && md5sum < sorted
sort -S 100k -T tmp --parallel=2 data | md5sum
sort -S 50k -T tmp --batch-size=3 -k3n data | head -2
sort -S 100k -T tmp --compress-program=gzip -n data | cmp - sorted && echo "compressed runs equal"
sort -m -n sorted sorted | wc -l
sort -n sorted sorted -u | wc -l
sort -n -o data data && cmp data sorted && echo "in place"
find tmp -type f | wc -l
printf '10\n9\n2\n1\n' | sort
printf '1K\n2M\n3\n' | sort -h
printf 'b 2\na 2\nc 1\n' | sort -k2,2n -s
sort -c <<< $'b\na' 2> /dev/null
echo "unsorted: $?"
printf 'Mar\nJan\nFeb\n' | sort -M | tr '\n' ' '
echo
printf 'v1.10\nv1.9\n' | sort -V | tr '\n' ' '
echo
sort -T /nonexistent -S 10k data 2> /dev/null | md5sum
cd / && rm -rf "$dir"
