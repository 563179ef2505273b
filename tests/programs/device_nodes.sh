#!/bin/bash
# /dev/null, zero, full, random and the links beside them.
dir=$(mktemp -d) && cd "$dir" || exit 1

echo lost > /dev/null
cat /dev/null | wc -c
head -c 10000 /dev/zero | md5sum
head -c 5 /dev/zero | od -An -tx1
echo x > /dev/full 2> /dev/null
echo "full: $?"
head -c 4 /dev/full | od -An -tx1
dd if=/dev/zero of=/dev/full bs=10 count=1 status=none 2> /dev/null
echo "dd to full: $?"
[ "$(head -c 16 /dev/urandom | od -An -tx1)" != "$(head -c 16 /dev/urandom | od -An -tx1)" ] && echo "random differs"
head -c 100000 /dev/urandom | wc -c
head -c 32 /dev/random | wc -c
for d in null zero full random urandom tty; do [ -c /dev/$d ] && stat -c '%n %t:%T %a' /dev/$d; done
readlink /dev/stdin /dev/stdout /dev/stderr
readlink /dev/fd
echo out > /dev/stdout
echo err > /dev/stderr 2> err
cat err
cat < /dev/stdin <<< "from stdin"
cat /dev/fd/0 <<< "from fd 0"
: > /dev/null && : < /dev/null && test -w /dev/null && echo usable
dd if=/dev/zero bs=1M count=3 status=none | wc -c
exec 3<> /dev/null
echo gone >&3
read -r line <&3
echo "[$line] $?"
test -d /dev/shm && echo shm
ls -l /dev/null | cut -c1
cd / && rm -rf "$dir"
