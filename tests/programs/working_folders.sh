#!/bin/bash
# The working folder: moved, removed, relative walks.
dir=$(mktemp -d) && cd "$dir" || exit 1

mkdir -p a/b/c
cd a/b/c
cd ../../..
[ "$PWD" = "$dir" ] && echo back
cd a
cd - > /dev/null
cd "$dir/a/b/../b/c/."
echo "${PWD#"$dir"}"
cd "$dir"
ln -s a/b link
cd link
echo "${PWD##*/}"
pwd -P | sed 's,.*/a,a,'
cd ..
echo "${PWD#"$dir"}."
cd -P link
cd ..
echo "${PWD##*/}"
cd "$dir"
mkdir gone
cd gone
rmdir ../gone
ls
echo "ls in a removed folder: $?"
touch x 2>&1 | sed 's/.*: //'
/bin/pwd 2>&1 | sed 's/.*: //'
cd ..
cd 2> /dev/null "$dir"
mkdir m1
cd m1
mv ../m1 ../m2
/bin/pwd | sed 's,.*/,,'
touch in-m2
ls ../m2
cd "$dir"
cd missing 2> /dev/null
echo "$?"
: > file
cd file 2> /dev/null
echo "$?"
pushd a > /dev/null
pushd b > /dev/null
dirs | wc -w
popd > /dev/null
echo "${PWD##*/}"
cd "$dir"
(cd / && ls -d etc)
CDPATH=$dir/a
cd b > /dev/null && echo "${PWD##*/}"
unset CDPATH
cd "$dir"
perl -MCwd -e 'chdir "a/b" or die; print((split m{/}, getcwd)[-1], "\n"); opendir my $d, ".."; chdir $d; print((split m{/}, getcwd)[-1], "\n"); mkdir "via-fchdir"'
ls a
long=$(printf 'n%.0s' $(seq 200))
for i in 1 2 3 4 5 6; do
    mkdir $long
    cd $long
done
/bin/pwd | wc -c | awk '{ print ($1 > 1200) }'
cd "$dir"
rm -r "$long"
/usr/bin/env -C a ls
cd / && rm -rf "$dir"
