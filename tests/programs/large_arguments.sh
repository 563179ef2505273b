#!/bin/bash
# Large argument lists, and the error when they are too large.
dir=$(mktemp -d) && cd "$dir" || exit 1

words=$(seq 1 20000)
/bin/echo $words | wc -cw
/bin/echo $words | md5sum
long=$(head -c 100000 /dev/zero | tr '\0' a)
/bin/echo "$long" | wc -c
sh -c 'echo $#' sh $words
/bin/true $words $words
echo "two lists: $?"
/usr/bin/printf '%s\n' $words | tail -1
# One string may not reach 128 KB (MAX_ARG_STRLEN).
exact=$(head -c 131071 /dev/zero | tr '\0' b)
/bin/true "$exact"
echo "131071 bytes: $?"
/bin/true "${exact}c" 2> /dev/null
echo "131072 bytes: $?"
perl -e 'exec "/bin/true", "x" x 200000; '
perl -e 'exec {"/bin/true"} "t", "x" x 200000; print $!{E2BIG} ? "E2BIG\n" : "other: $!\n"'
perl -e 'exec {"/bin/echo"} "echo", map { "arg$_" } 1 .. 3000' | wc -w
ls -d $(printf "$dir %.0s" $(seq 2000)) | wc -l
cd / && rm -rf "$dir"
