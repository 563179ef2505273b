#!/bin/bash
# Process groups: job control gives each job its own; signals to a group.
dir=$(mktemp -d) && cd "$dir" || exit 1

pgid_of() { cut -d' ' -f5 < "/proc/$1/stat"; }
exec 2> /dev/null # the shell may report ended jobs with their pids
set -m
sleep 10 | sleep 10 | sleep 10 &
last=$!
group=$(jobs -p)
[ "$(pgid_of "$last")" = "$group" ] && echo "pipeline is one group"
[ "$group" != "$(pgid_of $$)" ] && echo "not the shell's group"
kill -TERM -- "-$group"
wait "$last" 2> /dev/null
echo "status $?"
kill -0 -- "-$group" 2> /dev/null
echo "group gone: $?"
set +m
sleep 10 &
[ "$(pgid_of $!)" = "$(pgid_of $$)" ] && echo "without job control: the shell's group"
kill $!
wait $! 2> /dev/null
echo "status $?"
setsid sh -c '[ "$(cut -d" " -f6 /proc/$$/stat)" = $$ ] && echo "leads a session"' | cat
setsid sh -c '[ "$(cut -d" " -f5 /proc/$$/stat)" = $$ ] && echo "leads a group"' | cat
setsid bash -c 'trap "echo group signal; exit 0" USR1; (trap "echo child too; exit 0" USR1; while :; do sleep 0.02; done) & sleep 0.4
  kill -USR1 0; wait' 2> /dev/null | sort
set -m
(
    sleep 10
    echo no
) &
job=$!
kill %1
# By its id: bash may have forgotten the number of a job that has ended.
wait "$job" 2> /dev/null
echo "by job: $?"
kill -USR1 -- -999999 2> /dev/null
echo "no such group: $?"
cd / && rm -rf "$dir"
