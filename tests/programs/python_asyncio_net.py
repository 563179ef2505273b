#!/usr/bin/python3
# asyncio on sockets: TCP streams, a Unix-domain server, datagrams, many clients at once.

import asyncio, os, tempfile


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def ask(opened, *lines):
    reader, writer = await opened
    answers = []
    for line in lines:
        writer.write(line + b"\n")
        answers.append(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answers


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data[::-1], address)


class Answer(asyncio.DatagramProtocol):
    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, address):
        self.answer.set_result(data)


async def bulk(reader, writer):
    total = 0
    while data := await reader.read(65536):
        total += len(data)
    writer.write(b"%d\n" % total)
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(await ask(asyncio.open_connection("127.0.0.1", port), b"one", b"two"))
    many = (ask(asyncio.open_connection("127.0.0.1", port), b"client %d" % n) for n in range(40))
    print(len(await asyncio.gather(*many)))
    server.close()
    await server.wait_closed()

    server = await asyncio.start_server(bulk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(100):
        writer.write(b"x" * 50_000)
        await writer.drain()
    writer.write_eof()
    print(await reader.readline())
    writer.close()
    server.close()

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        server = await asyncio.start_unix_server(echo, path)
        print(await ask(asyncio.open_unix_connection(path), b"local", b"lines"))
        server.close()
        await server.wait_closed()

    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    address = server.get_extra_info("sockname")
    client, protocol = await loop.create_datagram_endpoint(Answer, remote_addr=address)
    client.sendto(b"datagram")
    print(await asyncio.wait_for(protocol.answer, 10))
    client.close()
    server.close()
    try:
        await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        print("refused")


asyncio.run(asyncio.wait_for(main(), 60))
