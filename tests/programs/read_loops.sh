#!/bin/bash
# Loops that read: from files, pipes, with separators and limits.
dir=$(mktemp -d) && cd "$dir" || exit 1

seq 1 500 > n
t=0
while read -r x; do t=$((t + x)); done < n
echo "$t"
printf 'a,b,c\nd,e,f\n' | while IFS=, read -r x y z; do echo "$z$y$x"; done
printf 'no newline' | {
    read -r x
    echo "$? $x"
}
printf 'a\0b\0' | while read -r -d '' x; do echo "nul $x"; done
read -r -n 3 x <<< abcdef
echo "$x"
read -r -t 0 < /dev/null
echo "ready $?"
read -ra w <<< "1 2 3"
echo "${#w[@]}"
echo 'back\slash' | {
    read x
    echo "$x"
}
echo 'back\slash' | {
    read -r x
    echo "$x"
}
echo "  trim  " | {
    read -r x
    echo "[$x]"
}
mapfile -t -s 10 -n 5 a < n
echo "${a[*]}"
mapfile -c 100 -C 'echo at' b < n | wc -l
while read -r u && read -r v <&3; do echo "$u-$v"; done < <(seq 3) 3< <(seq 4 6)
(
    read -r x
    cat
) < n | head -2 | tail -1
for i in $(< n); do :; done
echo "$i"
{
    read -r a
    read -r b
} < n
echo "$a$b"
i=0
while IFS= read -r line; do i=$((i + ${#line})); done < n
echo "$i"
seq 5 | (
    while read -r x; do [ "$x" = 3 ] && break; done
    cat
)
cat n | while read -r x; do echo $((x * x)); done | md5sum
read -r x < /dev/null
echo "end of file $?"
cd / && rm -rf "$dir"
