#!/usr/bin/python3
# Threads: locks, conditions, queues, events, thread-local data.

import queue, threading, time

count = 0
lock = threading.Lock()


def add():
    global count
    for _ in range(2000):
        with lock:
            count += 1


ts = [threading.Thread(target=add) for _ in range(8)]
for t in ts:
    t.start()
for t in ts:
    t.join()
print(count)
q, out = queue.Queue(5), queue.Queue()


def worker():
    while (x := q.get()) is not None:
        out.put(x * x)


ts = [threading.Thread(target=worker) for _ in range(4)]
for t in ts:
    t.start()
for i in range(200):
    q.put(i)
for t in ts:
    q.put(None)
for t in ts:
    t.join()
print(sum(out.get() for _ in range(200)), out.empty())
ev = threading.Event()
seen = []
t = threading.Thread(target=lambda: (ev.wait(5), seen.append("event")))
t.start()
ev.set()
t.join()
print(seen, ev.wait(0))
print("time-out", threading.Event().wait(0.05), lock.acquire(timeout=0.01), lock.acquire(timeout=0.05))
lock.release()
cond = threading.Condition()
turn = [0]
order = []


def player(me):
    for _ in range(20):
        with cond:
            cond.wait_for(lambda: turn[0] % 3 == me)
            order.append(me)
            turn[0] += 1
            cond.notify_all()


ts = [threading.Thread(target=player, args=(i,)) for i in range(3)]
for t in ts:
    t.start()
for t in ts:
    t.join()
print(order == [0, 1, 2] * 20)
b = threading.Barrier(4)
r = []


def at(i):
    b.wait(5)
    r.append(i)


ts = [threading.Thread(target=at, args=(i,)) for i in range(4)]
for t in ts:
    t.start()
for t in ts:
    t.join()
print(sorted(r))
loc = threading.local()
loc.x = 1
t = threading.Thread(target=lambda: print(hasattr(loc, "x")))
t.start()
t.join()
sem = threading.Semaphore(2)
peak = [0, 0]


def guarded():
    with sem:
        with lock:
            peak[0] += 1
            peak[1] = max(peak)
        time.sleep(0.005)
        with lock:
            peak[0] -= 1


ts = [threading.Thread(target=guarded) for _ in range(8)]
for t in ts:
    t.start()
for t in ts:
    t.join()
print(peak[1] <= 2)
for _ in range(100):
    t = threading.Thread(target=lambda: None)
    t.start()
    t.join()
threading.Timer(0.02, lambda: print("timer")).start()
t = threading.Thread(target=time.sleep, args=(10,), daemon=True)
t.start()
for t in threading.enumerate():
    if isinstance(t, threading.Timer):
        t.join()
print(threading.active_count(), "a daemon is left")
