#!/bin/bash
# Symbolic links: relative, dangling, loops, through folders.
dir=$(mktemp -d) && cd "$dir" || exit 1

mkdir -p real/inner
echo data > real/file
ln -s real link
ln -s real/file flink
ln -s missing dangling
cat link/file flink
cat dangling 2> /dev/null
echo "dangling: $?"
ln -s loop2 loop1
ln -s loop1 loop2
cat loop1 2>&1 | sed 's/.*: //'
readlink link flink dangling
readlink -f flink | sed "s,^$(readlink -f "$dir"),DIR,"
realpath --relative-to=. link/inner
test -L link && test -d link && echo "link to folder"
test -L dangling && ! test -e dangling && echo "dangling link"
echo through > dangling
cat missing
rm link
ls real
ln -s real link
rm -r link 2> /dev/null
[ -d real ] && echo "folder survives"
ln -sfn real/inner link
readlink link
ln -s /etc/passwd abs
readlink abs
test -r abs && echo readable
i=0
prev=real/file
while [ $i -lt 40 ]; do
    ln -s "$prev" chain$i
    prev=chain$i
    i=$((i + 1))
done
cat chain39
ln -s chain39 chain40
cat chain40 2>&1 | sed 's/.*: //'
ln -s . dot
cat dot/dot/dot/dot/real/file
cd real/inner
ln -s ../.. up
cat up/real/file
cd up/real && pwd -P | sed "s,^$(readlink -f "$dir"),DIR,"
cd "$dir"
stat -c '%F %s' flink
stat -L -c '%F %s' flink
find . -xtype l 2> /dev/null | sort
find -L real -maxdepth 1 -type f
ln -s x "$(printf 'n%.0s' $(seq 255))" && ls | grep -c nnn
ln -s x "$(printf 'n%.0s' $(seq 256))" 2>&1 | sed 's/.*: //'
cp -P flink copy1
cp flink copy2
stat -c '%F' copy1 copy2
mv flink moved
readlink moved
mkdir noslash
ln -s noslash s
rmdir s/ 2>&1 | sed 's/.*: //'
unlink s
rmdir noslash
ln real/file s 2>&1
ln -s real/file/ bad
cat bad 2>&1 | sed 's/.*: //'
cd / && rm -rf "$dir"
