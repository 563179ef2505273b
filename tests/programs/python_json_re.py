#!/usr/bin/python3
# json, re, hashlib, zlib, struct, decimal, sqlite-free data work.

import base64, collections, csv, datetime, decimal, difflib, fractions, hashlib, heapq, io, itertools, json, math, pickle, random, re, statistics, string, struct, textwrap, zlib

data = {"k%d" % i: [i, i / 4, str(i) * 3, None, i % 2 == 0, {"n": list(range(i % 7))}] for i in range(2000)}
s = json.dumps(data, sort_keys=True)
print(len(s), json.loads(s) == data, hashlib.sha256(s.encode()).hexdigest())
print(json.dumps({"é": [1, 2.5, True]}, indent=1))
try:
    json.loads("{bad")
except ValueError as e:
    print(e)
print(re.findall(r"(\w+)=(\d+)", "a=1, bb=22; c=x"), re.sub(r"(?P<y>\d{4})-(\d\d)", r"\2/\g<y>", "2024-05"), re.split(r"[,;]\s*", "a, b;c"), bool(re.fullmatch(r"(a|b)*c", "ab" * 500 + "c")), len(re.findall(r"\b\w", string.ascii_lowercase * 10 + " x" * 1000)))
for h in ("md5", "sha1", "sha512", "blake2b", "sha3_256"):
    print(h, hashlib.new(h, b"abc" * 10000).hexdigest()[:32])
c = zlib.compress(s.encode(), 9)
print(zlib.decompress(c).decode() == s, zlib.crc32(b"hello"), base64.b85encode(b"data"))
print(struct.pack("<IhQd", 1, -2, 3, 0.5).hex(), decimal.Decimal(1) / decimal.Decimal(7), fractions.Fraction(3, 4) + fractions.Fraction(1, 6), math.factorial(30), 2**200 % 97)
print(datetime.datetime.fromtimestamp(0, datetime.timezone.utc).isoformat(), datetime.date(2024, 2, 29) + datetime.timedelta(365))
random.seed(42)
print([random.randint(0, 99) for _ in range(8)])
print(statistics.mean([1, 2, 3, 4]), heapq.nsmallest(3, [5, 1, 4, 2]), collections.Counter("mississippi").most_common(2), list(itertools.islice(itertools.permutations("abc"), 3)))
o = io.StringIO()
csv.writer(o).writerows([["a", "b,c"], [1, 'q"']])
print(repr(o.getvalue()), list(csv.reader(io.StringIO(o.getvalue()))))
print(pickle.loads(pickle.dumps(data)) == data, "\n".join(difflib.unified_diff(["a", "b"], ["a", "c"], lineterm="")), textwrap.fill("word " * 10, 20), sep="\n")
sieve = bytearray([1]) * 100000
sieve[:2] = b"\0\0"
for i in range(2, 317):
    if sieve[i]:
        sieve[i * i::i] = bytes(len(range(i * i, 100000, i)))
print(sum(sieve))
print(hash("fixed") == hash("fixed"), sorted({3, 1, 2}), f"{math.pi:.5f} {1e10:g} {255:#x} {'c':^5}|")
