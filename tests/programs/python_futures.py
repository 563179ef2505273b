#!/usr/bin/python3
# concurrent.futures: thread pools, results in order, exceptions, time-outs.

import concurrent.futures as cf, hashlib, subprocess, time

with cf.ThreadPoolExecutor(8) as ex:
    print(sum(ex.map(lambda x: x * x, range(1000))))
    print([f.result() for f in [ex.submit(pow, 2, i) for i in range(10)]])
    f = ex.submit(lambda: 1 / 0)
    print(type(f.exception()).__name__)
    print(list(ex.map(lambda i: subprocess.run(["sh", "-c", f"echo {i}"], capture_output=True).stdout, range(16))))
    print(sorted(f.result() for f in cf.as_completed([ex.submit(lambda d: (time.sleep(d), d)[1], d / 100) for d in (3, 1, 2)])))
    slow = ex.submit(time.sleep, 0.3)
    try:
        slow.result(0.02)
    except cf.TimeoutError:
        print("time-out")
    done, rest = cf.wait([slow, ex.submit(int)], return_when=cf.FIRST_COMPLETED)
    print(len(done), len(rest))
    data = [bytes([i]) * 300000 for i in range(16)]
    print(hashlib.md5(b"".join(h.digest() for h in ex.map(hashlib.sha256, data))).hexdigest())
with cf.ThreadPoolExecutor(1) as ex:
    a = ex.submit(time.sleep, 0.1)
    b = ex.submit(print, "never")
    print(b.cancel(), b.cancelled())
for _ in range(20):
    with cf.ThreadPoolExecutor(4) as ex:
        list(ex.map(str, range(8)))
print("end")
