#!/bin/bash
# Traps on EXIT, INT, TERM, USR1 and ERR, in the shell and its children.
dir=$(mktemp -d) && cd "$dir" || exit 1

bash -c 'trap "echo exit trap, status \$?" EXIT; exit 3'
echo "-> $?"
bash -c 'trap "echo int; exit 4" INT; kill -INT $$; sleep 5'
echo "-> $?"
bash -c 'trap "echo term; exit 5" TERM; kill $$; sleep 5'
echo "-> $?"
bash -c 'trap "" TERM; kill $$; echo survived'
echo "-> $?"
bash -c 'trap "echo usr1" USR1; kill -USR1 $$; kill -USR1 $$; echo after'
echo "-> $?"
bash -c 'trap "echo err \$?" ERR; false; (exit 7); true'
echo "-> $?"
(
    bash -c 'trap "echo one" USR1; trap - USR1; kill -USR1 $$; echo no'
    exit $?
) 2> /dev/null
echo "-> $?"
bash -c 'trap "" USR1; bash -c "kill -USR1 \$\$; echo ignored is inherited"'
echo "-> $?"
bash -c 'trap "echo caught" USR1; bash -c "kill -USR1 \$\$; echo no"' 2> /dev/null
echo "-> $?"
bash -c 'trap "echo a" EXIT; trap "echo b" USR1; trap -p'
bash -c 'f() { trap "echo return" RETURN; echo body; }; f'
bash -c 'trap "echo debug" DEBUG; :; :'

# A signal that comes while the shell waits for a child is handled after wait returns.
bash -c 'trap "echo got" USR1; (sleep 0.1; kill -USR1 $$) & sleep 0.6; echo slept; wait'
bash -c 'trap "echo interrupted" USR1; (sleep 0.1; kill -USR1 $$) & sleep 5 & wait $!; echo "wait $?"; kill $!'
cd / && rm -rf "$dir"
