#!/usr/bin/python3
# Programs at a pseudo terminal: bash with job control, vim, less, top, tmux; sizes and hang-up.

import fcntl, os, pty, re, select, signal, struct, sys, tempfile, termios, time

LIMIT = 20


class Terminal:
    """A program in a terminal of its own, and what it has shown since it was last asked for."""

    def __init__(self, *argv, **env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            keep = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "vt100"}
            os.execvpe(argv[0], argv, {**keep, "PS1": "$ ", "LC_ALL": "C", **env})
        self.resize(24, 80)
        self.shown = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def more(self, seconds):
        """Takes what comes within this time; whether something came."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 4096)
        except OSError:
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)

    def wait_for(self, pattern):
        """Waits until the pattern is shown, and forgets what was shown up to there."""
        end = time.monotonic() + LIMIT
        while not (found := re.search(pattern, self.shown)):
            if time.monotonic() > end or not self.more(end - time.monotonic()):
                raise SystemExit(f"no {pattern!r} in {self.shown[-400:]!r}")
        self.shown = self.shown[found.end():]
        return found[0]

    def end(self):
        """The program's status, when it has ended."""
        while self.more(LIMIT):
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status


def bash():
    t = Terminal("bash", "--norc", "--noprofile", "+o", "emacs")
    t.wait_for(r"\$ $")
    t.type("tty | cut -d/ -f3\n")
    t.wait_for(r"pts\r\n\$ ")
    t.type("sleep 1000\n")
    time.sleep(0.2)
    t.type("\x03")
    t.wait_for(r"\^C\r\n\$ ")
    t.type("echo status $?\n")
    print("Ctrl-C:", t.wait_for(r"status \d+(?=\r)"))
    t.type("sleep 1000\n")
    time.sleep(0.2)
    t.type("\x1a")
    print("Ctrl-Z:", t.wait_for(r"\[1\]\+  Stopped +sleep 1000"))
    t.type("cat\n")
    t.type("line\n")
    t.wait_for(r"line\r\n[^l]*line\r\n")
    t.type("\x1a")
    t.wait_for("Stopped +cat")
    t.type("jobs\n")
    print("jobs:", t.wait_for(r"\[1\]-  Stopped +sleep 1000\r\n\[2\]\+  Stopped +cat").split("\r\n"))
    t.type("bg %1\n")
    print("bg:", t.wait_for(r"\[1\]. sleep 1000 &"))
    t.type("fg %2\n")
    t.wait_for(r"fg %2[^c]*cat\r\n")
    # The name is printed before the job is in the foreground.
    time.sleep(0.3)
    t.type("again\n")
    t.wait_for(r"again\r\n[^g]*again\r\n")
    t.type("\x04")
    t.wait_for(r"\$ $")
    t.type("fg\n")
    t.wait_for(r"fg[^s]*sleep 1000\r\n")
    time.sleep(0.3)
    t.type("\x1c")
    print("Ctrl-\\:", t.wait_for("Quit"))
    t.wait_for(r"\$ $")
    t.type("sleep 1000 & disown; jobs; kill $!; echo gone\n")
    t.wait_for(r"\d+\r\ngone\r\n\$ ")
    t.type("cat & sleep 0.3\n")
    print("background input:", re.sub(" +", " ", t.wait_for(r"\[1\]\+  Stopped +cat")))
    t.type("kill %1; wait %1 2> /dev/null\n")
    t.type("stty size; trap 'stty size' WINCH; echo s''et\n")
    print("size:", t.wait_for(r"24 80"))
    t.wait_for(r"set\r\n\$ $")
    t.resize(30, 100)
    t.type("\n")
    print("new size:", t.wait_for(r"30 100"))
    t.type("exit 7\n")
    print("bash ends with", t.end())


def vim(folder):
    name = os.path.join(folder, "text")
    t = Terminal("vim.tiny", "-u", "NONE", name)
    t.wait_for("New")
    t.type("ifirst line\nsecond\x1b")
    t.wait_for("second")
    t.type("ggA, changed\x1b:wq\n")
    t.wait_for("written")
    print("vim ends with", t.end(), "and wrote", open(name).read().split("\n"))


def less(folder):
    name = os.path.join(folder, "lines")
    with open(name, "w") as file:
        file.writelines(f"line {number}\n" for number in range(1000))
    t = Terminal("less", name, LESSHISTFILE="-")
    t.wait_for("line 22")
    t.type(" ")
    print("less pages to", t.wait_for("line 44"))
    t.type("G")
    print("and to", t.wait_for("line 999"))
    t.type("/line 5$\n")
    t.type("gq")
    print("less ends with", t.end())


def top():
    t = Terminal("top")
    t.wait_for("PID")
    print("top shows", t.wait_for("top"))
    t.type("q")
    print("top ends with", t.end())


def tmux(folder):
    t = Terminal("tmux", "-S", os.path.join(folder, "socket"), "-f", "/dev/null", "new",
                 "bash --norc --noprofile", TERM="screen")
    t.wait_for("0:bash")
    t.type("echo $((6 * 7))\n")
    t.wait_for("42")
    # What comes fast is no key to tmux, but pasted text.
    for key in "\x02\"":
        time.sleep(0.3)
        t.type(key)
    time.sleep(0.3)
    t.type("PS1='> '; clear; stty size\n")
    print("the split window has", t.wait_for(r"11 80"))
    t.type("exit\n")
    time.sleep(0.3)
    t.type("exit\n")
    t.wait_for(r"\[exited\]")
    print("tmux ends with", t.end())


def hang_up():
    t = Terminal("sh", "-c", "trap 'exit 3' HUP; echo ready; while :; do sleep 0.05; done")
    t.wait_for("ready")
    os.close(t.fd)
    status = os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1])
    print("after a hang-up the shell ends with", status)


def sane():
    # A program that has made the terminal raw is killed: the terminal stays raw, for stty to repair.
    t = Terminal("bash", "--norc", "--noprofile", "+o", "emacs")
    t.wait_for(r"\$ $")
    t.type("stty -a | grep -o -e '[-]*icanon'; sh -c 'stty raw -echo; kill -9 $$'\n")
    print("before:", t.wait_for("-?icanon\r\n").strip())
    t.wait_for("Killed")
    t.type("stty -a | grep -o -e '[-]*icanon'\n")
    print("bash has repaired it:", t.wait_for("-?icanon\r\n").strip())
    t.type("exit\n")
    print("bash ends with", t.end())


signal.alarm(100)
with tempfile.TemporaryDirectory() as folder:
    bash()
    vim(folder)
    less(folder)
    top()
    tmux(folder)
hang_up()
sane()
