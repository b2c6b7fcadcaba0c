# What a program of an image may ask of its standard library.
import hashlib, json, os, socket, sqlite3, subprocess, sys, tempfile, threading, zlib

print(sys.version_info[:2], sys.argv, os.getcwd(), os.getuid(), sys.executable)
print(json.dumps({"a": [1, 2.5, None]}), zlib.crc32(b"husk"), hashlib.sha256(b"husk").hexdigest())
base = sqlite3.connect(":memory:")
base.execute("create table t (a int)")
base.executemany("insert into t values (?)", [(n,) for n in range(1000)])
print(base.execute("select sum(a), count(*) from t").fetchone())
print(subprocess.run(["/bin/sh", "-c", "echo child; exit 3"], capture_output=True, text=True))

server = socket.create_server(("127.0.0.1", 0))


def serve():
    peer, _ = server.accept()
    with peer:
        peer.sendall(peer.recv(100)[::-1])


thread = threading.Thread(target=serve)
thread.start()
with socket.create_connection(server.getsockname()) as client:
    client.sendall(b"loopback")
    print(client.recv(100))
thread.join()
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "file")
    with open(path, "w") as file:
        file.write("x" * 100000)
    print(os.stat(path).st_size, len(os.listdir(folder)))
print(sorted(name for name in os.environ if name != "HOSTNAME"))
sys.exit(11)
