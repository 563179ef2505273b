#!/usr/bin/mawk -f
# An awk program: arrays, strings, formats, pipes to and from programs.
function fact(n) { return n <= 1 ? 1 : n * fact(n - 1) }
function join_keys(a, n,    i, s) { for (i = 1; i <= n; i++) s = s (i > 1 ? "," : "") a[i]; return s }
BEGIN {
    print fact(10), length("hello"), substr("abcdef", 2, 3), index("needle", "dl"), toupper("up"), sprintf("%05.2f|%-4s|%c|%x", 3.14159, "ab", 65, 255)
    n = split("c b a", parts, " "); print n, join_keys(parts, n)
    s = "the cat sat"; print gsub(/at/, "og", s), s; print match("foobar", /o+/), RSTART, RLENGTH
    for (i = 1; i <= 5; i++) print i, i * i | "sort -rn"
    close("sort -rn")
    while (("seq 3" | getline line) > 0) total += line
    close("seq 3"); print "total", total
    print "status", system("exit 3"); system("echo from system")
    "date -u -d @0 +%Y" | getline year; print year
    count["x"]++; count["x"]++; delete count["y"]; print ("x" in count), ("y" in count), count["x"]
    printf "a b c\nd e f\n" > "/dev/stdout"
    print "1e3" + 0, "0x11" + 0, 7 % 3, 2 ^ 10, int(-3.7), 1 / 4
    while ((getline line < "/proc/self/comm") > 0) print "comm", line
    print (getline line < "/nonexistent"), ENVIRON["TZ"], ARGC
    for (i = 0; i < 100000; i++) sum += i; print sum
    "echo out; exit 0" | getline x; print x
    print "to a filter" | "tr a-z A-Z"; close("tr a-z A-Z")
    exit 4
}
END { print "end" }
