#!/bin/bash
# find with xargs: many files, odd names, batches, replaced words.
dir=$(mktemp -d) && cd "$dir" || exit 1

mkdir -p a/b/c 'd e'
for i in $(seq 1 300); do echo "$i" > "a/f$i.txt"; done
echo x > 'd e/with space'
echo y > $'d e/new\nline'
echo z > "d e/quote'"
find a -name '*.txt' | sort | xargs cat | awk '{ s += $1 } END { print s }'
find . -type f -print0 | sort -z | xargs -0 md5sum | md5sum
find . -type f -print0 | xargs -0 -n 50 echo | wc -l
find a -name 'f1?.txt' | sort | xargs -I{} sh -c 'echo "{}: $(cat {})"'
seq 1 10 | xargs -n 3
echo "a b c" | xargs -n 1 echo item
printf 'x\ny\n' | xargs -I% echo "<%>"
xargs -r echo never < /dev/null
echo "empty $?"
seq 3 | xargs -n1 sh -c 'exit 5'
echo "failed command $?"
echo 1 | xargs sh -c 'exit 255' 2> /dev/null
echo "255 gives $?"
echo 1 | xargs ./missing 2> /dev/null
echo "missing gives $?"
echo 1 | xargs sh -c 'kill -9 $$' 2> /dev/null
echo "killed gives $?"
seq 1 20000 | xargs echo | wc -lw
find a -name 'f2*.txt' -exec cat {} + | sort -n | tail -3
find a -name 'f3*.txt' -delete
find a -type f | wc -l
find . -type d | sort
cd / && rm -rf "$dir"
