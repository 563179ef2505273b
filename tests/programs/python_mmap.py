#!/usr/bin/python3
# mmap: anonymous and file mappings, shared over fork, resized, synchronised.

import mmap, os, tempfile

with tempfile.TemporaryDirectory() as d:
    name = os.path.join(d, "f")
    with open(name, "wb") as f:
        f.write(b"0123456789" * 1000)
    with open(name, "r+b") as f:
        m = mmap.mmap(f.fileno(), 0)
        print(len(m), m[:10], m.find(b"9"), m[9990:])
        m[0:5] = b"HELLO"
        m.flush()
        f.seek(0)
        print(f.read(10))
        f.seek(5)
        f.write(b"WORLD")
        f.flush()
        print(m[:10])
        pid = os.fork()
        if pid == 0:
            m[10:15] = b"CHILD"
            os._exit(0)
        os.waitpid(pid, 0)
        print(m[10:15])
        m.resize(20000)
        print(len(m), os.path.getsize(name), m[10000:10004])
        m.seek(100)
        m.write(b"seek")
        print(m[100:104])
        m.move(0, 10, 5)
        print(m[:10])
        m.close()
        c = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
        c[0:1] = b"#"
        f.seek(0)
        print(c[0:1], f.read(1))
        ro = mmap.mmap(f.fileno(), 4096, prot=mmap.PROT_READ, offset=4096)
        print(ro[:10])
        ro2 = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            ro2[0] = 1
        except TypeError as e:
            print("read only")
        try:
            mmap.mmap(f.fileno(), 10, offset=7)
        except ValueError:
            print("offset not allowed")
        except OSError as e:
            print("EINVAL", e.errno)
    a = mmap.mmap(-1, 1 << 20)
    a[:4] = b"anon"
    pid = os.fork()
    if pid == 0:
        a[4:8] = b"kid!"
        os._exit(0)
    os.waitpid(pid, 0)
    print(a[:8])
    p = mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    p[:4] = b"mine"
    pid = os.fork()
    if pid == 0:
        p[:4] = b"kids"
        os._exit(0)
    os.waitpid(pid, 0)
    print(p[:4])
    p.madvise(mmap.MADV_DONTNEED)
    print(p[:4])
    big = mmap.mmap(-1, 64 << 20)
    for i in range(0, 64 << 20, 1 << 20):
        big[i] = i >> 20
    print(sum(big[i] for i in range(0, 64 << 20, 1 << 20)))
    big.close()
    maps = [mmap.mmap(-1, 4096) for _ in range(500)]
    for i, x in enumerate(maps):
        x[0] = i & 255
    print(sum(x[0] for x in maps))
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(r, 1)
        a[100] = 7
        os._exit(0)
    os.write(w, b"g")
    os.waitpid(pid, 0)
    print(a[100])
    open(name, "w").close()
    print(os.path.getsize(name))
    pid = os.fork()
    if pid == 0:
        __import__("resource").setrlimit(4, (0, 0))
        f = open(name, "r+b")
        f.truncate(8192)
        z = mmap.mmap(f.fileno(), 8192)
        f.truncate(0)
        z[5000]
        os._exit(0)
    print("beyond the end:", os.WTERMSIG(os.waitpid(pid, 0)[1]))
    x = bytearray(1 << 22)
    x[::4096] = b"\1" * 1024
    print(sum(x))
