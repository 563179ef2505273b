#!/bin/bash
# stat, ls and test over every kind of file.
dir=$(mktemp -d) && cd "$dir" || exit 1

echo data > f
mkdir d
ln -s f l
mkfifo p
: > e
chmod 640 f
touch -d @1000000000 f d e p
touch -h -d @1000000000 l
stat -c '%n %F %s %a %h %Y' f l p e
stat -c '%n %F %a' d
ls -l --time-style=+%s f l p | awk '{ print $1, $2, $NF }'
ls -F
ls -A | wc -l
ls -d d
ls -p
ls -r
ls -1S | head -1
for t in -e -f -d -L -p -s -r -w -h -b -c -S -u -g -k -O -G; do for n in f d l p e missing; do test $t $n && echo "$t $n"; done; done | md5sum
[ f -ef l ] && echo "same file"
[ $(stat -c %i f) = $(stat -L -c %i l) ] && echo "same inode"
[ "$(stat -c %i f)" != "$(stat -c %i e)" ] && echo "other inode"
[ "$(stat -c %d f)" = "$(stat -c %d d)" ] && echo "same device"
stat missing 2>&1 | sed 's/.*: //'
stat -c '%F' /dev/null /proc /proc/self/exe /
stat -L -c %F /proc/self/exe
stat -f -c %T / > /dev/null && echo statfs
stat -c %h d
mkdir d/x d/y
ls -i f | awk '{ print ($1 > 0) }'
ls missing 2>&1 | sed 's/.*: //'
ls f/ 2>&1 | sed 's/.*: //'
cat d 2>&1 | sed 's/.*: //'
cat f/x 2>&1 | sed 's/.*: //'
: 2> /dev/null > d
echo "$?"
cat "$(printf 'x%.0s' $(seq 300))" 2>&1 | sed 's/.*: //'
cat '' 2>&1 | sed 's/.*: //'
touch $'tab\there' 'sp ace' '*star'
ls -b | grep -v '^.$'
ls -Q | grep -c '"'
ls --quoting-style=shell-escape | grep -v '^.$'
ls -lt --time-style=+%s f e | awk '{ print $NF }' | sort
ls -a d | tr '\n' ' '
echo
find . -newer f -name '*star'
find f -printf '%f %s %m %y %Ts\n'
cd / && rm -rf "$dir"
