#!/usr/bin/python3
# Deep recursion, large stacks in threads, big objects, generators.

import gc, sys, threading

sys.setrecursionlimit(20000)


def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)


print(depth(900))
threading.stack_size(64 << 20)
out = []
t = threading.Thread(target=lambda: out.append(depth(15000)))
t.start()
t.join()
print(out)
sys.setrecursionlimit(500)
try:
    depth(1000)
except RecursionError:
    print("RecursionError")
big = [list(range(1000)) for _ in range(1000)]
print(sum(map(sum, big)))
del big
gc.collect()
s = "x" * (50 << 20)
print(len(s))
del s
d = {i: str(i) for i in range(200000)}
print(len(d), d[199999])
l = []
for i in range(1000):
    l = [l]
for i in range(200):
    b = bytearray(1 << 20)
    b[-1] = 1


def gen(n):
    if n:
        yield n
        yield from gen(n - 1)


print(sum(gen(300)), len(repr(l)) if False else "nested")
x = [0] * 3_000_000
print(len(x))
m = memoryview(bytearray(10 << 20))
m[5:10] = b"hello"
print(bytes(m[5:10]))
for _ in range(30):
    a = [bytes(n) for n in (10, 1000, 100000, 1000000)]
    del a
try:
    bytearray(1 << 62)
except MemoryError:
    print("MemoryError")
print(sys.getsizeof(0) > 0)
