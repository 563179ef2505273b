#!/bin/bash
# xargs -P: processes in parallel, all waited for.
dir=$(mktemp -d) && cd "$dir" || exit 1

seq 1 60 | xargs -P 8 -n 1 sh -c 'echo "done $1" > "out.$1"' sh
ls out.* | wc -l
seq 1 40 | xargs -P 4 -I{} echo {} | sort -n | md5sum
seq 1 10 | xargs -P 10 -n 1 sh -c '[ "$1" = 5 ] && exit 3; exit 0' sh
echo "one failed: $?"
printf '%s\n' 0.1 0.5 0.3 | xargs -P 3 -n 1 sh -c 'sleep $1; echo $1' sh
seq 1 200 | xargs -P 4 -n 10 echo | wc -w
find /usr/share/doc -maxdepth 1 -name 'b*' 2> /dev/null | xargs -P 2 -n 5 ls -d | wc -l | grep -qx '[0-9]*' && echo counted
seq 1 20 | xargs -P 0 -I{} sh -c 'echo {} >> shared'
sort -n shared | tail -1
wc -l < shared
seq 1 6 | xargs -P 2 --process-slot-var=SLOT -n 1 sh -c 'echo $SLOT' | sort -u | tr '\n' ' '
echo
cd / && rm -rf "$dir"
