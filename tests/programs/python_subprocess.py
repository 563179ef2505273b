#!/usr/bin/python3
# subprocess: pipes, statuses, environments, time-outs, sessions.

import os, signal, subprocess as s, sys

print(s.run(["echo", "hi"], capture_output=True, text=True).stdout, end="")
print(s.run("echo out; echo err >&2; exit 3", shell=True, capture_output=True))
print(s.run(["cat"], input=b"x" * 200000, stdout=s.PIPE).stdout.count(b"x"))
print(s.check_output(["sort"], input="b\na\n", text=True).split())
try:
    s.run(["false"], check=True)
except s.CalledProcessError as e:
    print("status", e.returncode)
try:
    s.run(["sleep", "5"], timeout=0.1)
except s.TimeoutExpired:
    print("time-out")
for bad in ("/nonexistent/program", "/", "/etc/passwd"):
    try:
        s.run([bad])
    except OSError as e:
        print(type(e).__name__, e.errno)
p = s.Popen(["sleep", "5"])
print(p.poll())
p.terminate()
print(p.wait())
p = s.Popen(["sleep", "5"])
p.kill()
print(p.wait())
p1 = s.Popen(["seq", "1000"], stdout=s.PIPE)
p2 = s.Popen(["tail", "-1"], stdin=p1.stdout, stdout=s.PIPE)
p1.stdout.close()
print(p2.communicate()[0], p1.wait())
print(s.run(["env"], env={"ONLY": "this"}, capture_output=True, text=True).stdout, end="")
print(s.run(["pwd"], cwd="/", capture_output=True, text=True).stdout, end="")
print(s.run(["sh", "-c", "ps=$(cut -d' ' -f6 /proc/$$/stat); [ $ps = $$ ] && echo own session"], start_new_session=True, capture_output=True, text=True).stdout, end="")
r, w = os.pipe()
p = s.Popen(["sh", "-c", f"echo passed >&{w}"], pass_fds=(w,))
os.close(w)
print(os.read(r, 100))
p.wait()
os.close(r)
print(s.run(["sh", "-c", "kill -SEGV $$"], preexec_fn=lambda: __import__("resource").setrlimit(4, (0, 0))).returncode, -signal.SIGSEGV)
print(s.getoutput("echo get; exit 1"), s.getstatusoutput("exit 4"))
p = s.Popen(["cat"], stdin=s.PIPE, stdout=s.PIPE, bufsize=0)
for i in range(5):
    p.stdin.write(b"%d\n" % i)
    print(p.stdout.read(2))
p.stdin.close()
print(p.wait())
print([p.wait() for p in [s.Popen(["sh", "-c", f"exit {i}"]) for i in range(20)]])
out, err = s.Popen(["sh", "-c", "seq 20000; seq 20000 >&2"], stdout=s.PIPE, stderr=s.PIPE).communicate()
print(len(out), len(err))
print(s.run([sys.executable, "-c", "import sys; print(sys.argv)", "a b", "", "ü"], capture_output=True, text=True).stdout, end="")
print(os.system("exit 5") >> 8, os.popen("echo popen").read(), end="")
print(s.run(["true"], stdin=s.DEVNULL, stdout=s.DEVNULL, stderr=s.STDOUT).returncode)
