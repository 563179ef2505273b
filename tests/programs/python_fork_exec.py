#!/usr/bin/python3
# os.fork, os.exec*, os.wait*, posix_spawn, pipes and dup2.

import os, sys, signal, time


def child(f):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            code = f() or 0
        except OSError as e:
            code = 100 + e.errno
        sys.stdout.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


print(child(lambda: 7), child(lambda: os.kill(os.getpid(), 9)), child(lambda: os.execv("/bin/false", ["false"])), child(lambda: os.execvp("sh", ["sh", "-c", "exit 12"])), child(lambda: os.execve("/usr/bin/env", ["env"], {"E": "xec"})), child(lambda: os.execv("/nonexistent", ["x"])), child(lambda: os.execv("/", ["x"])), child(lambda: os.execv("/etc/passwd", ["x"])))
print(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", "exit 5"], os.environ), 0)[1]))
r, w = os.pipe()
pid = os.posix_spawn("/bin/echo", ["echo", "spawned"], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, w, 1), (os.POSIX_SPAWN_CLOSE, r)])
os.close(w)
print(os.read(r, 100))
os.waitpid(pid, 0)
try:
    os.posix_spawn("/nonexistent", ["x"], {})
except FileNotFoundError:
    print("spawn: ENOENT")
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "sleep 5"], os.environ, setsigdef=[signal.SIGPIPE], setpgroup=0)
print(os.getpgid(pid) == pid)
os.killpg(pid, signal.SIGTERM)
print(os.WTERMSIG(os.waitpid(pid, 0)[1]))


def redirected():
    fd = os.open("/dev/null", os.O_WRONLY)
    os.dup2(fd, 1)
    os.execvp("echo", ["echo", "unseen"])


print(child(redirected))
kids = [os.fork() or os._exit(i) for i in range(1, 31)]
print(sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in kids))
try:
    os.wait()
except ChildProcessError:
    print("ECHILD")
pid = os.fork() or (time.sleep(0.1), os._exit(4))
print(os.waitpid(pid, os.WNOHANG))
i = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(i.si_status, i.si_code == os.CLD_EXITED, i.si_pid == pid)
p, st, ru = os.wait4(pid, 0)
print(os.WEXITSTATUS(st), ru.ru_utime >= 0)
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    if os.fork() == 0:
        time.sleep(0.1)
        os.write(w, b"%d" % (os.getppid() != pid))
        os._exit(0)
    os._exit(0)
os.waitpid(pid, 0)
print("orphan adopted:", os.read(r, 10))
print(os.get_inheritable(r))
fd = os.open("/etc/passwd", os.O_RDONLY)
print(child(lambda: os.execvp("sh", ["sh", "-c", f"test -e /proc/self/fd/{fd}"])))
os.set_inheritable(fd, True)
print(child(lambda: os.execvp("sh", ["sh", "-c", f"test -e /proc/self/fd/{fd}"])))
print(os.getsid(0) > 0 or os.getsid(0) == 0, os.getpgrp() == os.getpgid(0), os.getppid() != os.getpid())
print(child(lambda: os.setsid() and 1 or os.getsid(0) != os.getpid()))
memo = {"a": 1}
print(child(lambda: memo.update(a=2)), memo)
pidfd = os.pidfd_open(pid := os.fork() or os._exit(6))
print(os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_status)
