# The first process inside the sandbox when a program has to be compiled: it writes the sources into
# the private folder, runs one command after another as its children, and reports how the last one
# that ran has ended. Nothing that a command started survives it.
STEP_HEADER_LEN = 32


def records(data):
    """The strings that stand one after another, each behind its length."""
    found, start = [], 0
    while start < len(data):
        end = start + 8 + int.from_bytes(data[start : start + 8], "little")
        found.append(data[start + 8 : end])
        start = end
    return iter(found)


def write_file(name, text):
    path = b"/tmp/" + name
    for idx in [idx for idx, byte in enumerate(path) if byte == ord("/")][2:]:
        try:
            posix.mkdir(path[:idx])
        except FileExistsError:
            pass
    fd = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL, 0o600)
    write_all(fd, text)
    posix.close(fd)


def scratch_file():
    """A file without a name for what a compiler says."""
    path = "/tmp/.said"
    fd = posix.open(path, posix.O_RDWR | posix.O_CREAT | posix.O_EXCL, 0o600)
    posix.unlink(path)
    return fd


def become_command(arguments, environment, limits, stdin, output):
    try:
        posix.setsid()
        posix.dup2(stdin, 0)
        posix.dup2(output, 1)
        posix.dup2(output, 2)
        posix.closerange(3, 4096)
        # Python ignores these two, and ignoring is inherited.
        for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
            _signal.signal(number, _signal.SIG_DFL)
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        confine(*limits)
        posix.execve(arguments[0], arguments, {**posix.environ, **environment})
    except BaseException as error:
        posix.write(2, f"the command did not start: {error}\n".encode())
    finally:
        posix._exit(127)


def end_leftovers():
    """Ends what a command has left behind; only this process stays."""
    if posix.getpid() != 1:
        return
    try:
        posix.kill(-1, _signal.SIGKILL)
        while True:
            posix.waitpid(-1, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def wait_for_end(child):
    poller = poller_of(posix.pidfd_open(child))
    if 2 in [fd for fd, _ in poller.poll()]:
        posix._exit(1)
    _, status, usage = posix.wait4(child, 0)
    end_leftovers()
    return status, usage


def tell_what_was_said(fd, n_bytes):
    posix.lseek(fd, 0, 0)
    write_all(1, posix.read(fd, n_bytes))


def hand_out(folder, word):
    """Writes all files of a folder behind the word, as they can be handed to another sandbox."""
    write_all(1, b"\n@trimtab " + word + b"\n")
    folders = [folder]
    while folders:
        path = folders.pop()
        for name in posix.listdir(path):
            inner = path + b"/" + name
            if posix.stat(inner).st_mode & 0o170000 == 0o040000:
                folders.append(inner)
                continue
            fd = posix.open(inner, posix.O_RDONLY)
            text = read_exactly(fd, posix.fstat(fd).st_size)
            posix.close(fd)
            for record in (inner[len(b"/tmp/") :], text):
                write_all(1, len(record).to_bytes(8, "little") + record)


def read_step(items):
    limits = [int(number) for number in next(items).split()]
    arguments = next(items).split(b"\0")
    pairs = [pair.split(b"=", 1) for pair in next(items).split(b"\0") if pair]
    return arguments, dict(pairs), limits


def main():
    start_as_first()
    numbers = [int(number) for number in read_exactly(0, STEP_HEADER_LEN).split()]
    n_bytes, n_word = numbers
    items = records(read_exactly(0, n_bytes))
    word = read_exactly(0, n_word)
    for _ in range(int(next(items))):
        write_file(next(items), next(items))
    steps = [read_step(items) for _ in range(int(next(items)))]
    folder = next(items)
    nothing = posix.open("/dev/null", posix.O_RDONLY)
    for idx, (arguments, environment, limits) in enumerate(steps):
        is_last = idx + 1 == len(steps)
        # The word that proves success is not there before the last command runs.
        stdin, output = (input_file(word), 1) if is_last else (nothing, scratch_file())
        posix.write(2, b"@trimtab ready\n")
        child = posix.fork()
        if child == 0:
            become_command(arguments, environment, limits, stdin, output)
        if is_last and not folder:
            posix.close(1)
        status, usage = wait_for_end(child)
        if not is_last and status:
            tell_what_was_said(output, 1 << 16)
            break
        if not is_last:
            posix.close(output)
    if folder and not status:
        hand_out(folder, word)
    report("none", status, usage)


main()
