#!/usr/bin/python3
# Sockets in the tables of /proc/net.
import os
import socket
import tempfile
import time

ports = {}


def show(what, sock, table, first=1):
    """The columns of a socket's line from `first` on that say something about it."""
    ino = str(os.fstat(sock.fileno()).st_ino)
    with open("/proc/net/" + table) as lines:
        rows = [line.split() for line in lines]
    found = [row for row in rows[1:] if ino in row]
    if not found:
        print(what, "is not there")
        return
    row = found[0][first : found[0].index(ino)] + found[0][found[0].index(ino) + 1 :][:1] * (table == "unix")
    text = " ".join(row)
    for port, name in ports.items():
        text = text.replace(":%04X" % port, ":" + name)
    print(what, text)


def bound(sock, host, name):
    sock.bind((host, 0))
    ports[sock.getsockname()[1]] = name
    return sock


print(os.readlink("/proc/net"))
listener = socket.socket()
show("fresh TCP", listener, "tcp")
bound(listener, "127.0.0.1", "listener").listen(3)
client = socket.create_connection(listener.getsockname())
ports[client.getsockname()[1]] = "client"
server, _ = listener.accept()
client.sendall(b"hello")
while server.recv(5, socket.MSG_PEEK) != b"hello":
    time.sleep(0.001)
show("listener", listener, "tcp")
show("server", server, "tcp")
show("client", client, "tcp")
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
show("fresh UDP", udp, "udp")
show("bound UDP", bound(udp, "127.0.0.1", "udp"), "udp")

folder = tempfile.mkdtemp()
os.chdir(folder)
unix = socket.socket(socket.AF_UNIX)
show("fresh", unix, "unix")
unix.bind("\0lx-proc-net")
unix.listen()
show("listening", unix, "unix")
there = socket.socket(socket.AF_UNIX)
there.connect("\0lx-proc-net")
here, _ = unix.accept()
show("client", there, "unix")
show("server", here, "unix")
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
show("pair", one, "unix")
child = os.fork()
if child == 0:
    show("pair of the parent", other, "unix")
    os._exit(0)
os.waitpid(child, 0)
named = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
named.bind("name")
show("named", named, "unix")
os.unlink("name")
os.chdir("/")
os.rmdir(folder)
