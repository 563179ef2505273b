#!/bin/dash
# dash: background jobs, signals and many subshells.
dir=$(mktemp -d) && cd "$dir" || exit 1

for i in 1 2 3 4 5 6 7 8 9 10; do (echo "j$i" > "o$i") & done
wait
cat o* | sort | tr '\n' ' '
echo
sleep 5 &
p=$!
(kill -TERM $p)
wait $p 2> /dev/null
echo $?
trap 'echo got' USR1
(
    sleep 0.05
    kill -USR1 $$
) &
sleep 0.4
wait
(
    trap 'echo child; exit 5' TERM
    sleep 5 &
    wait
) &
p=$!
sleep 0.4
kill $p
wait $p
echo $?
trap '' INT
kill -INT $$
echo "int ignored"
sh -c 'kill -INT $$; echo "inherited"'
trap - INT
n=0
while [ $n -lt 200 ]; do
    (exit $((n % 10)))
    n=$((n + 1))
done
echo $n
seq 1 1000 | while read x; do echo $x; done | tail -1
yes | head -n 2
mkfifo p
(echo via > p) &
cat p
wait
{
    echo a
    echo b >&2
} 2>&1 | sort | tr '\n' ' '
echo
exec sh -c 'cd / && rm -rf "$1"; echo "end $2"; exit 3' sh "$dir" arg
cd / && rm -rf "$dir"
