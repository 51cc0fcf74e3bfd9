# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs of Debian's that keep their data in preserved memory (docs/workloads.md).

/var, where memcached keeps the places of its items, is mounted after the clients are called.
"""

import early
from workload import image, other, phases, start_scripted, update, wait_normal

MACHINE = {**early.MACHINE, "suite": "forky-vmm"}
KEYS = 20000

# Talks to memcached or Valkey: fills it, or looks whether all is there.
CLIENT = f"""
import hashlib, socket, sys
server, what = sys.argv[1:]
link = socket.socket(socket.AF_UNIX)
link.connect("/run/" + server + "/socket")
stream = link.makefile("rwb")
value = lambda key: hashlib.sha256(key.encode()).hexdigest()
def command(*words):
    stream.write(b"*%d\\r\\n" % len(words))
    for word in words:
        stream.write(b"$%d\\r\\n%s\\r\\n" % (len(word), word.encode()))
for number in range({KEYS}):
    key = "key%d" % number
    if what == "fill":
        if server == "memcached":
            stream.write(b"set %s 0 0 64\\r\\n%s\\r\\n" % (key.encode(), value(key).encode()))
        else:
            command("SET", key, value(key))
    elif server == "memcached":
        stream.write(b"get %s\\r\\n" % key.encode())
    else:
        command("GET", key)
    stream.flush()
    answer = stream.readline()
    if what == "fill":
        assert answer in (b"STORED\\r\\n", b"+OK\\r\\n"), answer
        continue
    assert answer.startswith((b"VALUE", b"$64")), (key, answer)
    assert stream.readline().strip() == value(key).encode(), key
    if server == "memcached":
        assert stream.readline() == b"END\\r\\n"
print("all", {KEYS})
"""

# A structure in a mapped file that is whole at any instant: stopped wherever it is.
MAPPED = """
import hashlib, mmap, os, struct, time
memory = mmap.mmap(3, 0)
def slot(number):
    count, digest = struct.unpack_from("Q32s", memory, number * 4096)
    return count if digest == hashlib.sha256(b"%d" % count).digest() else 0
latest = max(slot(0), slot(1))
with open("/run/mapped", "w") as file:
    print(os.environ["HANDOVER_RESTORED"], latest, file=file)
while True:
    latest += 1
    struct.pack_into("Q32s", memory, latest % 2 * 4096, latest, hashlib.sha256(b"%d" % latest).digest())
    time.sleep(0.005)
"""

# A database that is put into the memory when it is to stand still, between two transactions.
SQLITE = """
import os, signal, sqlite3, struct, time
database = sqlite3.connect(":memory:", isolation_level=None)
restored = os.environ["HANDOVER_RESTORED"] == "1"
if restored:
    length, = struct.unpack("Q", os.pread(3, 8, 0))
    database.deserialize(os.pread(3, length, 8))
else:
    database.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT)")
with open("/run/sqlite", "w") as file:
    print(int(restored), database.execute("PRAGMA integrity_check").fetchone()[0],
          database.execute("SELECT count(*) FROM rows").fetchone()[0], file=file)
stop = []
signal.signal(signal.SIGUSR1, lambda *_: stop.append(1))
while True:
    database.execute("INSERT INTO rows (text) VALUES (hex(randomblob(100)))")
    if stop:
        stop.clear()
        image = database.serialize()
        os.pwrite(3, image, 8)
        os.pwrite(3, struct.pack("Q", len(image)), 0)
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.01)
"""


def start(machine):
    """All of them; a client that can veto is frozen after them."""
    early.make(machine)
    scripts = {"client": CLIENT, "mapped": MAPPED, "sqlite": SQLITE}
    for name, text in scripts.items():
        machine.put(f"/usr/local/lib/{name}.py", text)
    start_scripted(machine, 1)
    programs = "/usr/libexec/handover"
    for name, size, options, command in [
        ("memcached", "64M", "--freeze signal:USR1 --wait-for writable:/var/lib --wait-for writable:/run/memcached",
         f"{programs}/memcached /var/lib/memcached -m 64 -u root -s /run/memcached/socket"),
        ("valkey", "64M", "--freeze signal:USR1",
         f"{programs}/valkey /run/valkey --unixsocket /run/valkey/socket --port 0"),
        ("mapped", "8K", "", "/usr/bin/python3 /usr/local/lib/mapped.py"),
        ("sqlite", "64M", "--freeze signal:USR1", "/usr/bin/python3 /usr/local/lib/sqlite.py"),
    ]:
        machine.put(f"/etc/handover/memfd/{name}.conf",
                    f"SIZE={size}\nOPTIONS=--needs c0 {options}\nCOMMAND={command}\n")
    machine.put("/etc/tmpfiles.d/workloads.conf", "d /run/memcached\nd /run/valkey\n")
    machine.sh("systemd-tmpfiles --create workloads.conf; "
               "systemctl enable --now handover-memfd@{memcached,valkey,mapped,sqlite}", timeout=120)
    for server in ("memcached", "valkey"):
        machine.until(f"python3 /usr/local/lib/client.py {server} fill", timeout=300)


def check_keys(machine):
    for server in ("memcached", "valkey"):
        assert f"all {KEYS}" in machine.until(f"python3 /usr/local/lib/client.py {server} check",
                                              timeout=300)


def test_go_on_after_an_update_that_is_given_up(machine):
    start(machine)
    machine.put("/run/scripted/veto-freeze", "not today")
    code, output = machine.run(f"handoverctl update {image(machine, other(machine))}", timeout=180)
    assert code != 0 and "not today" in output, output
    machine.sh("rm /run/scripted/veto-freeze")
    wait_normal(machine)
    check_keys(machine)


def test_have_their_data_in_the_new_kernel(machine):
    before = {name: machine.sh(f"cat /run/{name}").split() for name in ("mapped", "sqlite")}
    assert before == {"mapped": ["0", "0"], "sqlite": ["0", "ok", "0"]}, before
    entry = update(machine)
    check_keys(machine)
    restored, count = machine.sh("cat /run/mapped").split()
    assert restored == "1" and int(count) > 100, (restored, count)
    restored, integrity, rows = machine.sh("cat /run/sqlite").split()
    assert (restored, integrity) == ("1", "ok") and int(rows) > 100, (restored, integrity, rows)
    print(f"      mapped {count} steps, sqlite {rows} rows; {phases(entry)}")
