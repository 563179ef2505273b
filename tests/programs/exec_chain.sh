#!/bin/bash
# exec replaces the process, through scripts and interpreters.
dir=$(mktemp -d) && cd "$dir" || exit 1

cat > a << 'X'
#!/bin/bash
[ "$1" = "$$" ] && echo "a keeps the pid"
exec ./b "$1" from-a
X
cat > b << 'X'
#!/bin/dash
[ "$1" = "$$" ] && echo "b keeps the pid"; echo "args: $2"
exec ./c "$1" "$2" from-b
X
cat > c << 'X'
#!/usr/bin/perl
print "c keeps the pid\n" if $ARGV[0] eq $$; print "args: @ARGV[1, 2]\n"; $| = 1; print "";
exec "/usr/bin/python3", "-c", 'import os, sys; print("python keeps the pid" if str(os.getpid()) == sys.argv[1] else "lost"); sys.exit(9)', $ARGV[0];
X
chmod +x a b c
bash -c 'exec ./a $$'
echo "status $?"
printf '#!./b\n' > script-of-script
chmod +x script-of-script
./script-of-script x | grep args
printf '#!/bin/echo one two three\n' > optarg
chmod +x optarg
./optarg four | sed 's/ \.\/optarg/ NAME/'
printf '#! /bin/cat\nshown by cat\n' > self
chmod +x self
./self
printf 'echo no interpreter line\n' > bare
chmod +x bare
./bare
printf '#!/nonexistent/interp\n' > badinterp
chmod +x badinterp
./badinterp 2> /dev/null
echo "bad interpreter: $?"
printf '\177ELF garbage' > garbage
chmod +x garbage
./garbage 2> /dev/null
echo "garbage: $?"
: > empty
chmod +x empty
./empty
echo "empty: $?"
./c.missing 2> /dev/null
echo "missing: $?"
. /dev/null
"$dir" 2> /dev/null
echo "directory: $?"
chmod -x self
./self 2> /dev/null
echo "not executable: $?"
(exec -a other-name sh -c 'echo "$0"')
exec 5> kept
bash -c 'echo inherited >&5'
cat kept
(exec ./missing) 2> /dev/null
echo "exec of missing: $?"
perl -e 'use Fcntl; open my $h, ">", "cloexec"; exec "sh", "-c", "echo data >&" . fileno($h)' 2> /dev/null
echo "closed on exec: $?"
i=0
step() { if [ "$1" -gt 0 ]; then exec bash -c "$(declare -f step); step $(($1 - 1))"; else echo "end of chain"; fi; }
(step 40)
cd / && rm -rf "$dir"
