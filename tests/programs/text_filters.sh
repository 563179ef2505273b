#!/bin/bash
# tr, cut, paste, uniq, column-wise text.
dir=$(mktemp -d) && cd "$dir" || exit 1

echo 'Hello World' | tr a-zA-Z n-za-mN-ZA-M
echo hello | tr -d l
echo aabbcc | tr -s a-c
echo abc | tr -c 'ab\n' .
printf 'a:b:c\nd:e:f\n' > t
cut -d: -f2 t
cut -d: -f1,3 t
cut -c1-3 t
cut -d: -f2- --output-delimiter=, t
cut -b2 t
printf 'x\nx\ny\nX\n' | uniq -c | sed 's/^ *//'
printf 'x\nx\ny\n' | uniq -d
printf 'x\nx\ny\n' | uniq -u
printf 'x\nX\n' | uniq -i
wc -l -w -c -L t
wc < t
echo -n | wc -c
printf 'no newline' | wc -l
rev <<< abc 2> /dev/null || echo cba
seq 5 | tac | tr '\n' ' '
echo
expr 6 \* 7
expr length abcdef
expr abc : 'a\(.\)c'
expr 1 \> 2
echo "status $?"
factor 360 97 1000003
numfmt --to=iec 1048576
numfmt --from=si 2K
basename /a/b.txt .txt
dirname /a/b.txt
seq -s, 1 2 9
seq -w 8 11
seq 0.5 0.5 2
seq 3 -1 1 | tr '\n' ' '
echo
printf '%s|%5d|%-5s|%05.1f|%x|%o|%c|%b\n' str 42 ab 3.14159 255 8 char 'a\tb'
od -An -tx1 <<< ABC
od -An -td2 -N4 t
od -c <<< 'ab'
base64 <<< 'some text' | tee b64
base64 -d b64
base32 <<< hi
echo 'a,b;c' | tr ',;' '\n\n'
tr '[:lower:]' '[:upper:]' <<< mixed
tr -d '[:space:]' <<< 'a b c'
echo
head -c 1000 /dev/zero | tr '\0' '\n' | cat -n | tail -1
cat -A <<< $'tab\there'
cat -s <<< $'a\n\n\n\nb'
cd / && rm -rf "$dir"
