#!/bin/bash
# Stop and continue processes: what the shell, /proc and wait say of it.
dir=$(mktemp -d) && cd "$dir" || exit 1

exec 2> /dev/null # the shell reports ended jobs with their pids
state() { sed 's/.*) \(.\).*/\1/' "/proc/$1/stat"; }
becomes() { until [ "$(state "$1")" = "$2" ]; do sleep 0.01; done; }
leaves() { while [ "$(state "$1")" = "$2" ]; do sleep 0.01; done; }

sleep 10 &
pid=$!
kill -STOP $pid
becomes $pid T
echo "stopped"
kill -CONT $pid
leaves $pid T
echo "continued"
kill -TERM $pid
wait $pid
echo "status $?"

(
    kill -STOP $BASHPID
    echo resumed
) &
pid=$!
becomes $pid T
kill -CONT $pid
wait $pid
echo "stopped itself, status $?"

# A pending TERM acts when a stopped process continues; KILL acts at once.
sleep 10 &
pid=$!
kill -STOP $pid
becomes $pid T
kill -TERM $pid
state $pid
kill -CONT $pid
wait $pid
echo "status $?"
sleep 10 &
pid=$!
kill -STOP $pid
becomes $pid T
kill -KILL $pid
wait $pid
echo "status $?"

# With job control, the shell is told of stops and continues.
set -m
sleep 10 &
pid=$!
kill -STOP %1
until jobs -s > jobs && [ -s jobs ]; do sleep 0.01; done
sed 's/ \+/ /g' jobs
kill -CONT %1
until jobs -r > jobs && [ -s jobs ]; do sleep 0.01; done
sed 's/ \+/ /g' jobs
kill -TERM %1
wait -f $pid
echo "status $?"
sleep 0.05 &
fg %% > /dev/null
echo "foreground: $?"
jobs | wc -l
perl -MPOSIX=:sys_wait_h -e '
    my $pid = fork // die; if (!$pid) { sleep 10; exit }
    kill STOP => $pid; waitpid $pid, WUNTRACED; print "stopped by ", WSTOPSIG(${^CHILD_STATUS_NATIVE}) == 19 ? "STOP" : "?", "\n";
    kill CONT => $pid; waitpid $pid, 8; printf "continued %x\n", ${^CHILD_STATUS_NATIVE};
    kill TERM => $pid; waitpid $pid, 0; print "ended by ", $? & 127, "\n"'
cd / && rm -rf "$dir"
