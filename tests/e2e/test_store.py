"""The embedded store in the running program: its file, the keeper's death under load, a file that is damaged."""

import os
import signal

from harness import account
from harness.client import Client
from harness.process import until
from harness.store import Store

BODY = b"Message-ID: <store@client.example>\r\nSubject: store\r\n\r\nbody\r\n"


def is_there(p, workers=2):
    """All workers see the store, and the keeper has opened its file."""
    status = p.status()
    states = [w["status"]["store"]["state"] for w in status["workers"] if w["answered"]]
    return status["store"]["file_bytes"] > 0 and states == ["there"] * workers


def wait_there(p, workers=2):
    until(lambda: is_there(p, workers), f"the store to be there: {p.stderr[-2000:]}")


def keeper(p):
    pids = list(p.pids("keeper"))
    return pids[0] if len(pids) == 1 else None


def events(p, event):
    return [line for line in p.log if line.get("event") == event]


def test_the_file_is_made_and_kept(sink, postern):
    p = postern(sink())
    wait_there(p)
    store = Store(p)
    assert store.is_sound() and store.version() == 3
    owner = p.directory.joinpath("state").stat()
    assert (store.file.stat().st_uid, store.file.stat().st_gid) == (owner.st_uid, owner.st_gid)
    store.add_dmarc("example.com", "v=DMARC1; p=none", [(3, {"source_ip": "192.0.2.1"})])
    done = p.cli("reload", "--wait")
    assert done.returncode == 0, done.stderr
    wait_there(p)
    assert store.dmarc_messages("example.com") == 3
    assert not events(p, "store_corrupt") and not events(p, "store_failed")


def test_a_state_folder_that_only_root_can_reach(sink, postern):
    """The keeper's account has the folder, not the way to it."""
    p = postern.configured(sink())
    p.directory.chmod(0o700)
    p.start().ready()
    wait_there(p)
    assert Store(p).is_sound()


def test_kill_9_of_the_keeper_under_load(sink, postern, load):
    """Mail flows on, each new keeper finds a sound file and is linked to all workers."""
    backend = sink()
    p = postern(backend, more="limits { per_client 1000 connections 2000 }\n")
    wait_there(p)
    store = Store(p)
    store.add_dmarc("example.com", "v=DMARC1; p=none", [(3, {"source_ip": "192.0.2.1"})])
    running = load(port=p.port, messages=3000, connections=10, per_session=5)
    for i in range(8):
        running.wait_outcomes(300 * i)
        before = until(lambda: keeper(p), "a keeper")
        os.kill(before, signal.SIGKILL)
        until(lambda: keeper(p) not in (None, before), "a new keeper")
    outcomes = running.wait()
    wait_there(p)
    assert not account.mistakes(outcomes, backend.count(), account.in_doubt(p.audits()))
    assert [o["code"] for o in outcomes].count(250) == 3000, "a keeper's death costs no message"
    assert store.is_sound()
    assert store.dmarc_messages("example.com") == 3
    assert not events(p, "store_corrupt")


def test_mail_flows_while_the_keeper_hangs(sink, postern):
    p = postern(sink())
    wait_there(p)
    stopped = keeper(p)
    os.kill(stopped, signal.SIGSTOP)
    try:
        with Client(p.port) as c:
            c.ehlo()
            assert all(c.message(BODY)[0] == 250 for _ in range(20))
    finally:
        os.kill(stopped, signal.SIGCONT)
    wait_there(p)


def test_a_damaged_file_is_moved_aside(sink, postern):
    p = postern(sink())
    wait_there(p)
    store, first = Store(p), keeper(p)
    os.kill(first, signal.SIGSTOP)
    store.damage()
    os.kill(first, signal.SIGKILL)
    until(lambda: events(p, "store_corrupt"), "the log to say so")
    wait_there(p)
    assert list(store.file.parent.glob("postern.db.corrupt-*"))
    assert store.is_sound()
    with Client(p.port) as c:
        c.ehlo()
        assert c.message(BODY)[0] == 250


def test_a_file_that_cant_be_opened_costs_no_mail(sink, postern):
    p = postern.configured(sink())
    (p.directory / "state/postern.db").mkdir()
    p.start().ready()
    until(lambda: events(p, "store_failed"), "the log to say so")
    done = p.cli("dmarc-report", "--day", "today")
    assert done.returncode == 4 and "store" in done.stderr, (done.returncode, done.stderr)
    with Client(p.port) as c:
        c.ehlo()
        assert c.message(BODY)[0] == 250
    (p.directory / "state/postern.db").rmdir()
    until(lambda: p.cli("dmarc-report", "--day", "today").returncode == 0, "the store to recover")
