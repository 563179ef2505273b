#!/bin/bash
# tar and gzip round trips, with checksums.
dir=$(mktemp -d) && cd "$dir" || exit 1

mkdir -p src/deep/er
seq 1 20000 > src/numbers
printf 'text\n' > src/deep/text
head -c 100000 /dev/zero > src/deep/er/zeros
ln -s ../numbers src/deep/link
ln src/numbers src/hard
chmod 640 src/deep/text
touch -d @1000000000 src/deep/text
sums() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum); }
sums src
tar --sort=name -cf plain.tar src && mkdir one && tar xf plain.tar -C one && sums one/src
tar --sort=name -czf packed.tgz src && mkdir two && tar xzf packed.tgz -C two && sums two/src
tar --sort=name -cf - src | gzip -9 | gunzip | tar xf - -C one && sums one/src
tar tf packed.tgz | sort
readlink two/src/deep/link
[ two/src/numbers -ef two/src/hard ] && echo "hard link kept"
stat -c '%a %Y %s' two/src/deep/text
gzip -kf src/numbers && gzip -l src/numbers.gz | awk 'NR == 2 { print $2 }' && gzip -t src/numbers.gz && echo intact
gunzip -c src/numbers.gz | cmp - src/numbers && echo equal
printf 'corrupt' | dd of=src/numbers.gz bs=1 seek=500 conv=notrunc status=none
gunzip -c src/numbers.gz > /dev/null 2>&1
echo "corrupt: $?"
zcat packed.tgz | tar tvf - --numeric-owner | awk '{ print $1, $3, $NF }' | sort | sed 's/ [0-9]* src\/\(deep\/\)\?er\?\/$/ dir/'
printf 'a\n' | gzip -n | od -An -tx1 | head -1
for i in 1 6 9; do seq 1 5000 | gzip -n -$i | gunzip | md5sum; done
tar --sort=name -cf - --exclude=zeros src | tar tf - | wc -l
tar rf plain.tar --transform 's/^/added-/' packed.tgz && tar tf plain.tar | tail -1
tar xf plain.tar -O src/deep/text
tar xf missing.tar 2> /dev/null
echo "missing: $?"
cd / && rm -rf "$dir"
