#!/usr/bin/python3
# HTTP on the loopback interface: http.server with threads, urllib, keep-alive, a big body.

import hashlib, http.client, threading, urllib.error, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/big":
            self.answer(200, bytes(range(256)) * 8192)
        elif self.path == "/missing":
            self.answer(404, b"no such page")
        else:
            self.answer(200, b"hello from " + self.path.encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, hashlib.sha256(body).hexdigest().encode())


with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    base = f"http://127.0.0.1:{port}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(base + "/index", timeout=10) as reply:
        print(reply.status, reply.read())
    try:
        opener.open(base + "/missing", timeout=10)
    except urllib.error.HTTPError as error:
        print(error.code, error.read())
    with opener.open(base + "/big", timeout=10) as reply:
        body = reply.read()
        print(len(body), hashlib.sha256(body).hexdigest())
    with opener.open(base + "/post", data=b"x" * 1_000_000, timeout=10) as reply:
        print(reply.status, reply.read())
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for number in range(3):
        connection.request("GET", f"/{number}")
        print(connection.getresponse().read())
    connection.close()
    results = {}
    def get(number):
        with opener.open(f"{base}/thread{number}", timeout=10) as reply:
            results[number] = reply.read()
    threads = [threading.Thread(target=get, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    print(sorted(results.items()))
    server.shutdown()
    thread.join()
