#!/bin/bash
# busybox applets in bulk, over text and files.
dir=$(mktemp -d) && cd "$dir" || exit 1

b=/bin/busybox
seq 1 200 > n
printf 'b 2\na 1\nc 3\n' > t
mkdir d
echo x > d/f
for a in "md5sum n" "sha1sum n" "sha256sum n" "sha512sum n" "cksum n" "wc n" "sort t" "sort -r t" "head -n 2 n" "tail -n 2 n" "cut -d\  -f1 t" "uniq t" "tac t" "rev t" "nl t" "od -c t" "hexdump -C t" "fold -w 1 t" "expand t" "cat t" "basename /a/b" "dirname /a/b" "expr 2 + 3" "seq 2 4" "echo hi" "printf %s\\n x" "factor 12" "cal 2 2024" "date -u -d @0" "cmp t t" "diff t t" "grep -c 1 n" "egrep b|c t" "fgrep a t" "sed -n 2p t" "awk {print\$2} t" "tr a b" "find d" "ls d" "test -f t" "[ -d d ]" "true" "false" "env -i A=1" "du -s d/f" "stat -c %s t" "readlink -f /" "base64 t" "xxd t" "strings t" "comm t t" "paste t t" "shuf -n 0 t" "split -l 1 t sp" "tee o" "touch q" "mkdir e" "rmdir e" "cp t u" "mv u v" "rm v" "ln -s t s" "ln t h" "chmod 600 t" "mktemp -u XXXXXX -p none" "sleep 0" "usleep 10" "yes --help" "which sh" "pwd" "crc32 t" "sum t" "unix2dos q" "dos2unix q" "bc" "dc -e 2_3+p" "ipcalc -n 10.1.2.3/8" "xargs echo" "truncate -s 3 q" "realpath ." "link t k" "unlink k" "mkfifo p" "timeout 1 true" "nice true" "nohup true" "setsid true" "time true" "tty" "whoami" "id -u" "nproc" "arch" "hostid" "logname" "sync" "printenv PATH" "getopt ab -a" "cpio --help" "ed --help"; do
    out=$(
        eval "set -- $(printf '%q ' $a)"
        $b "$@" < /dev/null 2>&1 | tr -d '\0' | sed "s,$(readlink -f "$dir"),DIR,g"
    )
    echo "$a: ${PIPESTATUS[0]}"
    case $a in cal* | date* | hostid | logname | whoami | id* | nproc | time* | mktemp* | yes* | cpio* | ed* | nohup*) ;; *) echo "$out" | md5sum ;; esac
done
ls | sort | tr '\n' ' '
echo
$b nonexistent-applet > /dev/null 2>&1
echo "$?"
seq 5 | $b tac | $b sed 's/^/l/' | $b awk '{ printf "%s;", $0 }'
echo
$b --list | wc -l | awk '{ print ($1 > 100) }'
cd / && rm -rf "$dir"
