#!/bin/bash
# sed: substitutions, ranges, hold space, branches, in-place.
dir=$(mktemp -d) && cd "$dir" || exit 1

seq 10 > n
sed -n '3,5p' n
sed '2,9d' n
sed 's/1/one/' n | head -1
sed -n '$p' n
sed -n '0~5p' n
sed '/5/q' n | wc -l
sed -E 's/([0-9])([0-9])/\2\1/' n | tail -1
sed -n '/3/,/5/{s/^/>/;p}' n
sed '1!G;h;$!d' n | tr '\n' ' '
echo
sed -n 'N;N;s/\n/+/gp' n
sed '$!N;s/\n/ /' n
sed 's/.*/&&/;2q' n
sed -e '1i\top' -e '$a\bottom' -e '5c\changed' n
echo 'a,b,c' | sed 'y/abc/xyz/;s/,/\n/2'
echo aaa | sed 's/a/b/2'
echo hello | sed 's/l/L/g;s/.*/"&"/'
printf 'x=1\ny=2\n' > c
sed -i 's/x=1/x=9/' c
cat c
sed -i.bak 's/y/z/' c
cat c c.bak
sed -n 'l' <<< $'t\tx'
sed '=' c | head -2
sed 'w copy' c > /dev/null
cat copy
sed '1r c' n | head -4
sed -s -n '1p' n c
sed -z 's/\n/,/g' n
echo
cat > s.sed << 'S'
:again
s/(\([^()]*\))/[\1]/
t again
S
echo '((a)(b))' | sed -f s.sed
echo 'one two' | sed 's/\(\w*\) \(\w*\)/\u\2 \U\1/'
echo abc | sed 's/b*/X/g'
sed --posix 's/a/b/' <<< a
sed 's/x/y' n 2> /dev/null
echo "$?"
sed p missing 2> /dev/null
echo "$?"
echo q | sed 'q5'
echo "$?"
sed 's/1/date -u -d @0 +%Y/e' <<< 1
sed -u 1q n
seq 20000 | sed -n 's/7/x/gp' | md5sum
cd / && rm -rf "$dir"
