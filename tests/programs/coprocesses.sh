#!/bin/bash
# Co-processes: a conversation over two pipes.
dir=$(mktemp -d) && cd "$dir" || exit 1

coproc UPPER { while read -r l; do echo "${l^^}"; done; }
echo hello >&"${UPPER[1]}"
read -r r <&"${UPPER[0]}"
echo "$r"
echo again >&"${UPPER[1]}"
read -r r <&"${UPPER[0]}"
echo "$r"
pid=$UPPER_PID
eval "exec ${UPPER[1]}>&-"
wait "$pid"
echo "status $?"
coproc CALC { perl -ne 'BEGIN { $| = 1 } print eval, "\n"'; }
for e in 1+1 6*7 2**10; do
    echo "$e" >&"${CALC[1]}"
    read -r r <&"${CALC[0]}"
    echo "$e = $r"
done
pid=$CALC_PID
eval "exec ${CALC[1]}>&-"
wait "$pid"
echo "status $?"
coproc { sleep 5; }
pid=$COPROC_PID
sleep 0.05
kill "$pid"
wait "$pid" 2> /dev/null
echo "killed: $?"
coproc SUM { /usr/bin/python3 -u -c 'import sys
t = 0
for line in sys.stdin:
    t += int(line); print(t)'; }
for i in 1 2 3; do
    echo "$i" >&"${SUM[1]}"
    read -r r <&"${SUM[0]}"
    echo "total $r"
done
pid=$SUM_PID
eval "exec ${SUM[1]}>&-"
wait "$pid"
echo "status $?"
cd / && rm -rf "$dir"
