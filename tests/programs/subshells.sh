#!/bin/bash
# Subshells keep variables, folders, traps and options to themselves.
dir=$(mktemp -d) && cd "$dir" || exit 1

x=1
(
    x=2
    echo "inside $x"
)
echo "outside $x"
mkdir sub
(cd sub && echo "${PWD##*/}")
[ "$PWD" = "$dir" ] && echo "still here"
(exit 5)
echo "status $?"
(
    ( (exit 6))
    echo "middle $?"
    exit 8
)
echo "outer $?"
{ y=3; }
echo "group $y"
echo "depth $BASH_SUBSHELL $(echo "$BASH_SUBSHELL" $(echo "$BASH_SUBSHELL"))"
(
    set -e
    false
    echo "not reached"
)
echo "set -e $?"
(
    trap 'echo "subshell exit"' EXIT
    echo "subshell body"
)
(
    umask 077
    umask
)
umask 022
umask
[ "$$" = "$(echo $$)" ] && echo 'same $$'
[ "$BASHPID" != "$(echo $BASHPID)" ] && echo "another BASHPID"
(
    echo a
    (
        echo b
        (echo c)
    )
    echo d
) | tr '\n' ' '
echo
n=0
while [ $n -lt 50 ]; do
    (exit $n)
    [ $? -eq $n ] || echo "wrong $n"
    n=$((n + 1))
done
echo "$n subshells"
f() (return 4)
f
echo "function as subshell $?"
cd / && rm -rf "$dir"
