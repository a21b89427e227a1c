# Runs inside the sandbox when it is set up. Prints each hole it finds, one a line.
import os
import socket
import threading

for name in ("bisect collections copy dataclasses datetime decimal enum fractions functools heapq "
             "itertools json math operator random re statistics string typing").split():
    try:
        __import__(name)
    except ImportError:
        print(f"missing module `{name}`")

visible = set(os.listdir("/")) - set("usr bin sbin lib lib32 lib64 libx32 dev tmp".split())
# The interpreter's own installation may lie anywhere; its folders hold nothing else then.
for name in visible & {"proc", "sys", "etc", "boot", "var"}:
    print(f"it sees `/{name}`")

for folder in ("/", "/usr", "/dev", "/usr/lib"):
    try:
        open(folder + "/trimtab-probe", "w").close()
        print(f"it writes into `{folder}`")
    except OSError:
        pass

for address in (("192.0.2.1", 9), ("8.8.8.8", 53)):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(address)
        print("it has a network")
    except OSError:
        pass

try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
    print("system calls are not filtered")
except PermissionError:
    pass

if os.getuid() == 0 or os.getpid() == 1:
    print("it runs as root or as the first process")

allowed = {"PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "PYTHONHASHSEED", "MALLOC_ARENA_MAX", "PWD"}
for name in set(os.environ) - allowed:
    print(f"it sees the variable `{name}`")

release = threading.Event()
n_threads = 0
try:
    for _ in range(64):
        threading.Thread(target=release.wait, daemon=True).start()
        n_threads += 1
    print("the number of processes is not limited")
except RuntimeError:
    if not n_threads:
        print("not one thread can be started, so this user's processes are counted with it")
release.set()
