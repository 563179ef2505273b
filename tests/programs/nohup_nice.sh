#!/bin/bash
# nohup, nice, env, setsid: programs that set something and then exec.
dir=$(mktemp -d) && cd "$dir" || exit 1

nohup sh -c 'kill -HUP $$; echo survived' 2> /dev/null
echo "$?"
(
    sh -c "kill -HUP \$\$; echo no"
    exit $?
) 2> /dev/null
echo "$?"
nohup sh -c 'exit 4' > out 2>&1
echo "$?"
nohup ./missing > /dev/null 2>&1
echo "$?"
base=$(nice)
[ "$(nice -n 5 nice)" = $((base + 5)) ] && echo "nice adds five"
nice -n 3 sh -c 'exit 6'
echo "$?"
env X=1 sh -c 'echo $X'
env -i /usr/bin/env | wc -l
env -C / pwd
env --ignore-signal=USR1 sh -c 'kill -USR1 $$; echo ignored'
env missing 2> /dev/null
echo "$?"
setsid -w sh -c 'exit 9'
echo "$?"
stdbuf -oL echo line
env -S 'A=1 sh -c "echo $A"' 2> /dev/null
chroot --help | head -1 | cut -c1-5
printenv HOME
env | grep -c ^PATH=
id -u | grep -qx '[0-9]*' && echo "an id"
[ "$(id -u)" = "$(stat -c %u /proc/self)" ] && echo "owner of /proc/self"
test "$(id -un 2> /dev/null)" = "$(whoami 2> /dev/null)" && echo "same name"
nproc > /dev/null && [ "$(nproc)" -ge 1 ] && echo "processors"
[ "$(getconf PAGESIZE)" = 4096 ] && echo pages
tty
echo "$?"
arch
cd / && rm -rf "$dir"
