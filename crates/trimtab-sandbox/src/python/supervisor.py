# The first process inside the sandbox. It starts the untrusted program as a child, hands it the
# tests, and is the only one that can report to the outside: descriptor 2 leads there, and the
# child replaces it before its first untrusted instruction. It is process 1 of its namespace, so
# the child can neither kill nor stop it, and everything else dies with it.
HEADER_LEN = 192
NONCE_LEN = 16
SEEK_SET, SEEK_CUR = 0, 1
RUN_TESTS, PASSED, NO_MEMORY, REFUSED = b"T", b"P", b"M", b"R"
# EPERM, EACCES, EROFS, ENETUNREACH, and name resolution without a network.
REFUSALS = (1, 13, 30, 101, -3)


def execute(source, name, scope, sources):
    sources[name] = source
    exec(compile(source, name, "exec", dont_inherit=True), scope)


def describe(error, sources):
    """Prints the traceback with source lines, which exist in no file."""
    try:
        import linecache
        import traceback

        for name, source in sources.items():
            text = source.decode("utf-8", "replace")
            linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        frames = error.__traceback__
        while frames and frames.tb_frame.f_code.co_filename not in sources:
            frames = frames.tb_next
        traceback.print_exception(type(error), error, frames)
    except BaseException:
        posix.write(2, type(error).__name__.encode() + b"\n")


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass  # The program closed or replaced it.


def run_check(solution, to_supervisor, from_supervisor):
    """Runs the solution, then its tests; proves the end with a word read only afterwards."""
    getpid, own_pid, leave, sources = posix.getpid, posix.getpid(), posix._exit, {}
    read, write = posix.read, posix.write
    module = type(sys)("solution")
    sys.modules["solution"] = module
    try:
        execute(solution, "solution.py", module.__dict__, sources)
        if getpid() != own_pid:
            leave(0)  # A child that the solution forked does not run the tests.
        write(to_supervisor, RUN_TESTS)
        n_bytes = int.from_bytes(read_exactly(from_supervisor, 8, read), "little")
        tests = read_exactly(from_supervisor, n_bytes, read)
        execute(tests, "tests.py", module.__dict__, sources)
        if getpid() != own_pid:
            leave(0)
        flush()
        write(to_supervisor, PASSED + read_exactly(from_supervisor, NONCE_LEN, read))
        leave(0)
    except MemoryError as error:
        write(to_supervisor, NO_MEMORY)
        describe(error, sources)
    except OSError as error:
        if error.errno in REFUSALS:
            write(to_supervisor, REFUSED)
        describe(error, sources)
    except SystemExit:
        print("the program ended itself before its tests had run", file=sys.__stderr__)
    except BaseException as error:
        describe(error, sources)
    finally:
        flush()
        leave(1)


def run_script(source, to_supervisor):
    """Runs a whole program as Python would, finalization included."""
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    sources = {}
    try:
        execute(source, "program.py", module.__dict__, sources)
    except SystemExit:
        raise
    except MemoryError as error:
        posix.write(to_supervisor, NO_MEMORY)
        describe(error, sources)
        sys.exit(1)
    except OSError as error:
        if error.errno in REFUSALS:
            posix.write(to_supervisor, REFUSED)
        describe(error, sources)
        sys.exit(1)
    except BaseException as error:
        describe(error, sources)
        sys.exit(1)


def become_program(kind, program, stdin, limits, channels):
    to_supervisor, from_supervisor = channels
    posix.setsid()
    posix.dup2(stdin, 0)
    posix.dup2(1, 2)
    posix.close(stdin)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    confine(*limits)
    import builtins

    # `site` adds these two; programs use them, and nothing else of it.
    builtins.exit = builtins.quit = sys.exit
    sys.path[:] = [entry for entry in sys.path if entry]
    sys.argv[:] = ["program.py"]
    if kind == "check":
        run_check(program, to_supervisor, from_supervisor)
    else:
        run_script(program, to_supervisor)


def answer(message, tests, nonce, to_program):
    """Takes one message of the program; returns what it claims about its end, if anything."""
    if message == RUN_TESTS:
        write_all(to_program, len(tests).to_bytes(8, "little") + tests + nonce)
        return None
    if message == PASSED + nonce:
        return "passed"
    if message == NO_MEMORY:
        return "memory"
    if message == REFUSED:
        return "refused"
    return "forged"


def supervise(child, tests, to_program, from_program):
    nonce = posix.urandom(NONCE_LEN)
    ended = posix.pidfd_open(child)
    poller = poller_of(ended)
    poller.register(from_program, select.POLLIN)
    claims = []
    while True:
        ready = [fd for fd, _ in poller.poll()]
        if 2 in ready:
            posix._exit(1)
        if from_program in ready:
            message = posix.read(from_program, 4096)
            if not message:
                poller.unregister(from_program)
                continue
            try:
                claim = answer(message, tests, nonce, to_program)
            except BrokenPipeError:
                claim = "forged"
            if claim:
                claims.append(claim)
            if claim == "forged":
                # It may now wait for an answer that never comes.
                posix.kill(child, _signal.SIGKILL)
            continue
        if ended in ready:
            _, status, usage = posix.wait4(child, 0)
            return claims, status, usage


def main():
    start_as_first()
    header = read_exactly(0, HEADER_LEN).decode().split()
    kind, numbers = header[0], [int(number) for number in header[1:]]
    n_program, n_tests, n_stdin = numbers[:3]
    program = read_exactly(0, n_program)
    tests_start = posix.lseek(0, 0, SEEK_CUR)
    posix.lseek(0, n_tests, SEEK_CUR)
    stdin = input_file(read_exactly(0, n_stdin))
    from_program, to_supervisor = posix.pipe()
    from_supervisor, to_program = posix.pipe()
    posix.write(2, b"@trimtab ready\n")
    child = posix.fork()
    if child == 0:
        posix.close(from_program)
        posix.close(to_program)
        become_program(kind, program, stdin, numbers[3:], (to_supervisor, from_supervisor))
        return
    posix.close(to_supervisor)
    posix.close(from_supervisor)
    posix.close(1)
    posix.lseek(0, tests_start, SEEK_SET)
    tests = read_exactly(0, n_tests)
    claims, status, usage = supervise(child, tests, to_program, from_program)
    claim = claims[0] if len(claims) == 1 else "forged" if claims else "none"
    report(claim, status, usage)


main()
