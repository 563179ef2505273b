#!/bin/bash
# What programs read of /proc/self.
dir=$(mktemp -d) && cd "$dir" || exit 1

cat /proc/self/comm
readlink /proc/self/exe | sed 's,.*/,,'
tr '\0' ' ' < /proc/self/cmdline
echo
[ "$(readlink /proc/self/cwd)" = "$dir" ] && echo cwd
readlink /proc/self/root
[ "$(cat /proc/$$/comm)" = proc_self.sh ] && echo "comm of a script"
exec 7< /dev/null
readlink /proc/self/fd/7
ls /proc/$$/fd | grep -c '^7$'
exec 7<&-
echo data > file
exec 8< file
cat /proc/self/fd/8
exec 8<&-
cat /dev/fd/3 3< file
echo piped | cat /dev/stdin
sh -c 'awk "{ print \$1 == '$$' ? \"parent known\" : \"wrong\" }" <<< "$(cut -d" " -f4 /proc/$$/stat)"' 2> /dev/null || bash -c '[ "$(cut -d" " -f4 /proc/$$/stat)" = '$$' ] && echo "parent known"'
grep -c '\[stack\]' /proc/self/maps
grep -q '\[heap\]' /proc/self/maps && echo heap
grep -m1 -o '/[^ ]*/cat$\|/[^ ]*cat$' <(cat /proc/self/maps) | sed 's,.*/,,'
awk '/^(Name|State|Threads|SigIgn|SigCgt):/ { print $1 }' /proc/self/status | sort
awk '$1 == "Pid:" { print ($2 > 0) } $1 == "Uid:" { print NF }' /proc/self/status
test -d /proc/1 && echo "pid 1 exists"
[ -e /proc/999999999 ] || echo "no such pid"
awk '/^(MemTotal|MemFree|MemAvailable|SwapTotal):/ { print $1, $3 }' /proc/meminfo
awk '{ print NF }' /proc/loadavg
awk '{ print NF }' /proc/uptime
grep -c '^cpu ' /proc/stat
grep -qc '^processor' /proc/cpuinfo && echo cpuinfo
grep -w proc /proc/filesystems | tr '\t' ' '
readlink /proc/self | grep -qx '[0-9]*' && echo "self is a number"
sleep 5 &
until [ "$(cat /proc/$!/comm)" = sleep ]; do sleep 0.01; done
echo "comm of a child"
kill $!
wait 2> /dev/null
ls /proc/self/task | wc -l
head -c 4 /proc/self/exe | od -An -c
cat /proc/sys/kernel/ostype
grep -q . /proc/sys/kernel/random/boot_id && echo boot_id
test "$(cat /proc/sys/kernel/pid_max)" -ge 32768 && echo pid_max
grep -q ' / ' /proc/self/mounts && echo "root is mounted"
cd / && rm -rf "$dir"
