# Works for so many seconds on what a snapshot must keep, and checks itself: threads, a child behind pipes, open and deleted
# files, a pending timer, a sleeper, shared memory, sockets. Prints "ready", and at the end its verdict.
import mmap, os, signal, socket, sys, tempfile, threading, time

DURATION = float(sys.argv[1])
failures = []


def check(what, right):
    if not right:
        failures.append(what)


# A child that answers through a pipe: each number with its square.
ask, answer = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    os.close(ask[1])
    os.close(answer[0])
    with os.fdopen(ask[0], "r") as asked, os.fdopen(answer[1], "w") as answers:
        for line in asked:
            answers.write("%d\n" % (int(line) ** 2))
            answers.flush()
    os._exit(7)
os.close(ask[0])
os.close(answer[1])
asked, answers = os.fdopen(ask[1], "w"), os.fdopen(answer[0], "r")

# An open file, and one that has no name any more.
kept = tempfile.NamedTemporaryFile("w+", delete=False)
gone = tempfile.TemporaryFile("w+")
deleted = open("/tmp/deleted", "w+")
os.unlink("/tmp/deleted")

shared = mmap.mmap(-1, 1 << 16)
left, right = socket.socketpair()
listener = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(listener.getsockname())
far, _ = listener.accept()

stop = threading.Event()
counts = [0] * 3


def work(index):
    table = {}
    while not stop.is_set():
        counts[index] += 1
        table[counts[index] % 500] = str(counts[index])
        check("table", table[counts[index] % 500] == str(counts[index]))
        if index == 2:
            time.sleep(0.002)


def sleeper():
    started = time.monotonic()
    time.sleep(DURATION)
    slept.append(time.monotonic() - started)


slept = []
fired = []
signal.signal(signal.SIGALRM, lambda *_: fired.append(time.monotonic()))
started = time.monotonic()
signal.setitimer(signal.ITIMER_REAL, DURATION * 0.9)
threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
threads.append(threading.Thread(target=sleeper))
for thread in threads:
    thread.start()
print("ready", flush=True)

rounds = 0
last = started
while time.monotonic() - started < DURATION:
    rounds += 1
    asked.write("%d\n" % rounds)
    asked.flush()
    check("child", answers.readline() == "%d\n" % (rounds**2))
    for file in (kept, gone, deleted):
        file.write("%08d\n" % rounds)
        file.flush()
        file.seek((rounds - 1) * 9)
        check("file", file.read(9) == "%08d\n" % rounds)
    shared[:8] = b"%08d" % rounds
    check("shared", shared[:8] == b"%08d" % rounds)
    left.send(b"%d" % rounds)
    check("socketpair", right.recv(16) == b"%d" % rounds)
    near.sendall(b"%08d" % rounds)
    check("loopback", far.recv(8, socket.MSG_WAITALL) == b"%08d" % rounds)
    now = time.monotonic()
    check("clock", now >= last)
    last = now
    time.sleep(0.001)

stop.set()
for thread in threads:
    thread.join()
check("timer", len(fired) == 1 and fired[0] - started >= DURATION * 0.9 - 0.001)
check("sleeper", len(slept) == 1 and slept[0] >= DURATION - 0.001)
check("threads", all(count > 10 for count in counts))
check("size", os.fstat(deleted.fileno()).st_size == rounds * 9 and os.fstat(deleted.fileno()).st_nlink == 0)
check("name", os.path.getsize(kept.name) == rounds * 9)
asked.close()
check("end of child", os.waitpid(child, 0) == (child, 7 << 8))
print("ok" if not failures else "failed: %s" % sorted(set(failures)), flush=True)
sys.exit(0 if not failures else 1)
