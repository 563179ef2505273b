#!/usr/bin/python3
# Clocks, sleeps, resource use, identities: relations, never values.

import os, resource, sys, time, threading

a = time.monotonic_ns()
time.sleep(0.02)
b = time.monotonic_ns()
print(b - a >= 20_000_000)
print(time.time() > 1.7e9, abs(time.time() - time.clock_gettime(time.CLOCK_REALTIME)) < 5)
t = time.process_time()
while time.process_time() - t < 0.03:
    pass
print("processor time runs", time.process_time() - t >= 0.03)
t = time.thread_time()
time.sleep(0.05)
print("not while asleep", time.thread_time() - t < 0.04)
for c in ("REALTIME", "MONOTONIC", "PROCESS_CPUTIME_ID", "THREAD_CPUTIME_ID", "MONOTONIC_RAW", "BOOTTIME", "REALTIME_COARSE", "MONOTONIC_COARSE"):
    k = getattr(time, "CLOCK_" + c, {"REALTIME_COARSE": 5, "MONOTONIC_COARSE": 6}.get(c))
    print(c, time.clock_gettime(k) >= 0, 0 < time.clock_getres(k) < 0.1)
xs = [time.monotonic_ns() for _ in range(10000)]
print("monotonic", xs == sorted(xs))
print(time.gmtime(0)[:6], time.strftime("%F", time.gmtime(86400 * 365)))
u = resource.getrusage(resource.RUSAGE_SELF)
print(u.ru_maxrss > 0, u.ru_utime + u.ru_stime >= 0.03)
os.system("true")
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime >= 0)
print(all(x >= 0 for x in os.times()))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0)
try:
    time.clock_gettime(9999)
except OSError as e:
    print(e.errno)
print(os.getuid() == os.geteuid(), os.getgid() == os.getegid(), len(os.getgroups()) >= 0, os.getlogin and True, os.cpu_count() >= 1, len(os.sched_getaffinity(0)) >= 1, os.sched_yield(), os.getpriority(os.PRIO_PROCESS, 0) >= -20, os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_NPROCESSORS_ONLN") >= 1)
print(len(os.urandom(16)), os.urandom(8) != os.urandom(8), len(os.getrandom(20)))
e = threading.Event()
t = time.monotonic()
e.wait(0.05)
print(time.monotonic() - t >= 0.05)
t = time.monotonic()
time.sleep(0)
print(time.monotonic() - t < 1)
print(os.uname().sysname, os.uname().machine, sys.platform)
