#!/bin/bash
# Readers that stop early: SIGPIPE ends the writer, or EPIPE tells it.
dir=$(mktemp -d) && cd "$dir" || exit 1

yes | head -3
echo "${PIPESTATUS[*]}"
seq 1 1000000 | head -2
echo "${PIPESTATUS[*]}"
cat /dev/zero | head -c 100000 | wc -c
echo "${PIPESTATUS[*]}"
yes | sed 2q
echo "${PIPESTATUS[*]}"
(
    trap '' PIPE
    yes 2> err | head -1
    echo "${PIPESTATUS[*]}"
    sed 's/.*: //' err
)
seq 100000 | tee >(head -1 > first) > all
until [ -s first ]; do sleep 0.01; done
cat first
yes | tee one two | head -c 20 > /dev/null
echo "${PIPESTATUS[*]}"
head -2 one
yes | perl -e '$_ = <STDIN>; print; exit 3'
echo "${PIPESTATUS[*]}"
perl -e '$SIG{PIPE} = sub { print STDERR "handler\n"; exit 4 }; $| = 1; print "x\n" while 1' 2> err | head -1
echo "${PIPESTATUS[*]}"
cat err
perl -e '$SIG{PIPE} = "IGNORE"; $| = 1; while (print "x\n") {} print STDERR $!{EPIPE} ? "EPIPE\n" : "$!\n"' 2> err | head -1
cat err
/usr/bin/python3 -c 'import sys
try:
    while True: print("x")
except BrokenPipeError: sys.stderr.write("BrokenPipeError\n")
import os; os._exit(0)' 2> err | head -1
cat err
set -o pipefail
yes | head -1
echo "pipefail: $?"
cd / && rm -rf "$dir"
