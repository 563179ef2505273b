#!/bin/bash
# busybox tar, cpio, gzip, bzip2, unxz against the full programs.
dir=$(mktemp -d) && cd "$dir" || exit 1

b=/bin/busybox
mkdir -p s/t
seq 1 5000 > s/n
echo hi > s/t/f
ln -s n s/l
chmod 640 s/t/f
$b tar cf a.tar s
tar tf a.tar | sort
mkdir x1
tar xf a.tar -C x1
diff -r s x1/s && echo "tar reads busybox"
tar --sort=name -czf c.tgz s
mkdir x2
$b tar xzf c.tgz -C x2
diff -r s x2/s && echo "busybox reads tar"
$b gzip -c s/n | gunzip | md5sum
gzip -c s/n | $b gunzip | md5sum
$b bzip2 -c s/n | $b bunzip2 | md5sum
$b find s -type f | sort | $b cpio -o -H newc 2> /dev/null > c.cpio
mkdir x3
(cd x3 && $b cpio -id < ../c.cpio 2> /dev/null)
cmp s/n x3/s/n && echo cpio
$b tar cf - s | $b gzip | $b tar xzf - -O s/t/f
$b zcat c.tgz | wc -c | awk '{ print ($1 > 20000) }'
stat -c %a x2/s/t/f
readlink x2/s/l
echo broken | $b gunzip 2> /dev/null
echo "$?"
$b tar xf missing 2> /dev/null
echo "$?"
$b md5sum s/n > m
$b md5sum -c m
$b cp -a s y
$b diff -r s y && echo copied
$b find y -name f -exec $b cat {} \;
$b rm -rf y
ls -d y 2> /dev/null
echo "$?"
$b dd if=s/n bs=100 count=2 2> /dev/null | $b wc -c
cd / && rm -rf "$dir"
