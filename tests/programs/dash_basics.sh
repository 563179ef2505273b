#!/bin/dash
# dash: the POSIX shell that runs /bin/sh.
dir=$(mktemp -d) && cd "$dir" || exit 1

x=5
echo $((x * 8 + 2))
f() {
    echo "f:$1"
    return 3
}
f a
echo $?
for i in a b c; do printf '%s ' $i; done
echo
y=$(printf 'x\n\n')
echo "[$y]"
case foo in f*) echo m ;; *) echo n ;; esac
(cd / && pwd)
a="one two"
set -- $a
echo $#
cat << EOF | tr a-z A-Z
text $x
EOF
i=0
while :; do
    i=$((i + 1))
    [ $i -gt 200 ] && break
done
echo $i
true && echo yes || echo no
! false
echo $?
(exit 7) | true
echo $?
sh -c 'exit 6'
echo $?
echo ${#a} ${a%% *} ${a#* } ${unset-def} ${x:+alt}
sleep 0.05 &
wait $!
echo "w $?"
(exit 4) &
wait $!
echo "w $?"
trap 'echo bye' EXIT
trap 'echo term' TERM
kill $$
readonly R=1
(R=2) 2> /dev/null
echo $?
set -u
(echo $nope) 2> /dev/null
echo $?
set +u
getopts ab: o -b v
echo "$o $OPTARG"
exec 3> f
echo three >&3
exec 3>&-
cat f
n=0
for w in $(seq 300); do n=$((n + w)); done
echo $n
printf '%d %x %s\n' 10 255 str
test -f f && test ! -d f && echo file
umask 027
umask
ulimit -n > /dev/null
type cd
command -v echo
eval "z=1; echo z\$z"
echo "$0" | sed 's,.*/,,'
. /dev/null
hash
unset x
echo "[$x]"
local_test() {
    local q=in
    echo $q
}
q=out
local_test
echo $q
times > /dev/null
echo t$?
trap - EXIT
dirname "$0" > /dev/null
cd / && rm -rf "$dir"
