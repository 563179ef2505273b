#!/bin/bash
# Redirections: duplicates, moves, read-write, clobber, order.
dir=$(mktemp -d) && cd "$dir" || exit 1

echo out > f
echo more >> f
cat < f
{
    echo o
    echo e >&2
} > both 2>&1
cat both
{
    echo o
    echo e >&2
} 2>&1 > only-out | sed 's/^/piped: /'
cat only-out
exec 3> three
echo to3 >&3
exec 4>&3
echo to4 >&4
exec 3>&-
echo again >&4
exec 4>&-
cat three
echo x >&3 2> /dev/null
echo "closed fd: $?"
exec {v}> var
echo "$((v >= 10))"
echo hi >&$v
exec {v}>&-
cat var
exec 5<> rw
echo abc >&5
exec 6< rw
read -r l <&6
echo "$l"
exec 5>&- 6<&-
set -C
(echo no > f) 2> /dev/null
echo "noclobber: $?"
echo yes >| f
cat f
set +C
cat 2> /dev/null < missing
echo "missing: $?"
ls missing &> all
sed 's/.*: //' all
ls missing 2>&1 > /dev/null | wc -l
exec 7>&1
echo "$(
    echo captured
    echo direct >&7
)"
exec 7>&-
: > empty
stat -c %s empty
> trunc
ls trunc
while read -r a <&8; do echo "r $a"; done 8< <(seq 2)
{ cat <&0; } <<< in
f() { echo func; } > ffile
f
cat ffile
(
    exec > sub
    echo sub
)
cat sub
(
    echo a
    exec >&-
    echo b 2> /dev/null
)
seq 3 > >(cat > ps)
until [ -s ps ]; do sleep 0.01; done
cat ps
exec 9< f
(
    read -r x <&9
    echo "child $x"
)
read -r y <&9
echo "shared offset: [$y]"
exec 9<&-
echo 1 > seek
(
    echo 2
    echo 3
) >> seek
wc -l < seek
exec 3>> seek 4>> seek
echo a >&3
echo b >&4
echo c >&3
tail -3 seek
cd / && rm -rf "$dir"
