#!/usr/bin/python3
# socketserver: TCP with processes, UDP, a Unix-domain path; shutdown, options, errors.

import os, socket, socketserver, tempfile, threading


class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


class Reverse(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data[::-1], self.client_address)


class Forking(socketserver.ForkingMixIn, socketserver.TCPServer):
    allow_reuse_address = True


def serve(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    return thread


def talk(sock, *lines):
    file = sock.makefile("rwb")
    for line in lines:
        file.write(line + b"\n")
    file.flush()
    sock.shutdown(socket.SHUT_WR)
    return file.read()


with Forking(("127.0.0.1", 0), Upper) as server:
    thread = serve(server)
    for number in range(3):
        with socket.create_connection(server.server_address, timeout=10) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            print(talk(sock, b"one %d" % number, b"two"))
    server.shutdown()
    thread.join()

with socketserver.UDPServer(("127.0.0.1", 0), Reverse) as server:
    thread = serve(server)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        for text in (b"abc", b"x" * 1000):
            sock.sendto(text, server.server_address)
            data, sender = sock.recvfrom(2000)
            print(len(data), data[:3], sender == server.server_address)
    server.shutdown()
    thread.join()

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "socket")
    with socketserver.UnixStreamServer(path, Upper) as server:
        thread = serve(server)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            print(talk(sock, b"local"), sock.getpeername() == path, repr(sock.getsockname()))
        server.shutdown()
        thread.join()
    try:
        socket.socket(socket.AF_UNIX).connect(path)
    except ConnectionRefusedError:
        print("refused")
    try:
        socket.socket(socket.AF_UNIX).bind(path)
    except OSError as error:
        print(error.errno)

with socket.socket() as closed:
    closed.bind(("127.0.0.1", 0))
    address = closed.getsockname()
try:
    socket.create_connection(address, timeout=10)
except ConnectionRefusedError:
    print("refused")
print(socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))
print(sorted({info[0].name for info in socket.getaddrinfo("localhost", 80, family=socket.AF_INET)}))
print("lo" in [name for _, name in socket.if_nameindex()])
