#!/usr/bin/python3
# multiprocessing over Unix-domain sockets: pipes, listener and client, descriptors in messages.

import array, os, socket, tempfile
from multiprocessing import Pipe, Process
from multiprocessing.connection import Client, Listener, wait


def square(connection):
    while (number := connection.recv()) is not None:
        connection.send((number, number * number))
    connection.close()


def client(address):
    with Client(address, authkey=b"secret") as connection:
        connection.send({"from": "client", "big": "x" * 300_000})
        print(connection.recv(), flush=True)


here, there = Pipe()
child = Process(target=square, args=(there,))
child.start()
there.close()
for number in range(5):
    here.send(number)
print([here.recv() for _ in range(5)])
here.send(None)
child.join()
print(child.exitcode)

with tempfile.TemporaryDirectory() as folder:
    address = os.path.join(folder, "listener")
    with Listener(address, "AF_UNIX", authkey=b"secret") as listener:
        child = Process(target=client, args=(address,))
        child.start()
        with listener.accept() as connection:
            message = connection.recv()
            print(message["from"], len(message["big"]))
            connection.send("done")
        child.join()
        print(child.exitcode)

pairs = [Pipe() for _ in range(4)]
children = []
for number, (_, end) in enumerate(pairs):
    child = Process(target=lambda end=end, number=number: end.send(number))
    child.start()
    end.close()
    children.append(child)
waiting = {first for first, _ in pairs}
got = []
while waiting:
    for ready in wait(list(waiting), timeout=10):
        got.append(ready.recv())
        waiting.discard(ready)
print(sorted(got))
for child in children:
    child.join()

first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
if os.fork() == 0:
    first.close()
    message, fds, flags, _ = socket.recv_fds(second, 100, 4)
    with os.fdopen(fds[0], "w") as file:
        file.write(message.decode() + " and its file")
    os._exit(0)
reader, writer = os.pipe()
socket.send_fds(first, [b"a message"], [writer])
os.close(writer)
with os.fdopen(reader) as file:
    print(file.read())
print(os.wait()[1])
second.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
first.send(b"who")
data, control, flags, _ = second.recvmsg(10, 100)
pid, uid, gid = array.array("i", control[0][2])
print(data, flags, pid == os.getpid(), uid == os.getuid(), gid == os.getgid())
