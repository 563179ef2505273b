#!/usr/bin/python3
# select, poll and epoll over pipes, with threads that write.

import os, select, selectors, threading, time

r, w = os.pipe()
print(select.select([r], [w], [], 0) == ([], [w], []))
os.write(w, b"x")
print(select.select([r], [], [], 1)[0] == [r])
os.read(r, 1)
p = select.poll()
p.register(r, select.POLLIN)
print(p.poll(20))
threading.Timer(0.05, os.write, (w, b"late")).start()
print([e for _, e in p.poll(5000)], os.read(r, 10))
os.close(w)
print([e == select.POLLHUP for _, e in p.poll(100)])
os.close(r)
print([e == select.POLLNVAL for _, e in p.poll(100)])
r, w = os.pipe()
ep = select.epoll()
ep.register(r, select.EPOLLIN)
print(ep.poll(0.02))
os.write(w, b"ab")
print([e for _, e in ep.poll(1)], [e for _, e in ep.poll(1)])
ep.modify(r, select.EPOLLIN | select.EPOLLET)
print(len(ep.poll(1)), len(ep.poll(0.02)))
os.write(w, b"c")
print(len(ep.poll(1)))
ep.modify(r, select.EPOLLIN | select.EPOLLONESHOT)
print(len(ep.poll(1)), len(ep.poll(0.02)))
try:
    ep.register(r, select.EPOLLIN)
except FileExistsError as e:
    print("EEXIST")
ep.unregister(r)
try:
    ep.unregister(r)
except FileNotFoundError:
    print("ENOENT")
f = os.open("/etc/passwd", os.O_RDONLY)
try:
    ep.register(f)
except PermissionError:
    print("EPERM")
ep.close()
os.close(f)
sel = selectors.DefaultSelector()
text = {}


def writer(fd, i):
    for k in range(5):
        time.sleep(0.003)
        os.write(fd, b"%d" % k)
    os.close(fd)


for i in range(8):
    a, b = os.pipe()
    sel.register(a, selectors.EVENT_READ, i)
    threading.Thread(target=writer, args=(b, i)).start()
while sel.get_map():
    for key, _ in sel.select(5):
        d = os.read(key.fd, 100)
        if d:
            text[key.data] = text.get(key.data, b"") + d
        else:
            sel.unregister(key.fd)
            os.close(key.fd)
print(sorted(text.items()))
r, w = os.pipe()
os.set_blocking(r, False)
try:
    os.read(r, 1)
except BlockingIOError:
    print("EAGAIN")
os.set_blocking(w, False)
n = 0
try:
    while True:
        n += os.write(w, b"x" * 4096)
except BlockingIOError:
    print("full at", n, select.select([], [w], [], 0)[1] == [])
os.read(r, 65536)
print(select.select([], [w], [], 0)[1] == [w])
nested = select.epoll()
inner = select.epoll()
inner.register(r, select.EPOLLIN)
nested.register(inner.fileno(), select.EPOLLIN)
print(len(nested.poll(0.02)))
os.write(w, b"x")
print(len(nested.poll(1)))
