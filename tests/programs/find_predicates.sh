#!/bin/bash
# find: predicates, actions, depth, pruning.
dir=$(mktemp -d) && cd "$dir" || exit 1

mkdir -p t/a/b/c t/x
echo 12345 > t/a/five
: > t/empty
head -c 5000 /dev/zero > t/x/big
ln -s ../a t/x/link
chmod 600 t/a/five
touch -d '2 days ago' t/empty
find t | sort
find t -type f | sort
find t -type d -empty
find t -type f -empty
find t -size +1k -type f
find t -size -7c -type f | sort
find t -perm 600
find t -maxdepth 1 | sort
find t -mindepth 3 | sort
find t -name '[ab]' | sort
find t -path '*/a/*' | sort
find t -regex '.*/[a-z]' | sort
find t -iname 'FIVE'
find t -mtime +1
find t -mmin -10 -type f | sort
find t -name a -prune -o -print | sort
find t -type f ! -name big | sort
find t \( -name five -o -name big \) -printf '%p %s %y %d\n' | sort
find t -type l -printf '%l\n'
find -L t -name c | sort
find t -depth -type d | sort | tail -1
find t -name five -exec cat {} \;
find t -type f -exec sh -c 'echo $#' sh {} +
find t -name five -execdir pwd \; | sed 's,.*/t/,t/,'
find t -type f -print0 | tr '\0' '\n' | wc -l
find t -links 1 -type f | wc -l
find t -samefile t/a/five
find t -newer t/empty -type f | sort
find missing 2>&1 | sed 's/.*: //'
find t -quit
find t -name b -ls | awk '{ print $NF }'
find t -type f -delete
find t | sort
find t -depth -delete
ls | wc -l
for i in $(seq 20); do
    mkdir -p "deep/$i/$i"
    touch "deep/$i/$i/f"
done
find deep -type f | wc -l
find deep -type f -path '*1*' | wc -l
find deep -name f -exec rm {} +
find deep -type d -empty -delete
test -d deep
echo "$?"
cd / && rm -rf "$dir"
