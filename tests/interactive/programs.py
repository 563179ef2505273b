#!/usr/bin/python3
"""Programs at a terminal, with everything that a person types at them.

    programs.py [PREFIX...]

Without arguments the programs run natively, else by the command PREFIX, such as `lx run -t`, which
must show the folder that `{}` stands for in it. The output is the same in either case.
"""

import atexit, os, re, signal, subprocess, sys, tempfile
from terminal import CAN_RESIZE, CONSOLE, Terminal

# Prints a word that is not in the command line, when it is in the foreground.
READY = "sh -c 'echo re\"\"ady; exec {}'"


def start(folder, *argv, **env):
    prefix = [part.replace("{}", folder) for part in sys.argv[1:]]
    return Terminal(*prefix, *argv, **env)


def finish(terminal, name):
    status = terminal.end()
    print(f"{name} ends with {status}; settings as before: {terminal.is_as_before()}")


def bash(folder):
    t = start(folder, "bash", "--norc", "--noprofile", "-i")
    t.wait_for(r"\$ $")
    t.type("test -t 0 && tty | grep -c /dev/\n")
    t.wait_for(r"\r1\r\n.*\$ $")
    t.type("stty size\n")
    print("size:", t.wait_for(r"24 80"))

    t.type(READY.format("sleep 1000") + "\n")
    t.wait_for("ready")
    t.type("\x03")
    t.wait_for(r"\^C\r\n.*\$ $")
    t.type("echo status $?\n")
    print("Ctrl-C:", t.wait_for(r"status \d+(?=\r)"))

    t.type(READY.format("sleep 1000") + "\n")
    t.wait_for("ready")
    t.type("\x1a")
    print("Ctrl-Z:", t.wait_for(r"\[1\]\+  Stopped"))
    t.wait_for(r"\$ $")
    t.type(READY.format("cat") + "\n")
    t.wait_for("ready")
    t.type("line\n")
    t.wait_for(r"line\r\nline\r\n")
    t.type("\x1a")
    t.wait_for(r"\[2\]\+  Stopped")
    t.wait_for(r"\$ $")
    t.type("jobs\n")
    print("jobs:", *t.wait_for(r"\[1\]-  Stopped.*\r\n\[2\]\+  Stopped").split("  ")[:2])
    t.type("bg %1\n")
    print("bg:", t.wait_for(r"\[1\]. sh .* &"))
    t.wait_for(r"\$ $")
    t.type("fg %2\n")
    # bash prints the name before the job has the terminal, but what is typed waits for it.
    t.wait_for(r"exec cat'\r\n")
    t.type("again\n")
    t.wait_for(r"again\r\n")
    t.wait_for(r"again\r\n")
    t.type("\x04")
    t.wait_for(r"\$ $")
    t.type("jobs\n")
    print("left:", t.wait_for(r"\[1\]\+  Running"))
    t.type("kill %1; wait %1 2> /dev/null; echo ended $?\n")
    print("kill:", t.wait_for(r"ended \d+"))

    t.type(READY.format("sleep 1000") + "\n")
    t.wait_for("ready")
    t.type("\x1c")
    print("Ctrl-\\:", t.wait_for("Quit"))
    t.wait_for(r"\$ $")
    t.type("sleep 1000 & disown; jobs; kill $!; echo go''ne\n")
    t.wait_for(r"\d+\r\ngone\r\n.*\$ $")
    print("disown: no job is left")
    t.type("cat &\n")
    t.wait_for(r"\[1\] \d+")
    # The shell tells it with the next prompt, once it has happened.
    t.type("while test $(jobs -s | wc -l) = 0; do sleep 0.05; done; jobs -s\n")
    print("background input:", re.sub(" +", " ", t.wait_for(r"\[1\]\+  Stopped +cat")))
    t.type("kill %1; trap 'stty size' WINCH; echo s''et\n")
    t.wait_for(r"set\r\n.*\$ $")
    if CAN_RESIZE:
        t.resize(30, 100)
        print("new size:", t.type_until("\n", r"30 100"))
    # A shell does not end at once while a job is stopped, and this one ends when it is scheduled.
    t.type("while jobs %1 > /dev/null 2>&1; do sleep 0.05; done; echo none le''ft\n")
    t.wait_for(r"none left\r\n.*\$ $")
    t.type("exit 7\n")
    finish(t, "bash")


def vim(folder):
    name = os.path.join(folder, "text")
    t = start(folder, "vim.tiny", "-u", "NONE", name)
    t.wait_for("New")
    t.type("ifirst line\nsecond\x1b")
    t.wait_for("second")
    t.type("ggA, changed\x1b")
    t.wait_for("changed")
    if CAN_RESIZE:
        t.resize(30, 100)
        print("vim has", t.type_until(":set columns?\n", "columns=100"))
    t.type(":wq\n")
    t.wait_for("written")
    finish(t, "vim")
    print("it wrote", open(name).read().split("\n"))


def less(folder):
    name = os.path.join(folder, "lines")
    with open(name, "w") as file:
        file.writelines(f"line {number}\n" for number in range(1000))
    t = start(folder, "less", name, LESSHISTFILE="-")
    t.wait_for("line 22")
    t.type(" ")
    print("less pages to", t.wait_for("line 44"))
    t.type("G")
    print("and to", t.wait_for("line 999"))
    t.type("g/line 5.5\n")
    print("finds", t.wait_for("line 505"))
    t.type("n")
    print("and", t.wait_for("line 537"))
    t.type("q")
    finish(t, "less")


def top(folder):
    t = start(folder, "top", "-b", "-n1")
    print("top -b shows", t.wait_for("top - "), t.wait_for("PID +USER"))
    finish(t, "top -b")
    t = start(folder, "top")
    t.wait_for("PID")
    t.type("q")
    finish(t, "top")


def tmux(folder):
    conf = os.path.join(folder, "tmux.conf")
    with open(conf, "w") as file:
        # What comes fast is a key, not pasted text.
        file.write("set -g assume-paste-time 0\n")
    # A name of its own: the folder may be the host's, and sockets are the guest's.
    socket = "/tmp/lx-test-" + os.path.basename(folder)
    t = start(folder, "tmux", "-S", socket, "-f", conf, "new", "bash --norc --noprofile",
              TERM="screen")
    if len(sys.argv) == 1:
        # Its server is no child of anybody here.
        atexit.register(subprocess.run, ["tmux", "-S", socket, "kill-server"],
                        stderr=subprocess.DEVNULL)
    t.wait_for("0:bash")
    t.type("echo $((6 * 7))\n")
    t.wait_for("42")
    t.type("\x02\"")
    t.wait_for("qqq")
    t.type("stty size\n")
    print("the split window has", t.wait_for(r"11 80"))
    t.type("trap 'stty size' WINCH; echo s''et\n")
    t.wait_for("set")
    if CAN_RESIZE:
        t.resize(40, 90)
        print("after a resize it has", t.type_until("\n", r"\d+ 90"))
    t.type("exit\n")
    # The other one is shown on the whole screen.
    t.wait_for("42")
    t.type("exit\n")
    t.wait_for(r"\[exited\]")
    finish(t, "tmux")


def much(folder):
    t = start(folder, "seq", "-f", "number %g", "30000")
    lines = t.wait_for(r"number 30000\r\n", before=True).split("\r\n")
    wanted = [f"number {number}" for number in range(1, 30001)]
    print("output is complete:", lines[-30001:-1] == wanted)
    finish(t, "seq")
    t = start(folder, "sh", "-c", "old=$(stty -g); stty raw -echo; echo ready; "
              "head -c 100000 | cksum; stty $old")
    t.wait_for("ready")
    for _ in range(100):
        t.type("0123456789" * 100)
    print("100 kB of input have the sum", t.wait_for(r"\d+ 100000"))
    finish(t, "head")


signal.alarm(300 if CONSOLE else 100)
with tempfile.TemporaryDirectory() as folder:
    for scene in (bash, vim, less, top, tmux, much):
        scene(folder)
