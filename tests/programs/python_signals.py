#!/usr/bin/python3
# Signals in python: handlers, masks, sigwait, wake-up descriptors, timers.

import os, select, signal, sys, threading, time

got = []
for n in ("USR1", "USR2", "HUP", "TERM"):
    signal.signal(getattr(signal, "SIG" + n), lambda s, f: got.append(signal.Signals(s).name))
for n in ("USR1", "TERM", "HUP", "USR2"):
    os.kill(os.getpid(), getattr(signal, "SIG" + n))
print(got)
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
except KeyboardInterrupt:
    print("KeyboardInterrupt")
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
got.clear()
os.kill(os.getpid(), signal.SIGUSR1)
print(got, signal.sigpending())
print(signal.sigwait({signal.SIGUSR1}))
print(signal.sigtimedwait({signal.SIGUSR1}, 0.02))
signal.raise_signal(signal.SIGUSR1)
i = signal.sigwaitinfo({signal.SIGUSR1})
print(i.si_signo, i.si_pid == os.getpid())
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
n = [0]
signal.signal(signal.SIGALRM, lambda *a: n.__setitem__(0, n[0] + 1))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
while n[0] < 5:
    time.sleep(0.05)
signal.setitimer(signal.ITIMER_REAL, 0)
print("timer")
print(signal.getitimer(signal.ITIMER_REAL))
signal.alarm(100)
print(signal.alarm(0) in (99, 100))
t0 = time.monotonic()
signal.setitimer(signal.ITIMER_REAL, 0.05)
time.sleep(0.2)
print("sleep is resumed", time.monotonic() - t0 >= 0.2)
r, w = os.pipe()
os.set_blocking(w, False)
old = signal.set_wakeup_fd(w)
os.kill(os.getpid(), signal.SIGUSR2)
print(os.read(r, 10) == bytes([signal.SIGUSR2]))
signal.set_wakeup_fd(old)


def boom(*a):
    raise RuntimeError("from handler")


signal.signal(signal.SIGALRM, boom)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    os.read(r, 1)
except RuntimeError as e:
    print("read interrupted:", e)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    select.select([r], [], [], 5)
except RuntimeError as e:
    print("select interrupted:", e)
signal.signal(signal.SIGUSR1, lambda *a: got.append(threading.current_thread().name))
got.clear()
t = threading.Thread(target=time.sleep, args=(0.1,))
t.start()
signal.pthread_kill(t.ident, signal.SIGUSR1)
t.join()
time.sleep(0.01)
print(got)
for s in (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT):
    p = os.fork()
    if p == 0:
        s != signal.SIGKILL and signal.signal(s, signal.SIG_DFL)
        __import__("resource").setrlimit(4, (0, 0))
        os.kill(os.getpid(), s)
        time.sleep(5)
        os._exit(0)
    print(os.WTERMSIG(os.waitpid(p, 0)[1]))
signal.signal(signal.SIGCHLD, lambda *a: got.append("chld"))
got.clear()
p = os.fork()
if p == 0:
    os._exit(3)
while not got:
    time.sleep(0.01)
print(got, os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))
print(signal.getsignal(signal.SIGPIPE))
sys.stdout.flush()
signal.signal(signal.SIGTERM, signal.SIG_DFL)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(5)
