#!/bin/bash
# dd: blocks, seeks, skips, conversions, appends.
dir=$(mktemp -d) && cd "$dir" || exit 1

dd if=/dev/zero of=a bs=1k count=10 status=none
stat -c %s a
seq 1 1000 | dd of=b bs=512 status=none
md5sum < b
dd if=b of=c bs=100 skip=5 count=3 status=none
md5sum < c
stat -c %s c
printf XYZ | dd of=a bs=1 seek=5000 conv=notrunc status=none
stat -c %s a
od -An -c -j4999 -N5 a
printf Q | dd of=sparse bs=1 seek=1000000 status=none
stat -c %s sparse
tr -d '\0' < sparse
echo
echo lower | dd conv=ucase status=none
echo abcd | dd conv=swab status=none
dd if=b bs=7 count=10 status=none | md5sum
dd if=b ibs=3 obs=11 status=none | cmp - b && echo reblocked
dd if=b of=trunc bs=10 count=1 status=none
stat -c %s trunc
dd if=/dev/null of=trunc status=none
stat -c %s trunc
dd if=b of=d bs=1k count=1 2>&1 | sed 's/ copied.*/ copied/'
echo more | dd of=d oflag=append conv=notrunc status=none
stat -c %s d
dd if=missing of=x 2>&1 | sed 's/.*: //'
dd if=b bs=1k iflag=fullblock count=2 status=none | wc -c
printf 'ab\ncd\n' | dd cbs=5 conv=block status=none | od -An -c
printf 'ab   cd   ' | dd cbs=5 conv=unblock status=none
dd if=b of=e conv=fsync status=none && cmp b e && echo synced
dd if=b of=e conv=excl status=none 2> /dev/null
echo "exclusive: $?"
head -c 50 b | dd bs=20 conv=sync status=none | wc -c
cd / && rm -rf "$dir"
