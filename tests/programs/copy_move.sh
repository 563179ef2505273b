#!/bin/bash
# cp, mv, rm, mkdir, rmdir, ln, touch, install, truncate.
dir=$(mktemp -d) && cd "$dir" || exit 1

mkdir -p a/b
echo 1 > a/f
echo 2 > a/b/g
cp -r a c
diff -r a c && echo same
cp -a a d
mv d e
ls -R e
cp a/f x
cp x y z 2> /dev/null
echo "$?"
cp -n a/b/g x
cat x
mv -f a/b/g x
cat x
ls a/b | wc -l
rm x
rm x 2> /dev/null
echo "$?"
rm -f x
echo "$?"
rm -r e
rmdir a 2> /dev/null
echo "$?"
rmdir a/b
mkdir a 2> /dev/null
echo "$?"
ln c/f hard
stat -c %h hard
rm c/f
cat hard
stat -c %h hard
ln -s hard soft
cp soft copy
test -L copy
echo "$?"
cp -P soft copy2
test -L copy2
echo "$?"
truncate -s 1000 t
stat -c '%s %b' t
truncate -s +24 t
truncate -s -4 t
stat -c %s t
truncate -s 0 t
stat -c %s t
echo abc > t
truncate -s 2 t
cat t
echo
touch -d '2001-02-03 04:05:06' old
stat -c %y old | cut -c1-19
touch -r old new
stat -c %Y new
touch -c none
ls none 2> /dev/null
echo "$?"
touch -a -d @5 new
stat -c '%X %Y' new
mv hard c/moved
ls c
mv c/moved c/b
ls c/b
mkdir tgt
cp -t tgt soft 2> /dev/null
mv old new tgt
ls tgt
cp --parents tgt/old c
ls c/tgt
echo v1 > bk
echo v2 > bk2
cp -b bk2 bk
cat bk 'bk~'
cp -u bk2 bk
cp -l bk bkl
[ bk -ef bkl ] && echo linked
cp -s "$PWD/bk" bks
cat bks
mv -T tgt tgt2
mv bks bkl
ls bk* | tr '\n' ' '
echo
mkdir m1 m2
mv m1 m2
ls m2
mv m2/m1 .
mv -T m1 m2 && test ! -d m1 && echo "over an empty folder"
mkdir m1
touch m2/f
mv -T m1 m2 2>&1 | sed 's/.*: //'
mv m2 m2/sub 2>&1 | sed 's/.*: //' | cut -c1-11
install -d -m 750 i1/i2
stat -c %a i1/i2
install -m 600 bk2 i1/f
stat -c %a i1/f
sync i1/f
cp /dev/null nul
stat -c '%F' nul
echo "$(< bk2)"
rm -rf -- *
ls -A | wc -l
unlink missing 2>&1 | sed 's/.*: //'
rm -r . 2> /dev/null
echo "$?"
for i in $(seq 200); do : > "f$i"; done
ls | wc -l
mkdir s
mv f* s
ls s | wc -l
rm s/f1*
ls s | wc -l
ls -U s | sort | md5sum
ls -1 s | tail -1
du -s --apparent-size s > /dev/null
echo "du $?"
df . > /dev/null
echo "df $?"
cd / && rm -rf "$dir"
