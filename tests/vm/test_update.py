# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main job: clients' memory through real kernel updates, on systemd 262."""

import json

from workload import (Ticker, ctl, image, newest_record, other, phases, refused, start_scripted,
                      update, wait_normal)

# Executes what follows with a socket as descriptor 5. perl is in every Debian.
SOCKET = ("perl -MSocket -MPOSIX -e 'socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0); "
          "POSIX::dup2(fileno $a, 5); exec @ARGV'")

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


def test_the_bus_starts_the_daemon(machine):
    manager = "org.handover1 /org/handover1 org.handover1.Manager"
    for call in (f"busctl get-property {manager} State", "handoverctl status"):
        machine.sh("systemctl stop handoverd; ! systemctl is-active handoverd")
        assert "normal" in machine.sh(call), call
        machine.sh("systemctl is-active handoverd")


def test_bad_input_changes_nothing(machine):
    machine.wait_up()
    machine.sh("handoverctl session create before")
    before = machine.sh("handoverctl --json sessions; handoverctl --json status")
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
        ("session retrieve before 1 --output /tmp/out", "NotIncoming"),
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
    assert before == machine.sh("handoverctl --json sessions; handoverctl --json status")
    machine.sh("handoverctl session discard before")


def test_bad_input_kernel_without_kho(machine):
    """Debian's own kernel: a good one, of a new enough version, that could take nothing over."""
    kernel = "/usr/lib/handover-test/vmlinuz-without-kho"
    machine.wait_up()
    look = "handoverctl --json sessions; handoverctl --json status; cat /sys/kernel/kexec_loaded"
    machine.sh("handoverctl session create before")
    before = machine.sh(look)
    for arguments in (f"update {kernel}", f"update {kernel} --orderly", f"prepare {kernel}"):
        line = refused(machine, arguments, "KernelIncompatible")
        assert kernel in line and "KEXEC_HANDOVER" in line, line
    assert before == machine.sh(look)
    assert ctl(machine, "history") == []
    machine.sh("handoverctl session discard before")


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
    print(f"      immediate: {phases(entry)}; ticker {now['gap_usec'] / 1000:.0f} ms")


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
    before = ticker.status()
    count = len(ctl(machine, "history"))
    update(machine)
    ticker.check_continued(before)
    machine.sh("handoverctl session retrieve script 7 > /root/back; cmp /root/data /root/back")
    machine.sh("handoverctl session retrieve script 7 > /root/again; cmp /root/data /root/again")
    machine.sh("handoverctl session finish script")
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
