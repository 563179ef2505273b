#!/usr/bin/python3
"""The settings of the terminal that `lx run -t` is started at, however it ends.

    settings.py LX
"""

import os, signal, subprocess, sys, termios
from terminal import Terminal

LX = sys.argv[1]


def start(*argv):
    return Terminal(LX, "run", "-t", "--", *argv)


def is_raw(t):
    return not t.settings()[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


def finish(t, name):
    status = t.end()
    # Who restores them may be a process that the end of lx wakes.
    print(f"{name}: {status}, settings as before: {t.wait(t.is_as_before)}")


def sleeper(name):
    t = start("sh", "-c", "trap '' HUP; stty raw -echo; echo ready; exec sleep 1000")
    t.wait_for("ready")
    if not is_raw(t):
        raise SystemExit(f"{name}: the terminal is not raw")
    return t


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def ends():
    for name, status in ("end", "exit 3"), ("killed guest", "kill -9 $$"):
        t = start("sh", "-c", f"stty raw -echo; echo ready; {status}")
        t.wait_for("ready")
        finish(t, name)
    finish(start("/nonexistent"), "no program")
    # The guest's first settings are the host's.
    t = start("stty", "-a")
    print("the guest has", t.wait_for("-?opost"), t.wait_for("-?echo(?= )"))
    finish(t, "stty")


def signals():
    for sign in signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP:
        t = sleeper(sign.name)
        if sign == signal.SIGHUP:
            t.kill_with(signal.SIGHUP)
            print("SIGHUP is for the guest, which ignores it")
            sign = signal.SIGTERM
        t.kill_with(sign)
        finish(t, sign.name)
    for sign in signal.SIGKILL, signal.SIGABRT:
        t = sleeper(sign.name)
        t.kill_with(sign)
        finish(t, "lx gets " + sign.name)
    t = sleeper("init")
    (init,) = children(t.pid)
    os.kill(init, signal.SIGKILL)
    t.wait_for("machine has stopped")
    finish(t, "the kernel is killed")


def taken_over():
    # A shell that sees lx die sets the terminal as it needs it: nobody may interfere.
    t = sleeper("taken over")
    lx = t.settings()
    lx[3] |= termios.ISIG
    termios.tcsetattr(t.slave, termios.TCSANOW, lx)
    wanted = t.settings()
    t.kill_with(signal.SIGKILL)
    t.end()
    (init,) = t.children
    t.wait(lambda: not os.path.exists(f"/proc/{init}"))
    print("settings of others are kept:", t.settings() == wanted)


def stops():
    t = Terminal("bash", "--norc", "--noprofile", "-i")
    t.wait_for(r"\$ $")
    t.type(f"{LX} run -t -- sh -c 'stty raw; echo re\"\"ady; kill -STOP $$; "
           "echo go\"\"es on; stty size; exec sleep 1000'\n")
    t.wait_for("ready")
    print("stopped:", t.wait_for(r"\[1\]\+  Stopped"))
    t.wait_for(r"\$ $")
    t.type("stty -a | grep -o -e '[-]*icanon' -e '[-]*opost'\n")
    print("settings:", *t.wait_for(r"-?opost\r\n-?icanon").split())
    t.wait_for(r"\$ $")
    t.resize(30, 90)
    t.type("fg\n")
    t.wait_for("goes on")
    print("size:", t.wait_for("30 90"), "raw:", t.wait(lambda: is_raw(t)))
    (lx,) = children(t.pid)
    os.kill(lx, signal.SIGTERM)
    t.wait_for(r"\$ $")
    t.type("echo status $?\n")
    print(t.wait_for(r"status \d+"))
    t.wait_for(r"\$ $")
    t.type("exit\n")
    finish(t, "bash")


def streams():
    t = Terminal("sh", "-c", f"echo piped | {LX} run -t -- sh -c 'cat; test -t 0 || echo no terminal; "
                             "read x < /dev/tty; echo got $x' | cat")
    t.wait_for("piped")
    print("input:", t.wait_for("no terminal"))
    t.type("word\n")
    print(t.wait_for(r"got word"))
    finish(t, "streams")
    command = [LX, "run", "-t", "--", "true"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    print(result.returncode, result.stderr.strip())


signal.alarm(100)
ends()
signals()
taken_over()
stops()
streams()
