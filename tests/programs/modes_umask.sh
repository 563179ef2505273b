#!/bin/bash
# chmod in its spellings, umask, and what test says.
dir=$(mktemp -d) && cd "$dir" || exit 1

umask 022
touch f
mkdir d
stat -c '%a %A' f d
umask 077
touch f2
mkdir d2
stat -c '%a %A' f2 d2
umask 022
for m in 644 755 600 4755 2755 1777 000 u+x g=rw,o= a+r u-rwx +x u=rwx,g=rx,o= u+s +t a=,u=rw; do
    chmod $m f
    echo "$m $(stat -c '%a %A' f)"
done
chmod u=g f
stat -c %a f
chmod --reference=d f
stat -c %a f
umask
umask -S
umask u=rwx,g=rx,o=
umask
umask 022
chmod 644 f
test -x f
echo "not executable: $?"
chmod 755 f
test -x f
echo "executable: $?"
printf '#!/bin/sh\necho ran\n' > run
./run 2> /dev/null
echo "status $?"
chmod +x run
./run
mkdir -m 700 m
stat -c %a m
mkdir -p -m 711 x/y
stat -c %a x x/y
install -m 640 f inst
stat -c %a inst
cp -p inst inst2
stat -c %a inst2
find . -perm 640 | sort
find . -perm -u+x -type f | sort
find . -perm /o+w | sort
test -u f
echo $?
chmod u+s f
test -u f
echo $?
test -g f
test -k f
test -O f && echo owned
touch -d @1234567890 f
stat -c '%X %Y' f
touch -r f f2
stat -c %Y f2
[ f -nt d ]
echo "newer: $?"
chmod 644 missing 2>&1 | sed 's/.*: //'
chmod -R 700 x
stat -c %a x x/y
umask 0
touch open
mkfifo p
stat -c '%a %F' open p
cd / && rm -rf "$dir"
