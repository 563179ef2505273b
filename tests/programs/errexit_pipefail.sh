#!/bin/bash
# set -e, pipefail, nounset and the statuses that they lead to.
dir=$(mktemp -d) && cd "$dir" || exit 1

t() {
    bash -c "$1" 2>&1 | sed 's/^.*: //'
    echo "-> ${PIPESTATUS[0]}"
}
t 'set -e; echo before; false; echo after'
t 'set -e; false || true; echo reached'
t 'set -e; if false; then :; fi; echo reached'
t 'set -e; false | true; echo reached'
t 'set -eo pipefail; false | true; echo not reached'
t 'set -o pipefail; (exit 3) | (exit 4) | true; echo $?'
t 'set -e; f() { false; echo in f; }; f && echo and; echo reached'
t 'set -e; x=$(false); echo not reached'
t 'set -e; echo "$(false)"; echo reached'
t 'set -e; (false; echo no); echo no'
t 'set -u; echo "$undefined"; echo no'
t 'set -u; echo "${undefined:-default}"'
t 'set -e; trap "echo on exit: \$?" EXIT; (exit 42)'
t 'set -e; ! true; echo reached'
t 'exit 256'
t 'exit 257'
t 'exit -1'
t 'return 3'
t 'exit'
t 'false; exit'
t 'kill -9 $$'
t 'kill -TERM $$'
t 'kill -PIPE $$'
t 'set -n; echo not run'
t 'if then'
t 'echo "unclosed'
t 'shopt -s lastpipe; echo v | read x; echo "[$x]"'
cd / && rm -rf "$dir"
