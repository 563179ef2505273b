#!/bin/bash
# bash arrays, strings, arithmetic, patterns: no process at all.
dir=$(mktemp -d) && cd "$dir" || exit 1

a=(one two "three four")
echo "${#a[@]} ${a[2]} ${a[-1]} ${!a[*]}"
a+=(five)
unset 'a[1]'
echo "${!a[*]}"
declare -A m=([k1]=v1 [k2]=v2)
for k in "${!m[@]}"; do echo "$k=${m[$k]}"; done | sort
s="hello world"
echo "${s^} ${s^^} ${s:6} ${s:0:5} ${s/o/0} ${s//o/0} ${s#* } ${s%% *} ${#s}"
echo $((2 ** 40)) $((0xff)) $((077)) $((5 / 2)) $((-5 % 3)) $((1 << 10)) $((3 > 2 ? 7 : 8))
[[ "abc123" =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
case file.tar.gz in *.zip) echo zip ;; *.tar.*) echo tar ;; esac
shopt -s extglob
touch a1 a2 b1 .hidden
echo *
echo a?
echo [!a]*
shopt -s dotglob nullglob
echo *
echo no*match
echo !(a*)
printf '%q ' "a b" "c'd" $'e\nf'
echo
printf -v v '%03d' 7
echo "$v"
echo {a,b}{1..3} {10..1..3}
f() {
    local IFS=,
    echo "$*"
}
f 1 2 3
IFS=: read -r x y z <<< a:b:c
echo "$z$y$x"
mapfile -t lines < <(printf 'l1\nl2\nl3\n')
echo "${#lines[@]} ${lines[1]}"
i=0
until ((i >= 5)); do
    ((i++))
    ((i == 3)) && continue
    echo -n "$i "
done
echo
set -- -a val -b rest
while getopts a:b o; do echo "opt $o $OPTARG"; done
shift $((OPTIND - 1))
echo "$1"
x=10
y=x
echo "${!y}"
declare -n ref=x
ref=11
echo $x
readonly R=1
(R=2) 2> /dev/null || echo "read-only"
echo "${undefined:-d} ${undefined:=e} $undefined ${x:+set}"
eval 'echo $((x + 1))'
select_me=()
echo "${#select_me[@]}"
time_fmt() { printf '%02d:%02d\n' $(($1 / 60)) $(($1 % 60)); }
time_fmt 125
echo $'\x41\u00e9' | od -An -tx1
type -t cd ls if f
cd / && rm -rf "$dir"
