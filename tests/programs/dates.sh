#!/bin/bash
# date with given times, in UTC and in other zones.
dir=$(mktemp -d) && cd "$dir" || exit 1

export TZ=UTC
date -u -d @0
date -u -d @1700000000 +%FT%TZ
date -u -d '2024-02-29 12:00 + 1 year' +%F
date -u -d '2000-01-01' +%s
date -u -d @1234567890 '+%A %d %B %Y %j %U %H:%M:%S %p %e %y'
date -u -d '1969-12-31 23:59:59' +%s
date -u -d '2024-01-31 + 1 month' +%F
date -u -d 'last monday' > /dev/null && echo relative
date -u -d nonsense 2> /dev/null
echo "status $?"
TZ=EST5EDT date -d @1700000000 +'%H %Z'
TZ=Europe/Berlin date -d @1720000000 +'%H %z'
TZ=XYZ-3 date -d @0 +%R
touch -d @1000000000 f
date -u -r f +%s
date -u -d @1.5 +%s.%N
date -u -Iseconds -d @0
date -u -R -d @86400
date --utc --rfc-3339=ns -d @1
a=$(date +%s)
b=$(date +%s)
[ "$b" -ge "$a" ] && [ $((b - a)) -lt 5 ] && echo "clock runs forward"
[ "$(date +%Y)" -ge 2024 ] && echo "clock is set"
printf '%(%F)T\n' 86400
s=$SECONDS
sleep 0.01
[ $((SECONDS - s)) -lt 3 ] && echo "short sleep"
[ -n "$EPOCHREALTIME" ] && echo epoch
t0=${EPOCHREALTIME/./}
sleep 0.05
t1=${EPOCHREALTIME/./}
[ $((t1 - t0)) -ge 50000 ] && echo "slept long enough"
TIMEFORMAT='%0R'
{ time sleep 0.01; } 2>&1
stat -c %y f | cut -c1-19
ls -l --time-style=+%s f | awk '{ print $6 }'
for d in 2023-03-26 2023-10-29; do TZ=Europe/Berlin date -d "$d 12:00" +%z; done
cd / && rm -rf "$dir"
