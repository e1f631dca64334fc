"""The authn processes: one beside each worker with its runners, started again whatever kills them, and gone with it."""

import os
import signal
import threading
from pathlib import Path

import pytest

from harness.client import Client
from harness.postern import parent, title
from harness.process import until

BODY = b"Message-ID: <authn@client.example>\r\nSubject: authn\r\n\r\nbody\r\n"


def exists(pid):
    """A process that has ended and was not waited for yet does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def runners(pid):
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and parent(int(p.name)) == pid and exists(p.name)]


def family(p, count):
    """{authn: its runners}, once there are `count`, each with at least one, that each worker is linked to."""
    def there():
        all_of_them = {pid: runners(pid) for pid in p.pids("authn")}
        return all_of_them if len(all_of_them) == count and all(all_of_them.values()) else None
    return until(there, f"{count} authn processes with runners; now {p.pids('')}")


def counters(p):
    return [w["status"]["authn"] for w in p.status()["workers"] if w["answered"] and w["status"]]


def all_linked(p, count):
    def linked():
        seen = counters(p)
        return len(seen) == count and all(c["linked"] and c["runners"] for c in seen)
    until(linked, "all workers linked to their authn processes")


def gone(*pids):
    until(lambda: not any(map(exists, pids)), f"the end of {pids}")


def deliver(p, backend):
    before = sum(backend.count().values())
    with Client(p.port) as c:
        c.ehlo()
        c.envelope()
        assert c.command("DATA")[0] == 354
        c.send(BODY + b".\r\n")
        assert c.reply()[0] == 250
    assert sum(backend.count().values()) == before + 1


def test_each_worker_has_one(sink, postern):
    p = postern(sink())
    everyone = family(p, 2)
    all_linked(p, 2)
    assert sorted(p.pids("authn").values()) == ["postern: authn 1", "postern: authn 2"]
    for pid, children in everyone.items():
        assert {title(child) for child in children} == {title(pid)}
    names = [process["name"] for process in p.status()["processes"]]
    assert names == ["supervisor", "keeper", "worker 1", "authn 1", "worker 2", "authn 2"]
    assert "authn 1" in p.cli("status").stdout
    os.kill(p.pid, signal.SIGTERM)
    assert p.process.wait() == 0
    gone(*everyone, *(child for children in everyone.values() for child in children))


def test_what_they_hold(sink, postern):
    """No privileges, no way to get any, no descriptors but their own."""
    p = postern(sink(), workers=1)
    (pid, children), = family(p, 1).items()
    def status_of(process):
        return dict(line.split(":\t", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    filters = int(status_of("self")["Seccomp_filters"])
    until(lambda: all(int(status_of(c)["Seccomp_filters"]) == filters + 2 for c in children), "runners at work")
    for process in (pid, *children):
        status = status_of(process)
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
        assert status["CapEff"].strip("0") == "" or os.geteuid() != 0
        assert (int(status["Uid"].split()[0]) != 0) or os.geteuid() != 0
    if os.geteuid() == 0:
        for child in children:
            assert sorted(os.listdir(f"/proc/{child}/fd"), key=int) == ["0", "1", "2", "3"]


def test_a_killed_one_is_started_again(sink, postern):
    backend = sink()
    p = postern(backend)
    for _ in range(3):
        everyone = family(p, 2)
        victim = min(everyone)
        os.kill(victim, signal.SIGKILL)
        gone(victim, *everyone[victim])
        deliver(p, backend)
        until(lambda: victim not in family(p, 2), "another one")
        all_linked(p, 2)
    assert sum(process["restarts"] for process in p.status()["processes"] if process["name"].startswith("authn")) == 3


def test_a_killed_runner_is_replaced(sink, postern):
    p = postern(sink(), workers=1)
    (pid, children), = family(p, 1).items()
    for child in children:
        os.kill(child, signal.SIGKILL)
    gone(*children)
    family(p, 1)
    all_linked(p, 1)
    assert list(p.pids("authn")) == [pid]
    until(lambda: counters(p)[0]["killed"] == len(children), "the count of killed runners")


def test_a_new_worker_gets_the_same_one(sink, postern):
    p = postern(sink(), workers=1)
    (pid, children), = family(p, 1).items()
    worker, = p.workers()
    os.kill(worker, signal.SIGKILL)
    gone(worker, *children)
    p.wait_workers(1, without=[worker])
    all_linked(p, 1)
    assert list(family(p, 1)) == [pid]


def test_polite_signals_are_not_for_it(sink, postern):
    p = postern(sink(), workers=1)
    (pid, children), = family(p, 1).items()
    for process in (pid, *children):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1):
            os.kill(process, number)
    os.kill(p.workers()[0], signal.SIGTERM)
    p.wait_workers(1)
    all_linked(p, 1)
    assert list(p.pids("authn")) == [pid]


def test_it_lives_as_long_as_its_worker(sink, postern):
    """A reload brings new ones; the old one stays with the worker that still has a session, and is started again even then."""
    backend = sink()
    p = postern(backend, workers=1)
    (old, _), = family(p, 1).items()
    with Client(p.port) as c:
        c.ehlo()
        c.envelope()
        assert p.cli("reload").returncode == 0
        everyone = family(p, 2)
        assert old in everyone
        os.kill(old, signal.SIGKILL)
        gone(old)
        again = until(lambda: set(family(p, 2)) - set(everyone), "another one beside the old worker")
        assert c.command("DATA")[0] == 354
        c.send(BODY + b".\r\n")
        assert c.reply()[0] == 250
    gone(*again)
    assert len(family(p, 1)) == 1
    assert backend.count() == {"authn": 1}


def test_workers_change(sink, postern):
    p = postern(sink(), workers=1)
    for count in (3, 1):
        p.configure(workers=count)
        assert p.cli("reload").returncode == 0
        p.wait_workers(count)
        until(lambda: len(p.pids("authn")) == count, f"{count} authn processes")
        all_linked(p, count)


def test_none_outlives_the_supervisor(sink, postern):
    p = postern(sink())
    p.ends_with = -signal.SIGKILL
    everyone = family(p, 2)
    os.kill(p.pid, signal.SIGKILL)
    gone(*everyone, *(child for children in everyone.values() for child in children))


@pytest.mark.parametrize("what", ["authn", "runners"])
def test_killing_under_load_costs_no_message(sink, postern, load, what):
    backend = sink()
    p = postern(backend, workers=1, more="limits { per_client 3000 connections 5000 }\n")
    family(p, 1)
    running = load(port=p.port, messages=2000, connections=20, per_session=5)
    stop, killed = threading.Event(), []

    def kill():
        while not stop.wait(0.02):
            for pid in p.pids("authn"):
                for victim in [pid] if what == "authn" else runners(pid):
                    try:
                        os.kill(victim, signal.SIGKILL)
                        killed.append(victim)
                    except ProcessLookupError:
                        pass
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        outcomes = running.wait()
    finally:
        stop.set()
        thread.join()
    assert killed and {o["code"] for o in outcomes} == {250} and not running.failed_connects()
    assert len(backend.messages) == 2000
    all_linked(p, 1)


def test_it_moves_when_it_was_crashed_often(sink, postern):
    """Forks lie where their parent lies: before that can be found out by trying, there is another parent."""
    backend = sink()
    p = postern(backend, workers=1)
    (pid, _), = family(p, 1).items()

    def crash():
        for victim in runners(pid):
            try:
                os.kill(victim, signal.SIGABRT)
            except ProcessLookupError:
                pass
        return pid not in p.pids("authn")
    until(crash, "another parent", 120)
    deliver(p, backend)
    all_linked(p, 1)
    ended = [line for line in p.log if line.get("event") == "process_ended" and line["name"] == "authn 1"]
    assert [(line.get("status"), line.get("signal")) for line in ended] == [(0, None)]


def test_it_is_no_command_for_people(sink, postern):
    p = postern.configured(sink())
    done = p.cli("authn")
    assert done.returncode == 2 and "postern run" in done.stderr
