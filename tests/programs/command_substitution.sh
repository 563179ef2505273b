#!/bin/bash
# Command substitution: nesting, statuses, newlines, size.
dir=$(mktemp -d) && cd "$dir" || exit 1

echo "$(echo "$(echo "$(echo deep)")")"
x=$(printf 'a\nb\n\n\n')
echo "[$x]"
x=$(exit 3)
echo "status $?"
local_status() {
    local y
    y=$(false)
    echo "local $?"
}
local_status
echo `echo back \`echo ticks\``
printf 'file contents' > f
echo "[$(< f)]"
n=0
for i in $(seq 1 100); do n=$((n + i)); done
echo "$n"
big=$(head -c 200000 /dev/zero | tr '\0' y)
echo "${#big}"
echo "$(
    echo out
    echo err >&2
)" 2> err
cat err
v=outer
w=$(
    v=inner
    echo "$v"
)
echo "$v $w"
echo "$(
    trap 'echo trap in substitution' EXIT
    echo body
)"
set -- $(echo "split   on  spaces")
echo "$#"
for i in 1 2 3 4 5; do echo "$(echo "$(seq "$i" | wc -l)")"; done
cd / && rm -rf "$dir"
