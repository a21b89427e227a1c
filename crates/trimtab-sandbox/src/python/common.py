# What both first processes of a sandbox share.
#
# Only built-in modules, imported by their C names: the start takes milliseconds that way.
import _signal
import posix
import resource
import select
import sys



def read_exactly(fd, n_bytes, read=posix.read):
    chunks = []
    while n_bytes:
        chunk = read(fd, min(n_bytes, 1 << 20))
        if not chunk:
            raise EOFError("the channel to the supervisor was closed")
        chunks.append(chunk)
        n_bytes -= len(chunk)
    return b"".join(chunks)


def write_all(fd, data, write=posix.write):
    view = memoryview(data)
    while view:
        view = view[write(fd, view) :]


def input_file(data):
    """A descriptor that gives `data`, then end of file."""
    if not data:
        return posix.open("/dev/null", posix.O_RDONLY)
    path = "/tmp/.stdin"
    fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL, 0o600)
    write_all(fd, data)
    posix.close(fd)
    fd = posix.open(path, posix.O_RDONLY)
    posix.unlink(path)
    return fd


def confine(cpu_seconds, memory_bytes, n_processes, file_bytes, n_files):
    """Limits of the program and all its descendants; they can only be lowered later."""
    # The supervisor is a process of the same user.
    n_processes += 1
    for limit, soft, hard in (
        # The second above the soft limit is for programs that ignore its signal.
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1),
        # Runtimes that reserve address space by the gigabyte are watched from outside only.
        *([(resource.RLIMIT_AS, memory_bytes, memory_bytes)] if memory_bytes else []),
        (resource.RLIMIT_NPROC, n_processes, n_processes),
        (resource.RLIMIT_FSIZE, file_bytes, file_bytes),
        (resource.RLIMIT_NOFILE, n_files, n_files),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
    ):
        old_hard = resource.getrlimit(limit)[1]
        if old_hard != resource.RLIM_INFINITY:
            soft, hard = min(soft, old_hard), min(hard, old_hard)
        resource.setrlimit(limit, (soft, hard))


def start_as_first():
    """Shuts what was inherited; process 1 ends only by itself."""
    # Process 1 is immune to signals without a handler; Python sets one for this.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    posix.closerange(3, 4096)


def poller_of(ended):
    """Waits for the end of a child, and for the death of the caller.

    Nobody reads the reports any more once the caller is dead. The kernel's signal for the death
    of a parent does not help: bubblewrap has no right to send it to another user's process.
    """
    poller = select.poll()
    poller.register(ended, select.POLLIN)
    poller.register(2, 0)
    return poller


def report(claim, status, usage):
    cpu_ms = int((usage.ru_utime + usage.ru_stime) * 1000)
    posix.write(2, f"@trimtab ended {claim} {status} {usage.ru_maxrss} {cpu_ms}\n".encode())
    posix._exit(0)
