#!/bin/busybox sh
# busybox's shell with its own applets.
dir=$(mktemp -d) && cd "$dir" || exit 1

PATH=/nonexistent
bb() { /bin/busybox "$@"; }
x=$(echo nested $(echo deeper))
echo "$x"
(exit 3)
echo "$?"
echo a b c | bb wc -w
i=0
while [ $i -lt 5 ]; do i=$((i + 1)); done
echo $i
bb seq 1 100 | bb sort -rn | bb head -1
cat << EOF
here $((6 * 7))
EOF
trap 'echo usr1' USR1
kill -USR1 $$
trap - USR1
bb sleep 5 &
kill $!
wait $! 2> /dev/null
echo "$?"
for f in 1 2 3; do echo $f & done | bb sort
wait
f() {
    local v=$1
    echo "f $v"
}
f arg
case abc in a*) echo matched ;; esac
echo ${x#nested }
set -- 1 2 3
shift
echo "$# $1"
read -r l << EOF
line
EOF
echo "$l"
bb true && ! bb false && echo logic
bb sh -c 'exit 9'
echo "$?"
echo "$((2 ** 10)) ${#x}"
bb printf '%s-%s\n' a b
type bb | bb head -1
umask 022
umask
bb echo data | (
    read -r d
    echo "got $d"
)
set -e
(false) || echo caught
set +e
bb kill -0 $$
echo "alive $?"
bb test -d /proc && echo proc
n=0
while [ $n -lt 100 ]; do
    bb true
    n=$((n + 1))
done
echo $n
command -v nonexistent
echo "$?"
nonexistent 2> /dev/null
echo "$?"
PATH=/usr/bin:/bin
cd / && rm -rf "$dir"
