#!/bin/bash
# Large environments pass through exec unharmed.
dir=$(mktemp -d) && cd "$dir" || exit 1

for i in $(seq 1 1000); do export "VAR_$i=value number $i"; done
env | grep -c '^VAR_'
env | grep '^VAR_' | sort | md5sum
export BIG
BIG=$(seq 1 20000 | head -c 100000)
sh -c 'printf "%s" "$BIG"' | md5sum
printf '%s' "$BIG" | md5sum
bash -c 'echo ${#BIG} $VAR_777'
perl -e 'print scalar(grep /^VAR_/, keys %ENV), " ", length $ENV{BIG}, "\n"'
/usr/bin/python3 -c 'import os; print(len([k for k in os.environ if k.startswith("VAR_")]), len(os.environ["BIG"]))'
env -i A=1 B=2 env | sort
env -u VAR_5 printenv VAR_5
echo "unset: $?"
cat /proc/self/environ | tr '\0' '\n' | grep -c '^VAR_'
A='' env | grep '^A='
env 'ODD=a=b=c' printenv ODD
cd / && rm -rf "$dir"
