#!/usr/bin/python3
# asyncio: tasks, sub-processes, time-outs, signal handlers.

import asyncio, os, signal, sys


async def run(*cmd):
    p = await asyncio.create_subprocess_exec(*cmd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await p.communicate()
    return p.returncode, out, err


async def main():
    print(await run("echo", "hi"))
    print(await run("sh", "-c", "echo e >&2; exit 3"))
    print(await asyncio.gather(*(run("sh", "-c", f"echo {i}; exit {i}") for i in range(5))))
    p = await asyncio.create_subprocess_shell("for i in 1 2 3; do echo line $i; done", stdout=asyncio.subprocess.PIPE)
    async for line in p.stdout:
        print(line)
    print(await p.wait())
    p = await asyncio.create_subprocess_exec("sleep", "5")
    try:
        await asyncio.wait_for(p.wait(), 0.1)
    except asyncio.TimeoutError:
        p.terminate()
        print("time-out", await p.wait())
    order = []
    async def t(n, d):
        await asyncio.sleep(d)
        order.append(n)
    await asyncio.gather(t("c", 0.15), t("a", 0.02), t("b", 0.08))
    print(order)
    q = asyncio.Queue(2)
    async def produce():
        for i in range(10):
            await q.put(i)
        await q.put(None)
    async def consume():
        s = 0
        while (x := await q.get()) is not None:
            s += x
        return s
    print((await asyncio.gather(produce(), consume()))[1])
    ev = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, ev.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(ev.wait(), 5)
    print("signal")
    print(await loop.run_in_executor(None, sum, range(1000)))
    print(await asyncio.to_thread(lambda: os.getpid() > 0))
    r, w = os.pipe()
    fut = loop.create_future()
    loop.add_reader(r, lambda: fut.done() or fut.set_result(os.read(r, 10)))
    loop.call_later(0.02, os.write, w, b"piped")
    print(await fut)
    loop.remove_reader(r)
    task = asyncio.create_task(asyncio.sleep(10))
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled")


asyncio.run(main())
