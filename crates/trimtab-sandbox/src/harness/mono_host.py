# Runs Mono on a thread of its own: it asks where its stack lies, and without `/proc` the C library
# knows that of every thread but a process's first.
import ctypes
import sys
import threading

mono = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
words = [word.encode() for word in sys.argv[2:]]
argv = (ctypes.c_char_p * (len(words) + 1))(*words, None)
status = []
threading.stack_size(8 << 20)
thread = threading.Thread(target=lambda: status.append(mono.mono_main(len(words), argv)))
thread.start()
thread.join()
sys.exit(status[0] if status else 1)
