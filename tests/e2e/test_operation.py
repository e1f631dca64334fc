"""Running it: reload, drain, status, SIGTERM, and children that die."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness.client import Client
from harness.postern import BINARY
from harness.process import Process, until

BODY = b"Message-ID: <op@client.example>\r\nSubject: op\r\n\r\nbody\r\n"
LIMITS = "limits { per_client 3000 connections 5000 }\n"


def banner(p):
    with Client(p.port, greeting=None) as c:
        code, text = c.reply()
        c.command("QUIT")
        return text.split()[0] if code == 220 else f"{code} {text}"




# Reload.

@pytest.mark.parametrize("how", ["SIGHUP", "postern reload"])
def test_reload_brings_new_workers_and_keeps_old_sessions(sink, postern, how):
    backend = sink()
    p = postern(backend)
    old = p.wait_workers(2)
    with Client(p.port) as c:
        c.ehlo()
        c.envelope()
        p.configure(hostname="new.example.com")
        if how == "SIGHUP":
            os.kill(p.pid, signal.SIGHUP)
        else:
            done = p.cli("reload")
            assert done.returncode == 0, done.stderr
        until(lambda: banner(p) == "new.example.com", "the new hostname")
        assert c.command("DATA")[0] == 354
        c.send(BODY + b".\r\n")
        assert c.reply()[0] == 250, "the old session goes on under the old configuration"
    p.wait_workers(2, without=old)
    assert backend.count() == {"op": 1}


def test_reload_wait_waits_for_the_last_old_session(sink, postern, tmp_path):
    p = postern(sink())
    old = p.wait_workers(2)
    with Client(p.port) as c:
        c.ehlo()
        p.configure(hostname="new.example.com")
        waiting = Process([BINARY, "reload", "-c", p.file, "--wait"], tmp_path / "reload")
        try:
            until(lambda: banner(p) == "new.example.com", "the new hostname")
            assert waiting.running(), "an old session is still there"
            assert c.command("NOOP")[0] == 250
            assert c.command("QUIT")[0] == 221
            assert waiting.wait() == 0, waiting.text()
            assert not set(p.workers()) & set(old)
        finally:
            waiting.stop()


@pytest.mark.parametrize("mistake, said", [
    ("nonsense yes", "nonsense"), ("workers many", "workers"), ("limits { recipients -5 }", "recipients"),
    ('tls { certificate "/nowhere.pem" key "/nowhere.key" }', "nowhere"),
])
def test_a_broken_configuration_changes_nothing(sink, postern, mistake, said):
    p = postern(sink())
    workers = p.wait_workers(2)
    p.configure(hostname="new.example.com", more=mistake)
    for verb in ("check", "reload"):
        done = p.cli(verb)
        assert done.returncode == 3, (verb, done.stdout, done.stderr)
        assert f"{p.file}:" in done.stdout + done.stderr and said in done.stdout + done.stderr
    os.kill(p.pid, signal.SIGHUP)
    until(lambda: said in p.stderr, "the mistake in the log")
    assert p.workers() == workers and banner(p) == "mx.example.com"
    for verb in ("status", "status --json"):
        assert p.cli(*verb.split()).returncode == 0, "a mistake elsewhere doesn't disable what needs only the socket"
    p.configure(more="")
    assert p.cli("reload").returncode == 0
    until(lambda: banner(p) == "new.example.com", "the mended configuration")


def test_a_broken_configuration_does_not_start(sink, postern):
    p = postern.configured(sink(), more="nonsense yes")
    p.start()
    p.ends_with = 3
    assert p.process.wait() == 3
    assert "nonsense" in p.stderr and f"{p.file}:" in p.stderr


def test_every_mistake_is_printed(sink, postern):
    p = postern.configured(sink(), more="nonsense yes\nworkers many\nlimitz { }")
    done = p.cli("check")
    assert done.returncode == 3
    assert all(word in done.stdout + done.stderr for word in ("nonsense", "workers", "limitz", "limits"))
    assert done.stdout.count("^") + done.stderr.count("^") >= 3, "a caret for each"


def test_workers_two_five_one_under_load(sink, postern, load):
    """The number of workers changes under many short connections: none is refused, none is lost."""
    backend = sink()
    p = postern(backend, more=LIMITS)
    running = load(port=p.port, messages=6000, connections=40, per_session=1)
    for count, share in ((5, 1000), (1, 2500), (2, 4000)):
        running.wait_outcomes(share)
        p.configure(workers=count)
        assert p.cli("reload").returncode == 0
        p.wait_workers(count)
    outcomes = running.wait()
    assert {o["code"] for o in outcomes} == {250} and not running.failed_connects()
    assert len(backend.messages) == 6000


def test_workers_change_with_one_in_a_crash_loop(sink, postern):
    """2 -> 5 -> 1 while worker 1 is killed again and again: of the established connections only those of killed
    processes end."""
    p = postern(sink(), more=LIMITS)
    p.wait_workers(2)
    killed, stop = set(), threading.Event()

    def crash_loop():
        """Kills it half a second after it is first seen: before it is ready a reload would rightly fail."""
        seen = {}
        while not stop.wait(0.05):
            for pid in p.pids("worker 1"):
                if time.monotonic() - seen.setdefault(pid, time.monotonic()) > 0.5:
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)

    clients = []
    def connect(count):
        for _ in range(count):
            c = Client(p.port, greeting=None)
            if c.reply()[0] == 220:
                clients.append((c, p.owner(c)))
    connect(40)
    thread = threading.Thread(target=crash_loop)
    thread.start()
    try:
        for count in (5, 1, 2):
            p.configure(workers=count)
            until(lambda: p.cli("reload").returncode == 0, "a reload between two crashes")
            before = len(killed)
            until(lambda: len(killed) > before, "another crash")
    finally:
        stop.set()
        thread.join()
    p.wait_workers(2, without=killed)
    assert killed
    survivors = [c for c, pid in clients if pid not in killed]
    assert survivors, "some connections belonged to a worker that nobody killed"
    for c in survivors:
        assert c.command("NOOP")[0] == 250
    for c, _ in clients:
        c.close()
    until(lambda: banner(p) == "mx.example.com", "a greeting")


# The end.

def test_sigterm_ends_idle_sessions_at_once_and_lets_messages_finish(sink, postern):
    backend = sink()
    p = postern(backend, workers=1)
    idle, busy = Client(p.port), Client(p.port)
    with idle, busy:
        idle.ehlo()
        busy.ehlo()
        busy.envelope()
        assert busy.command("DATA")[0] == 354
        busy.send(BODY)
        os.kill(p.pid, signal.SIGTERM)
        assert idle.reply()[0] == 421 and idle.reply()[0] is None
        assert p.process.running()
        busy.send(b".\r\n")
        assert busy.reply()[0] == 250
    assert p.process.wait(15) == 0
    assert backend.count() == {"op": 1}


def test_sigterm_waits_eight_seconds_and_a_second_one_does_not(sink, postern):
    for second in (False, True):
        p = postern(sink())
        with Client(p.port) as c:
            c.ehlo()
            c.envelope()
            assert c.command("DATA")[0] == 354
            c.send(b"Subject: never ends\r\n")
            begin = time.monotonic()
            os.kill(p.pid, signal.SIGTERM)
            if second:
                until(lambda: refused(p.port), "the listener to close")
                os.kill(p.pid, signal.SIGTERM)
            assert p.process.wait(20) == 0
            took = time.monotonic() - begin
            assert took < 6 if second else 6 < took < 14, took
            assert 250 not in c.rest()


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return False
    except OSError:
        return True


def test_drain_finishes_sessions_and_ends(sink, postern, tmp_path):
    """`postern drain` returns when the last session has ended."""
    backend = sink()
    p = postern(backend, workers=1)
    with Client(p.port) as c:
        c.ehlo()
        c.envelope()
        assert c.command("DATA")[0] == 354
        draining = Process([BINARY, "drain", "-c", p.file], tmp_path / "drain")
        try:
            until(lambda: refused(p.port), "the listener to close")
            c.send(BODY + b".\r\n")
            assert c.reply()[0] == 250
            c.command("QUIT")
            assert draining.wait() == 0, draining.text()
        finally:
            draining.stop()
    assert backend.count() == {"op": 1}


@pytest.mark.parametrize("workers, said", [(1, "serves with 1 worker"), (2, "serves with 2 workers")])
def test_the_log_counts_workers(sink, postern, workers, said):
    p = postern(sink(), workers=workers)
    started = until(lambda: [r for r in p.log if r.get("event") == "started"], "a word in the log")
    assert any(str(value).endswith(said) for value in started[0].values()), started


def test_children_end_with_their_supervisor(sink, postern):
    p = postern(sink())
    p.wait_workers(2)
    family = p.pids("")
    assert any("keeper" in t for t in family.values())
    os.kill(p.pid, signal.SIGKILL)
    p.ends_with = -signal.SIGKILL
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), f"the end of {family}")


# Children that die.

def test_a_killed_worker_is_replaced_within_a_second(sink, postern):
    p = postern(sink())
    first, second = p.wait_workers(2)
    clients = [Client(p.port) for _ in range(20)]
    owners = [p.owner(c) for c in clients]
    begin = time.monotonic()
    os.kill(first, signal.SIGKILL)
    p.wait_workers(2, without=[first])
    assert time.monotonic() - begin < 1
    for c, owner in zip(clients, owners):
        assert c.command("NOOP")[0] == (None if owner == first else 250), "a crash costs its own sessions only"
        c.close()


def test_a_worker_that_keeps_dying_is_held_back_and_a_sibling_serves(sink, postern):
    p = postern(sink())
    pauses = []
    for _ in range(5):
        pid = until(lambda: next(iter(p.pids("worker 1")), None), "worker 1")
        os.kill(pid, signal.SIGKILL)
        begin = time.monotonic()
        while pid in p.pids("worker 1") or not p.pids("worker 1"):
            assert banner(p).startswith("mx."), "while one is held back a sibling serves its socket"
            assert time.monotonic() - begin < 30
        pauses.append(time.monotonic() - begin)
    assert pauses[-1] > 2 * pauses[0] or pauses[-1] > 1, f"pauses grow: {pauses}"


def test_counters_of_a_dead_worker_are_given_back(sink, postern):
    """per_client holds for all workers together; a killed one must not keep its clients' places for ever."""
    p = postern(sink(), more="limits { per_client 2 }", workers=1)
    clients = [Client(p.port, source="127.0.0.7") for _ in range(2)]
    with Client(p.port, source="127.0.0.7", greeting=None) as c:
        assert c.reply()[0] == 421
    victim, = p.workers()
    os.kill(victim, signal.SIGKILL)
    p.wait_workers(1, without=[victim])
    def greeted():
        with Client(p.port, source="127.0.0.7", greeting=None) as c:
            return c.reply()[0] == 220
    until(greeted, "a greeting for 127.0.0.7")
    for c in clients:
        c.close()


def test_mail_flows_on_without_the_keeper(sink, postern):
    backend = sink()
    p = postern(backend)
    keeper = until(lambda: next(iter(p.pids("keeper")), None), "the keeper")
    with Client(p.port) as c:
        c.ehlo()
        os.kill(keeper, signal.SIGKILL)
        assert c.message(BODY)[0] == 250
    until(lambda: (now := p.pids("keeper")) and keeper not in now, "a new keeper")
    until(lambda: p.cli("status").returncode == 0, "status from the new keeper")
    until(lambda: p.audits("op@client.example"), "the audit record, also from the time between")


# Looking at it.

def test_status_names_sessions_and_what_they_wait_for(sink, postern):
    p = postern(sink())
    with Client(p.port, source="127.0.0.7") as c:
        c.ehlo()
        c.envelope()
        assert c.command("DATA")[0] == 354
        said = until(lambda: (s := json.dumps(p.status())) and "127.0.0.7" in s and s, "the session in status")
        assert "wait" in said.lower() or "data" in said.lower()
        plain = p.cli("status")
        assert plain.returncode == 0 and "127.0.0.7" in plain.stdout and "\x1b" not in plain.stdout


def test_nobody_there_is_exit_status_4(sink, postern):
    p = postern.configured(sink())
    for verb in ("status", "reload", "drain"):
        assert p.cli(verb).returncode == 4, verb


def test_usage_is_exit_status_2():
    for args in ([], ["nonsense"], ["status", "--nonsense"]):
        assert subprocess.run([BINARY, *args], capture_output=True, timeout=30).returncode == 2, args
    done = subprocess.run([BINARY, "version"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "postern" in done.stdout


def test_each_transaction_is_one_record(sink, postern):
    backend = sink()
    p = postern(backend)
    with Client(p.port, source="127.0.0.7") as c:
        c.ehlo()
        assert c.message(BODY, recipients=("alice@example.com", "bob@example.com"))[0] == 250
        until(lambda: len(p.audits()) == 1, "its record")
        c.envelope()
        c.command("RSET")
        c.command("QUIT")
    until(lambda: len(p.audits()) == 2, "the record of the abandoned one")
    record = p.audits("op@client.example")[0]
    wanted = {"ts", "sid", "tid", "listener", "client", "helo", "from", "to", "size", "msgid", "backend",
              "backend_reply", "ms", "v"}
    assert wanted <= set(record), wanted - set(record)
    assert [to["code"] for to in record["to"]] == [250, 250] and record["helo"] == "client.example"
    assert len(record["sid"]) == 12 and "SINK1" in json.dumps(record["backend_reply"])


def test_log_file_is_reopened(sink, postern):
    p = postern.configured(sink())
    log = p.directory / "state" / "postern.log"
    p.configure(log=f'format json to file "{log}"')
    p.start().ready()
    def send():
        with Client(p.port) as c:
            c.ehlo()
            assert c.message(BODY)[0] == 250
    send()
    until(lambda: "op@client.example" in log.read_text(), "the record in the file")
    log.rename(log.with_suffix(".1"))
    os.kill(p.pid, signal.SIGUSR1)
    until(log.exists, "the file anew")
    send()
    until(lambda: "op@client.example" in log.read_text(), "the record in the new file")


def test_it_tells_systemd(sink, postern, tmp_path):
    """Type=notify without libsystemd: READY, RELOADING and READY again, STOPPING."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(path))
        s.settimeout(20)
        path.chmod(0o777)
        p = postern(sink(), env={"NOTIFY_SOCKET": str(path)})

        def wait_for(word):
            while word not in (said := s.recv(4096)):
                pass
            return said
        wait_for(b"READY=1")
        os.kill(p.pid, signal.SIGHUP)
        wait_for(b"RELOADING=1")
        wait_for(b"READY=1")
        os.kill(p.pid, signal.SIGTERM)
        wait_for(b"STOPPING=1")
        assert p.process.wait(15) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_privileges_are_dropped(sink, postern):
    p = postern(sink())
    p.wait_workers(2)
    for pid, title in p.pids("").items():
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        assert "0" not in status["Uid"].split() + status["Gid"].split(), title
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0, title
        assert status["NoNewPrivs"] == "1", title
