#!/usr/bin/python3
"""Sockets between processes, and what differs where a host's sockets are not Linux's."""

import errno
import hashlib
import os
import select
import signal
import socket
import struct
import sys
import threading
import time

HERE = "127.0.0.1"


def name(error):
    return errno.errorcode.get(error, error)


def attempt(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return name(error.errno)


def listener(backlog=64):
    server = socket.socket()
    server.bind((HERE, 0))
    server.listen(backlog)
    return server


def pair():
    with listener() as server:
        client = socket.create_connection(server.getsockname())
        return client, server.accept()[0]


def child(act):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = act() or 0
        finally:
            os._exit(status)
    return pid


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def last_descriptor():
    """The peer sees the end when the last process closes, whoever has used the socket before."""
    client, server = pair()
    server.send(b"by the parent ")

    def act():
        server.send(b"by the child")

    pid = child(act)
    server.close()
    text = b""
    while part := client.recv(99):
        text += part
    return text, ended(pid)


def inherited_and_closed_by_the_parent_last():
    client, server = pair()
    pid = child(lambda: int(server.recv(1) != b"x"))
    client.send(b"x")
    status = ended(pid)
    client.setblocking(False)
    still = attempt(client.recv, 1)
    client.setblocking(True)
    server.close()
    return status, still, client.recv(1)


def many_numbers():
    """Sockets that one process closes and another has used: their numbers come again."""
    server = listener()
    for turn in range(20):
        client = socket.create_connection(server.getsockname())
        taken = server.accept()[0]
        pid = child(lambda: taken.send(b"%d" % turn) * 0)
        taken.close()
        got = client.recv(9), client.recv(9), ended(pid)
        if got != (b"%d" % turn, b"", 0):
            return turn, got
        client.close()
    return "all"


def accept_in_several():
    server = listener()

    def act():
        while True:
            connection = server.accept()[0]
            connection.sendall(connection.recv(9).upper())
            connection.close()

    children = [child(act) for _ in range(3)]
    answers = set()
    for _ in range(30):
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"hello")
            answers.add(client.recv(9) + client.recv(9))
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    return answers, [ended(pid) for pid in children]


def concurrent(count=100):
    server = listener(256)

    def act():
        clients = [socket.create_connection(server.getsockname()) for _ in range(count)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        return int(any(client.recv(9) != b"%d" % n for n, client in enumerate(clients)))

    pid = child(act)
    poller = select.epoll()
    server.setblocking(False)
    poller.register(server, select.EPOLLIN)
    open_ones, done = {}, 0
    while done < count:
        events = poller.poll(30)
        if not events:
            return "stuck", done
        for fd, _ in events:
            if fd == server.fileno():
                connection = server.accept()[0]
                connection.setblocking(False)
                open_ones[connection.fileno()] = connection
                poller.register(connection, select.EPOLLIN | select.EPOLLET)
                continue
            connection = open_ones[fd]
            while isinstance(text := attempt(connection.recv, 99), bytes) and text:
                connection.sendall(text)
                done += 1
    return ended(pid)


def resets():
    client, server = pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    seen = [attempt(client.recv, 1) for _ in range(3)]
    return seen + [attempt(client.send, b"x") for _ in range(2)]


def connecting():
    with listener() as server:
        address = server.getsockname()
        client = socket.socket()
        client.setblocking(False)
        first = name(client.connect_ex(address))
        select.select([], [client], [], 10)
        seen = [first, client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]
        seen += [name(client.connect_ex(address)) for _ in range(2)]
    other = socket.socket()
    other.setblocking(False)
    seen.append(name(other.connect_ex(address)))
    poller = select.poll()
    poller.register(other)
    seen.append(poller.poll(10_000)[0][1])
    seen.append(name(other.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
    return seen + [poller.poll(0)[0][1]]


def a_fresh_one():
    fresh = socket.socket()
    poller = select.poll()
    poller.register(fresh)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    poller.register(datagrams)
    events = sorted(event for _, event in poller.poll(0))
    return events, fresh.getsockname(), datagrams.getsockname(), attempt(datagrams.getpeername)


def both_families():
    server = socket.socket(socket.AF_INET6)
    server.bind(("::", 0))
    server.listen()
    port = server.getsockname()[1]
    peers = []
    for host in (HERE, "::1", "0.0.0.0", "::"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        client = socket.socket(family)
        client.connect((host, port))
        peers.append((client.getpeername()[0], server.accept()[1][0]))
    return server.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), peers


def one_direction():
    client, server = pair()
    server.shutdown(socket.SHUT_RD)
    seen = [server.recv(4)]
    client.send(b"thrown away")
    server.shutdown(socket.SHUT_WR)
    return seen + [attempt(server.send, b"x"), client.recv(1)]


def a_reader_is_woken():
    client, server = pair()
    got = []
    thread = threading.Thread(target=lambda: got.append(server.recv(1)))
    thread.start()
    time.sleep(0.1)
    server.shutdown(socket.SHUT_RD)
    thread.join(10)
    client.close()
    return got


def datagrams():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((HERE, 0))

    def act():
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for number in range(50):
            other.sendto(b"%d" % number, one.getsockname())
            if other.recv(99) != b"%d" % number:
                return 1
        return 0

    pid = child(act)
    for _ in range(50):
        text, sender = one.recvfrom(99)
        one.sendto(text, sender)
    closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    closed.bind((HERE, 0))
    nowhere = closed.getsockname()
    closed.close()
    one.sendto(b"to nobody", nowhere)
    one.setblocking(False)
    return ended(pid), attempt(one.recv, 1)


def settings():
    stream = socket.socket()
    level = socket.SOL_SOCKET
    stream.setsockopt(level, socket.SO_RCVBUF, 10_000)
    stream.setsockopt(level, socket.SO_LINGER, struct.pack("ii", 1, 7))
    stream.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 16)
    stream.setsockopt(socket.IPPROTO_IP, 11, 1)
    return (
        stream.getsockopt(level, socket.SO_RCVBUF),
        struct.unpack("ii", stream.getsockopt(level, socket.SO_LINGER, 8)),
        stream.getsockopt(socket.IPPROTO_IP, 11),
        stream.getsockopt(level, socket.SO_ACCEPTCONN),
        listener().getsockopt(level, socket.SO_ACCEPTCONN),
        attempt(stream.setsockopt, level, socket.SO_TYPE, 1),
        attempt(stream.setsockopt, socket.IPPROTO_IP, socket.IP_TTL, 256),
    )


def bulk(size=8 << 20):
    client, server = pair()
    block = bytes(range(256)) * 1024

    def act():
        client.close()
        for _ in range(size // len(block)):
            server.sendall(block)

    pid = child(act)
    server.close()
    digest, length = hashlib.sha256(), 0
    while part := client.recv(1 << 16):
        digest.update(part)
        length += len(part)
    expected = hashlib.sha256(block * (size // len(block)))
    return length, digest.digest() == expected.digest(), ended(pid)


for test in (
    last_descriptor,
    inherited_and_closed_by_the_parent_last,
    many_numbers,
    accept_in_several,
    concurrent,
    resets,
    connecting,
    a_fresh_one,
    both_families,
    one_direction,
    a_reader_is_woken,
    datagrams,
    settings,
    bulk,
):
    print(f"{test.__name__}: {attempt(test)}", flush=True)
