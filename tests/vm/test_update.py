# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main job: clients' memory through real kernel updates, on systemd 262."""

import json

from initramfs import initramfs
from workload import (Ticker, cgroup_of, check_confinement, configure, ctl, events, image, memory_of,
                      newest_record, other, phases, refused, start_scripted, started_beside, update,
                      wait_normal)

MACHINE = {"dead_disk": True}

# Executes what follows with a socket as descriptor 5. perl is in every Debian.
SOCKET = ("perl -MSocket -MPOSIX -e 'socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0); "
          "POSIX::dup2(fileno $a, 5); exec @ARGV'")

# MESSAGE_ID of events (docs/journal.md).
UPDATE_FINISHED = "a9f4829fb51e4dd280450b4e40526dd4"
CONFIGURATION_UNUSABLE = "e588a62ad85c476db71c1b32584e7666"

CONFIGURATION = "/etc/handover/handoverd.json"
MIB = 1 << 20

_kept = {}


def ticker_of(machine):
    """The ticker that runs through all tests of this file; a new one on a new machine."""
    machine.wait_up()
    if _kept.get("machine") is not machine:
        _kept.update(machine=machine, ticker=Ticker.start(machine), scripted=False)
    return _kept["ticker"]


def test_daemon_runs_on_luo(machine):
    machine.wait_up()
    status = ctl(machine, "status")
    assert status["backend"] == "luo", status
    assert status["state"] == "normal", status
    assert status["generation"] == 0, status
    assert machine.sh("systemctl --failed --no-legend --plain") == ""


def test_the_unit_is_confined(machine):
    machine.wait_up()
    check_confinement(machine)


def test_daemon_that_fails_backs_off(machine):
    machine.wait_up()
    fragment = "/run/systemd/system/handoverd.service.d/fails.conf"
    machine.put(fragment, "[Service]\nExecStart=\nExecStart=/bin/false\n")
    machine.sh("systemctl daemon-reload; systemctl restart handoverd || true")
    machine.until("test $(systemctl show -P NRestarts handoverd) -ge 2")
    before, after = map(int, machine.sh("systemctl show -P NRestarts handoverd; sleep 5; "
                                        "systemctl show -P NRestarts handoverd").split())
    # Every 50 ms would be a hundred.
    assert after - before <= 20, (before, after)
    machine.sh(f"rm {fragment}; systemctl daemon-reload; systemctl restart handoverd")
    wait_normal(machine)
    assert machine.sh("systemctl show -P NRestarts handoverd") == "0"


def test_the_bus_starts_the_daemon(machine):
    manager = "org.handover1 /org/handover1 org.handover1.Manager"
    for call in (f"busctl get-property {manager} State", "handoverctl status"):
        machine.sh("systemctl stop handoverd; ! systemctl is-active handoverd")
        assert "normal" in machine.sh(call), call
        machine.sh("systemctl is-active handoverd")


def standing(machine):
    """What a call that is refused must leave as it was; of what the daemon counts, what is held now."""
    status = ctl(machine, "status")
    status["statistics"] = {name: value for name, value in status["statistics"].items()
                            if name.startswith("charged-") or name in ("accounts", "fd-store-used")}
    assert len(status["statistics"]) == 7, status
    return ctl(machine, "sessions"), status, machine.sh("cat /sys/kernel/kexec_loaded")


def test_bad_input_changes_nothing(machine):
    machine.wait_up()
    machine.sh("handoverctl session create before")
    before = standing(machine)
    machine.put("/tmp/text", "no kernel\n" * 1000)
    cases = [
        ("update /boot/missing", "KernelNotFound"),
        ("update /tmp/text", "NotAKernel"),
        ("session create x --backend nonsense", "NoSuchBackend"),
        ("session create ''", "InvalidName"),
        (f"session create {'n' * 64}", "InvalidName"),
        ("session create a/b", "InvalidName"),
        ("session create systemd", "InvalidName"),
        ("session create before", "NameTaken"),
        ("session retrieve nothing 1 --output /tmp/out", "NoSuchSession"),
        ("session retrieve before 1 --output /tmp/out", "NoSuchToken"),
        ("session finish before", "NotIncoming"),
        ("session unpreserve before 9", "NoSuchToken"),
        ("cancel", "NothingToCancel"),
    ]
    for arguments, name in cases:
        refused(machine, arguments, name)
    # Descriptors that LUO refuses: a socket; a pipe, a regular file, a directory, a device, hugetlb.
    refused(machine, "session preserve before 1 --fd 5 --backend luo", "Unsupported", under=SOCKET)
    machine.sh("echo 2 > /proc/sys/vm/nr_hugepages; mount -t hugetlbfs none /mnt; "
               "fallocate -l 2M /mnt/huge")
    for descriptor in ("< <(sleep 1)", "< /etc/machine-id", "< /etc", "<> /dev/null", "<> /mnt/huge"):
        refused(machine, f"session preserve before 1 --fd 5 --backend luo 5{descriptor}",
                "Unsupported")
    machine.sh("umount /mnt; echo 0 > /proc/sys/vm/nr_hugepages")
    assert standing(machine) == before
    machine.sh("handoverctl session discard before")


def test_bad_input_kernel_without_kho(machine):
    """Debian's own kernel: a good one, of a new enough version, that could take nothing over."""
    kernel = "/usr/lib/handover-test/vmlinuz-without-kho"
    machine.wait_up()
    machine.sh("handoverctl session create before")
    before = standing(machine)
    for arguments in (f"update {kernel}", f"update {kernel} --orderly", f"prepare {kernel}"):
        line = refused(machine, arguments, "KernelIncompatible")
        assert kernel in line and "KEXEC_HANDOVER" in line, line
    assert standing(machine) == before
    assert ctl(machine, "history") == []
    machine.sh("handoverctl session discard before")


def test_preflight_tells_what_would_end_an_update(machine):
    """An initrd that a full disk left empty, a command line that the kernel would cut, and a lock of
    logind's: refused before anybody is asked, and seen by preflight as well."""
    machine.wait_up()
    machine.sh("handoverctl session create before")
    before = standing(machine)
    target = image(machine, other(machine))
    initrd = f"/boot/initrd.img-{machine.release(other(machine))}"
    machine.sh(f"test ! -e {initrd} && : > {initrd}")
    assert initrd in refused(machine, f"prepare {target}", "KernelNotFound")
    code, output = machine.run(f"handoverctl --json preflight {target}")
    assert code == 6 and "initrd-empty" in output, (code, output)
    machine.sh(f"rm {initrd}")
    long = '--cmdline "$(cat /proc/cmdline) x=$(head -c 2100 /dev/zero | tr \'\\0\' a)"'
    refused(machine, f"prepare {target} {long}", "KernelIncompatible")
    code, output = machine.run(f"handoverctl --json preflight {target} {long}")
    assert code == 6 and "cmdline-too-long" in output, (code, output)
    # Somebody who must not be cut off says so to logind.
    machine.sh("systemd-run --quiet --unit=nightly systemd-inhibit --what=shutdown --who=backup "
               "--why=nightly --mode=block sleep infinity")
    machine.until("systemd-inhibit --list --no-legend | grep -q backup")
    assert "backup" in refused(machine, f"prepare {target}", "Busy")
    machine.sh("systemctl stop nightly")
    code, output = machine.run(f"handoverctl --json preflight {target}")
    assert code in (0, 1) and "inhibited" not in output, (code, output)
    print("      " + ", ".join(finding["id"] for finding in json.loads(output)["findings"]))
    assert standing(machine) == before
    machine.sh("handoverctl session discard before")


def test_boot_is_mounted_when_somebody_looks(machine):
    """/boot is an automount that nobody has looked into: the daemon's look mounts it."""
    machine.wait_up()
    target = image(machine, other(machine))
    machine.sh("cp -a /boot /var/boot")
    units = "/run/systemd/system"
    machine.put(f"{units}/boot.mount",
                "[Mount]\nWhat=/var/boot\nWhere=/boot\nType=none\nOptions=bind\n")
    machine.put(f"{units}/boot.automount", "[Automount]\nWhere=/boot\n")
    machine.sh("systemctl daemon-reload; systemctl start boot.automount")
    assert machine.sh("systemctl is-active boot.mount || true") == "inactive"
    code, output = machine.run(f"handoverctl --json preflight {target}")
    assert code in (0, 1), (code, output)
    assert machine.sh("systemctl is-active boot.mount") == "active"
    machine.sh(f"systemctl stop boot.automount boot.mount; rm {units}/boot.*mount; "
               "systemctl daemon-reload; rm -r /var/boot")


def test_initrd_that_asks_a_person_is_told(machine):
    """The crypttab that the target's initrd has, as cryptsetup-initramfs and dracut put it there. No
    dm-crypt in these kernels: it is the initrd that is looked into, whatever is open now."""
    machine.wait_up()
    target = image(machine, other(machine))
    found = {}
    for file, options in (("cryptroot/crypttab", b"luks,initramfs"),
                          ("etc/crypttab", b"luks,fido2-device=auto"),
                          ("etc/crypttab", b"luks,tpm2-device=auto")):
        line = b"luks-root UUID=0b7ef4a5-5b1c-4a5e-9c3f-000000000001 none " + options + b"\n"
        machine.put("/root/initrd", initramfs(b"\x7fELF", {file: line}))
        code, output = machine.run(f"handoverctl --json preflight {target} --initrd /root/initrd")
        assert code in (0, 1), (code, output)
        found[options] = [finding["message"] for finding in json.loads(output)["findings"]
                          if finding["id"] == "volume-locked"]
    assert "its key" in found[b"luks,initramfs"][0], found
    assert "touch a security key" in found[b"luks,fido2-device=auto"][0], found
    assert found[b"luks,tpm2-device=auto"] == [], found
    machine.sh("rm /root/initrd")


def test_initrd_by_the_name_of_fedora(machine):
    """It is found and booted; and a kernel that came with one does not go into one without."""
    ticker = ticker_of(machine)
    before = ticker.status()
    which = other(machine)
    initrd = f"/boot/initramfs-{machine.release(which)}.img"
    machine.put(initrd, initramfs(machine.get("/usr/lib/handover-test/initrd-init")))
    update(machine, which)
    assert "Run /init as init process" in machine.sh("dmesg")
    now = ticker.check_continued(before)
    target = image(machine, other(machine))
    standing_before = standing(machine)
    assert "--initrd ''" in refused(machine, f"update {target}", "KernelNotFound")
    code, output = machine.run(f"handoverctl --json preflight {target}")
    assert code == 6 and "initrd-missing" in output, (code, output)
    assert standing(machine) == standing_before
    # The driver of this machine's disk is built in.
    update(machine, None, "--initrd ''")
    ticker.check_continued(now)
    machine.sh(f"rm {initrd}")


def test_immediate(machine):
    ticker = ticker_of(machine)
    before = ticker.status()
    boot_id = machine.boots[-1][0]
    entry = update(machine, "to")
    assert machine.boots[-1][0] != boot_id
    now = ticker.check_continued(before)
    assert now["first_release"] == machine.release("from")
    assert now["release"] == machine.release("to")
    assert entry["from_release"] == machine.release("from")
    assert entry["mode"] == "immediate"
    machine.wait_up()
    beside = started_beside(machine, ["handover-memfd@ticker.service"])
    assert not beside, beside
    print(f"      immediate: {phases(entry)}; ticker {now['gap_usec'] / 1000:.0f} ms")


def test_the_journal_tells_of_the_update(machine):
    """MESSAGE_ID, fields and the catalog's text; and the state in `systemctl status`."""
    ticker_of(machine)
    if not ctl(machine, "history"):
        update(machine)
    machine.wait_up()
    entry = newest_record(machine)
    told = events(machine, UPDATE_FINISHED)[-1]
    assert told["UPDATE"] == str(entry["id"]) and told["CODE"] == entry["outcome"], (told, entry)
    assert int(told["USEC"]) == entry["blackout_usec"], (told, entry)
    text = machine.sh(f"journalctl -b -x --no-pager MESSAGE_ID={UPDATE_FINISHED}")
    assert "Subject:" in text and "handoverctl history" in text and "@" not in text, text
    assert "normal" in machine.sh("systemctl show -P StatusText handoverd").lower()


def test_orderly(machine):
    ticker = ticker_of(machine)
    before = ticker.status()
    entry = update(machine, None, "--orderly")
    ticker.check_continued(before)
    assert entry["mode"] == "orderly"
    print(f"      orderly: {phases(entry)}")


def test_third_in_a_row_with_scripted_session(machine):
    """Also a session made only with busctl and handoverctl: no client of its own."""
    ticker = ticker_of(machine)
    manager = "org.handover1 /org/handover1 org.handover1.Manager"
    machine.sh(f"busctl call {manager} CreateSession 'sa{{sv}}' 'by busctl' 0")
    path = machine.sh(f"busctl call {manager} GetSession s 'by busctl'").split('"')[1]
    machine.sh(f"busctl call org.handover1 {path} org.handover1.Session PreserveBlob tay 1 3 1 2 3")
    machine.sh("head -c 3000000 /dev/urandom > /root/data; handoverctl session create script")
    machine.sh("handoverctl session preserve script 7 --stdin < /root/data")
    # And one whose owner preserves in LUO's session by himself: the daemon never makes it anew.
    machine.sh("/usr/lib/handover-test/luo-owner keep 'by ioctl' 3 'of its owner'; "
               "handoverctl session preserve 'by ioctl' 4 --stdin < /root/data")
    refused(machine, "session unpreserve 'by ioctl' 4", "NotSupported")
    machine.sh("systemctl restart handoverd")
    wait_normal(machine)
    refused(machine, "session unpreserve 'by ioctl' 4", "NotSupported")
    before = ticker.status()
    count = len(ctl(machine, "history"))
    update(machine)
    ticker.check_continued(before)
    machine.sh("handoverctl session retrieve script 7 > /root/back; cmp /root/data /root/back")
    machine.sh("handoverctl session retrieve script 7 > /root/again; cmp /root/data /root/again")
    machine.sh("handoverctl session finish script")
    machine.sh("handoverctl session retrieve 'by ioctl' 4 > /root/back; cmp /root/data /root/back")
    assert machine.sh("/usr/lib/handover-test/luo-owner take 'by ioctl' 3") == "of its owner"
    blob = machine.sh("handoverctl session retrieve 'by busctl' 1 | od -An -tu1")
    assert blob.split() == ["1", "2", "3"], blob
    # What is not finished is in the next update's way, and named.
    code, output = machine.run(f"handoverctl update {image(machine, 'to')}")
    assert code != 0 and "by busctl" in output, output
    machine.sh("handoverctl session finish 'by busctl'")
    # What was refused before any client was asked is no update to remember.
    assert len(ctl(machine, "history")) == count + 1


def test_wrong_user_retrieves_nothing(machine):
    machine.wait_up()
    machine.sh("useradd --system alice 2>/dev/null || true")
    machine.sh("handoverctl session create private")
    machine.sh("echo secret | handoverctl session preserve private 1 --stdin")
    update(machine)
    machine.wait_up()  # alice has only the system bus, which comes later than the private socket
    before = machine.sh("handoverctl --json sessions private")
    alice = "setpriv --reuid=alice --regid=alice --clear-groups handoverctl"
    code, output = machine.run(f"{alice} session retrieve private 1")
    assert code == 4, (code, output)
    assert "secret" not in output and len(output.strip().splitlines()) == 1, output
    code, output = machine.run(f"{alice} --json session retrieve private 1 --output /tmp/x")
    assert code == 4 and "AccessDenied" in output, (code, output)
    assert before == machine.sh("handoverctl --json sessions private")
    assert machine.sh("handoverctl session retrieve private 1") == "secret"
    machine.sh("handoverctl session finish private")


def twenty_clients(machine):
    if not _kept["scripted"]:
        start_scripted(machine, 20, descriptors=3, kib=256)
        _kept["scripted"] = True


def calls(machine, call):
    lines = machine.sh("cat /run/scripted/log").splitlines()
    return [int(line.split(" c")[1]) for line in lines if line.startswith(call + " ")]


def assert_dependencies_first(order, count):
    place = {client: position for position, client in enumerate(order)}
    assert sorted(order) == list(range(count)), order
    for client in range(1, count):
        need = 0 if client == 1 else client // 2
        assert place[need] < place[client], (need, client, order)


def test_twenty_clients(machine):
    ticker = ticker_of(machine)
    twenty_clients(machine)
    before = ticker.status()
    # The log of the calls before the kexec goes to a file system that is there after it.
    machine.sh("(tail -F -n +1 /run/scripted/log > /root/calls 2>/dev/null &)")
    entry = update(machine, None, "--orderly")
    ticker.check_continued(before)
    old = [line.split(" c") for line in machine.sh("cat /root/calls").splitlines()]
    assert_dependencies_first([int(c) for call, c in old if call == "prepare"], 20)
    assert_dependencies_first([int(c) for call, c in old if call == "freeze"][::-1], 20)
    assert_dependencies_first(calls(machine, "restore"), 20)
    machine.sh("test ! -e /run/scripted/bad || { cat /run/scripted/bad; false; }")
    assert set(entry["timeline"]["clients"]) == {f"c{i}" for i in range(20)} | {"ticker"}, entry


def refused_update(machine, trouble, why, culprit):
    """An update that a client stops: everybody runs on, the machine as well."""
    boot_id = machine.sh("cat /proc/sys/kernel/random/boot_id")
    ticker = ticker_of(machine)
    twenty_clients(machine)
    machine.put(f"/run/scripted/{trouble}", why)
    machine.sh("truncate --size=0 /run/scripted/log")
    before = ticker.status()
    code, output = machine.run(f"handoverctl update {image(machine, other(machine))}", timeout=120)
    assert code != 0, output
    assert why in output and culprit in output, output
    assert boot_id == machine.sh("cat /proc/sys/kernel/random/boot_id")
    wait_normal(machine)
    machine.sh("sleep 1")
    now = ticker.status()
    assert now["counter"] > before["counter"] and now["starts"] == before["starts"], (before, now)
    assert newest_record(machine)["outcome"] == "failed"
    assert machine.sh("cat /sys/kernel/kexec_loaded") == "0"
    machine.sh(f"rm /run/scripted/{trouble}")


def test_veto_while_preparing(machine):
    refused_update(machine, "veto-prepare", "the tape is still turning", "c19")
    assert calls(machine, "freeze") == []
    assert set(calls(machine, "cancel")) >= set(calls(machine, "prepare")) - {19}


def test_veto_while_freezing(machine):
    refused_update(machine, "veto-freeze", "cannot stand still", "c19")
    assert set(calls(machine, "thaw")) >= set(calls(machine, "freeze")) - {19}


def test_client_that_never_answers(machine):
    refused_update(machine, "ignore-freeze", "time limit", "c19")


def test_stopped_daemon_thaws_everybody(machine):
    """systemctl restart while one client does not answer Freeze and others are frozen."""
    ticker = ticker_of(machine)
    twenty_clients(machine)
    # However slow this machine is, the daemon is stopped before the client's time is over.
    configuration = configure(machine, clients={"c19": {"freeze_timeout": "2min"}}, freeze_budget="5min")
    machine.until("test $(handoverctl --json clients | grep -c '\"name\"') -eq 21")
    machine.put("/run/scripted/ignore-freeze", "")
    machine.sh("truncate --size=0 /run/scripted/log")
    machine.put(CONFIGURATION, configuration)
    before = ticker.status()
    running = machine.start(f"handoverctl update {image(machine, other(machine))}")
    # c19 is a leaf, as c18 is: both are asked in the first wave.
    machine.until("grep -q 'freeze c19' /run/scripted/log && grep -q 'freeze c18' /run/scripted/log",
                  timeout=120)
    machine.sh("systemctl restart handoverd", timeout=90)
    machine.sh("rm /run/scripted/ignore-freeze")
    code, output = running.wait()
    assert code != 0, output
    wait_normal(machine)
    assert set(calls(machine, "thaw")) >= set(calls(machine, "freeze")) - {19}
    machine.sh("sleep 1")
    now = ticker.status()
    assert now["counter"] > before["counter"] and now["starts"] == before["starts"], (before, now)
    assert newest_record(machine)["outcome"] == "cancelled"
    assert machine.sh("cat /sys/kernel/kexec_loaded") == "0"
    machine.until("test $(handoverctl --json clients | grep -c '\"name\"') -eq 21")


def test_killed_daemon_loses_nothing(machine):
    """kill -9 between updates: the sessions wait in systemd's fd store."""
    ticker = ticker_of(machine)
    twenty_clients(machine)
    before = ctl(machine, "sessions")
    assert len(before) == 21, before
    machine.sh("systemctl kill --signal=KILL handoverd")
    machine.until("systemctl is-active handoverd && handoverctl status")
    assert ctl(machine, "sessions") == before
    # Clients registered again by themselves.
    machine.until("test $(handoverctl --json clients | grep -c '\"name\"') -eq 21")
    counted = ticker.status()
    update(machine)
    ticker.check_continued(counted)
    machine.sh("test ! -e /run/scripted/bad || { cat /run/scripted/bad; false; }")


# More than the daemon itself may have: what LUO allocates must be charged to the client.
BIG, BIG_LIMIT, DAEMON_LIMIT = 768 * MIB, 1024 * MIB, 256 * MIB


def update_of_a_big_client(machine):
    """An update with a client that has more memory than handoverd.service may have, and with a
    configuration that is empty in the new kernel. The client's cgroup belongs to another user. Once
    for the tests that look at it."""
    if _kept.get("big") is machine:
        return
    ticker_of(machine)
    machine.sh("useradd --system bob")
    # Delegate= with User= gives bob the cgroup. "+": root all the same, whom polkit lets register.
    command = machine.sh("sed -n s/^ExecStart=//p /usr/lib/systemd/system/handover-memfd@.service")
    machine.put("/etc/systemd/system/handover-memfd@big.service.d/bobs.conf",
                f"[Service]\nUser=bob\nExecStart=\nExecStart=+{command}\n")
    machine.sh(f"systemctl daemon-reload; systemctl set-property handoverd.service MemoryMax={DAEMON_LIMIT}; "
               f"systemctl set-property handover-memfd@big.service MemoryMax={BIG_LIMIT}")
    big = Ticker.start(machine, "big", BIG // MIB, usec=100_000)
    before = big.wait_verified()
    _kept.update(big=machine, before=(memory_of(machine, "handover-memfd@big.service"),
                                      memory_of(machine, "handoverd.service")))
    machine.sh(f"cp {CONFIGURATION} /root/configuration; truncate --size=0 {CONFIGURATION}")
    _kept["entry"] = update(machine)
    big.check_continued(before)
    _kept["after"] = (memory_of(machine, "handover-memfd@big.service"),
                      memory_of(machine, "handoverd.service"))
    assert machine.sh(f"stat -c %U {cgroup_of(machine, 'handover-memfd@big.service')}") == "bob"


def test_memory_is_charged_to_its_owner(machine):
    update_of_a_big_client(machine)
    for client, daemon in (_kept["before"], _kept["after"]):
        print(f"      client {client // MIB} MiB, daemon {daemon // MIB} MiB")
        assert client >= BIG, _kept
        assert daemon < 64 * MIB, _kept


def test_configuration_lost_in_the_kexec(machine):
    """The daemon goes on with the one that the update was prepared with, and says so."""
    update_of_a_big_client(machine)
    assert _kept["entry"]["outcome"] == "done", _kept["entry"]
    machine.wait_up()
    assert machine.sh("systemctl show -P NRestarts handoverd") == "0"
    told = events(machine, CONFIGURATION_UNUSABLE)
    assert told and CONFIGURATION in told[-1]["MESSAGE"], told
    status = "systemctl show -P StatusText handoverd"
    assert "configuration file cannot be used" in machine.sh(status)
    # The daemon looks at it again by itself.
    machine.sh(f"cp /root/configuration {CONFIGURATION}")
    machine.until(f"! {status} | grep -q 'configuration file'")
    machine.sh("systemctl restart handoverd")
    wait_normal(machine)
    # Everybody is there again, and the memory too.
    machine.until("handoverctl --json clients | grep -q '\"big\"'")
    machine.sh("systemctl disable --now handover-memfd@big; "
               "systemctl set-property handoverd.service MemoryMax=infinity", timeout=60)


def test_kexec_that_nobody_announced(machine):
    """systemctl kexec behind our back: the sessions that are there come all the same."""
    ticker_of(machine)
    twenty_clients(machine)
    # The clients preserve what is not preserved yet when they are asked to prepare.
    machine.sh(f"handoverctl prepare {image(machine, other(machine))} && handoverctl cancel")
    assert len(ctl(machine, "sessions")) == 21
    machine.load(other(machine))
    machine.kexec("systemctl kexec", timeout=240)
    wait_normal(machine)
    entry = newest_record(machine)
    assert entry["mode"] == "external" and entry["outcome"] == "done", entry
    machine.until("test $(wc -l < /run/scripted/log) -ge 20")
    assert_dependencies_first(calls(machine, "restore"), 20)
    machine.sh("test ! -e /run/scripted/bad || { cat /run/scripted/bad; false; }")
    # handover-memfd ends its session when its unit is stopped (docs/limits.md): a new ticker.
    _kept.clear()


def test_sync_of_a_dead_disk_holds_nobody_up(machine):
    """It stays in handoverd.service's cgroup, and nothing can end it. The last test of this file: no
    sync(2) ends in this machine any more."""
    ticker_of(machine)
    machine.sh("mount /dev/vdb /mnt && head -c 32M /dev/zero > /mnt/zeros")
    refused_update(machine, "veto-freeze", "cannot stand still", "c19")
    # D, for "disk sleep", in the third field (proc(5)).
    hangs = (f"for pid in $(cat {cgroup_of(machine, 'handoverd.service')}/cgroup.procs); do "
             "cat /proc/$pid/stat; done | grep -q '(handoverd[^)]*) D '")
    machine.sh(hangs)
    for end in ("restart", "kill --signal=KILL"):
        before = machine.sh("systemctl show -P MainPID handoverd")
        machine.sh(f"systemctl {end} handoverd", timeout=60)
        machine.until("pid=$(systemctl show -P MainPID handoverd); "
                      f"test $pid -ne 0 -a $pid -ne {before}", timeout=60)
        wait_normal(machine, timeout=60)
        machine.sh(hangs)
