"""A program in a pseudo terminal of its own, driven like a person would do it."""

import fcntl, os, pty, re, select, signal, struct, termios, time

# Seconds that anything may take.
LIMIT = 30
# `wine`: programs are shown by Wine's console, which shows it on the terminal. `native`: what they do
# is compared with that.
CONSOLE = os.environ.get("LX_TEST_CONSOLE")
# Wine's console does not see that its terminal has another size.
CAN_RESIZE = CONSOLE is None


class Terminal:
    def __init__(self, *argv, **env):
        self.shown = ""
        self.status = None
        self.fd, slave = pty.openpty()
        # Held open, so that the settings stay with the terminal.
        self.slave = slave
        self.resize(24, 80)
        if CONSOLE == "wine":
            console_like(slave)
        self.before = termios.tcgetattr(slave)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.fd)
            login(slave)
            keep = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "vt100"}
            os.execvpe(argv[0], argv, {**keep, "PS1": "$ ", "LC_ALL": "C", **env})

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        data = text.encode()
        while data:
            _, room, _ = select.select([], [self.fd], [], LIMIT)
            if not room:
                raise SystemExit("nothing can be typed")
            data = data[os.write(self.fd, data[:512]):]
            self.take(0)

    def take(self, seconds):
        """Takes what is shown within this time; whether something was."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        self.shown += os.read(self.fd, 65536).decode(errors="replace")
        if CONSOLE == "wine":
            # It hides and shows its cursor all the time, and moves it instead of printing a space.
            self.shown = re.sub("\x1b\\[\\?25[hl]", "", self.shown)
            self.shown = re.sub("(\x1b\\[K)?\x1b\\[1C", " ", self.shown)
            # One more, where what is written begins with a line feed.
            self.shown = self.shown.replace("\r\r\n", "\r\n")
        return True

    def shows(self, pattern, seconds):
        """Whether the pattern is shown in this time; forgets what was shown up to there."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.shown, re.DOTALL)):
            left = end - time.monotonic()
            if left <= 0 or not self.take(left):
                return False
        self.found = self.shown[:found.end()]
        self.shown = self.shown[found.end():]
        return found[0]

    def wait_for(self, pattern, before=False):
        """What matches the pattern, with all that was shown before it if that is wanted."""
        text = self.shows(pattern, LIMIT)
        if not text:
            self.kill()
            raise SystemExit(f"no {pattern!r} in {self.shown[-600:]!r}")
        return self.found if before else text

    def type_until(self, text, pattern):
        """Types the same again and again until the pattern is shown. What a resize causes comes at
        an instant of its own, before or behind a key that was typed after it."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            self.type(text)
            if found := self.shows(pattern, 0.5):
                return found
        return self.wait_for(pattern)

    def wait(self, condition):
        """Waits until something is true."""
        end = time.monotonic() + LIMIT
        while not condition():
            if time.monotonic() > end:
                return False
            self.take(0.02)
        return True

    def has_ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def end(self):
        """The program's status, when it has ended."""
        if not self.wait(self.has_ended):
            self.kill()
            raise SystemExit(f"it does not end; shown was {self.shown[-600:]!r}")
        return self.status

    def kill(self):
        if not self.has_ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def kill_with(self, number):
        """Sends a signal to the process itself, which may take its children along."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as file:
            self.children = [int(child) for child in file.read().split()]
        os.kill(self.pid, number)

    def settings(self):
        return termios.tcgetattr(self.slave)

    def is_as_before(self):
        return self.settings() == self.before


def console_like(slave):
    """Takes from the terminal what is the guest's business, and Wine's console leaves to it; see
    tests/wine/README.md."""
    settings = termios.tcgetattr(slave)
    settings[1] &= ~termios.OPOST
    settings[6][termios.VQUIT] = settings[6][termios.VSUSP] = b"\0"
    termios.tcsetattr(slave, termios.TCSANOW, settings)


def login(slave):
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    if slave > 2:
        os.close(slave)
