#!/bin/bash
# Process substitution and /dev/fd.
dir=$(mktemp -d) && cd "$dir" || exit 1

diff <(seq 5) <(seq 5) && echo equal
cat <(echo one) <(echo two)
paste <(seq 3) <(seq 4 6)
while read -r x; do n=$((n + x)); done < <(seq 10)
echo "$n"
echo data | tee >(tr a-z A-Z > upper) > /dev/null
until [ -s upper ]; do sleep 0.01; done
cat upper
sort -m <(seq 1 2 9) <(seq 2 2 10) | tr '\n' ' '
echo
f() { cat "$1" "$2"; }
f <(echo a) <(echo b)
exec 5< <(printf 'x\ny\n')
read -r a <&5
read -r b <&5
echo "$a$b"
exec 5<&-
comm -12 <(seq 1 100) <(seq 50 150) 2> /dev/null | wc -l
wc -l < <(seq 10000)
echo <(:) | sed 's/[0-9]*$/N/'
cat <(cat <(cat <(echo nested)))
join <(printf 'a 1\n') <(printf 'a 2\n')
for i in 1 2 3 4 5 6 7 8 9 10; do cat <(echo "$i"); done | md5sum
head -1 <(yes)
[ -e /dev/fd/0 ] && echo "dev fd"
cd / && rm -rf "$dir"
