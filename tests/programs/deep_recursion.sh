#!/bin/bash
# Deep recursion of functions and of shells.
dir=$(mktemp -d) && cd "$dir" || exit 1

count() {
    [ "$1" -eq 0 ] && {
        echo bottom
        return
    }
    count $(($1 - 1))
}
count 1500
fact() { if [ "$1" -le 1 ]; then echo 1; else echo $(($1 * $(fact $(($1 - 1))))); fi; }
fact 20
FUNCNEST=50 bash -c 'f() { f; }; f' 2>&1 | sed 's/^[^:]*: //' | head -1
nest() { if [ "$1" -eq 0 ]; then echo "innermost"; else bash -c "$(declare -f nest); nest $(($1 - 1))"; fi; }
nest 30
deep=$(printf '(%.0s' $(seq 20))
close=$(printf ')%.0s' $(seq 20))
echo $(("$deep 7 $close" + 0)) 2> /dev/null
path=.
for i in $(seq 100); do path=$path/d; done
mkdir -p "$path" && find . -type d | wc -l
rm -r d && ls | wc -l
fib() {
    local n=$1
    if ((n < 2)); then r=$n; else
        fib $((n - 1))
        local a=$r
        fib $((n - 2))
        r=$((a + r))
    fi
}
fib 13
echo "$r"
cd / && rm -rf "$dir"
