"""Loss accounting: what clients were told against what stands at the backend. A 250 is exactly one message there, a
refusal none (or it is logged as in doubt), whatever breaks: the backend at any stage, workers, the configuration's
change in the middle. Numbers: $POSTERN_LOSS_MESSAGES (20000)."""

import os
import signal
from collections import Counter

import pytest

from harness import account, fault
from harness.client import Client
from harness.process import until
from harness.sink import EXTENSIONS

MESSAGES = int(os.environ.get("POSTERN_LOSS_MESSAGES", "20000"))
LIMITS = "limits { per_client 1000 connections 2000 }\n"
WITHOUT_CHUNKING = [e for e in EXTENSIONS if e != "CHUNKING"]  # postern prefers BDAT where it is offered
IMPATIENT = LIMITS + "timeouts { data_end 3s backend_connect 2s }\n"

STAGES = {
    "refuse at the greeting": ("greeting", fault.reply_and_close("421 4.3.2 Not now"), 97),
    "close at once": ("connect", fault.close(), 89),
    "refuse EHLO": ("hello", fault.reply("451 4.3.0 Later"), 83),
    "451 at MAIL": ("mail", fault.reply("451 4.3.0 Later"), 199),
    "close after MAIL": ("mail", fault.close(), 307),
    "452 at RCPT": ("rcpt", fault.reply("452 4.2.2 Full"), 211),
    "reset after RCPT": ("rcpt", fault.reset(), 311),
    "451 at DATA": ("data", fault.reply("451 4.3.0 Later"), 223),
    "garbage at DATA": ("data", fault.reply(b"354-what\r\nnonsense\r\n"), 313),
    "reset in the body": ("body", fault.reset(), 229),
    "451 at BDAT": ("bdat", fault.reply("451 4.3.0 Later"), 239),
    "close at BDAT": ("bdat", fault.close(), 349),
    "554 after the dot": ("dot", fault.reply("554 5.7.1 No"), 227),
    "452 after the dot": ("dot", fault.reply("452 4.3.1 Full"), 317),
    "close after the dot": ("dot", fault.close(), 331),
    "close when it is kept": ("stored", fault.close(), 233),
    "reset when it is kept": ("stored", fault.reset(), 337),
    "garbage when it is kept": ("stored", fault.reply(b"2zz what\r\n"), 347),
    "an endless reply when it is kept": ("stored", fault.endless(), 1999),
    "silence when it is kept": ("stored", fault.hang(), 2999),
    "slowly": ("stored", fault.slow(0.2), 353),
}


def settle(p, backend, outcomes):
    """All audit records that will come have come when the log stops growing; then the books must balance."""
    doubtful = account.in_doubt(p.audits())
    wrong = account.mistakes(outcomes, backend.count(), doubtful)
    assert not wrong, f"{len(wrong)} of {account.summary(outcomes, backend.count())}: {wrong[:10]}"


@pytest.mark.parametrize("name", STAGES)
def test_a_fault_at_each_stage(sink, postern, load, name):
    """Each alone, every seventh time, with the client's three styles: DATA by steps, DATA pipelined, BDAT."""
    stage, action, _ = STAGES[name]
    backend = sink(extensions=WITHOUT_CHUNKING if stage in ("data", "body") else EXTENSIONS)
    p = postern(backend, more=IMPATIENT)
    rare = name.startswith(("an endless", "silence"))
    backend.fail(stage, action, times=3 if rare else None, every=7)
    if stage in ("greeting", "connect", "hello"):
        backend.fail("stored", fault.close(), times=None, every=5)  # so that there are new connections to break
    outcomes = load(port=p.port, messages=150, connections=6, per_session=10).wait()
    assert backend.plan.struck[stage], "the fault has struck"
    settle(p, backend, outcomes)
    backend.recover()
    backend.violations.clear()  # after nonsense of its own the sink may read the middle of a message as commands
    def through():
        with Client(p.port) as c:
            c.ehlo()
            c.command("MAIL FROM:<sender@client.example>")
            if c.command("RCPT TO:<bob@example.com>")[0] != 250:
                return False
            c.command("DATA")
            c.send(b"Message-ID: <after@client.example>\r\n\r\nafter\r\n.\r\n")
            return c.reply()[0] == 250
    until(through, "mail to flow again")


@pytest.mark.parametrize("stage", ["dot", "stored"])
def test_death_after_the_final_dot_is_in_doubt(sink, postern, stage):
    """Only the backend knows whether it kept the message: the client hears 451 4.4.2, and the log says so."""
    backend = sink()
    backend.fail(stage, fault.close())
    p = postern(backend)
    with Client(p.port) as c:
        c.ehlo()
        code, text = c.message(b"Message-ID: <doubt@client.example>\r\n\r\nbody\r\n")
        assert code == 451 and text.startswith("4.4.2 ")
    until(lambda: account.in_doubt(p.audits()) == {"doubt"}, "the record in doubt")


def test_death_before_the_final_dot_is_tried_again(sink, postern):
    """A pooled connection that fails before the end of the message was written is replaced once, unseen."""
    backend = sink()
    p = postern(backend, workers=1)
    with Client(p.port) as c:
        c.ehlo()
        assert c.message(b"Message-ID: <one@client.example>\r\n\r\nbody\r\n")[0] == 250
        for connection in list(backend.connections):
            backend.loop.call_soon_threadsafe(connection.writer.transport.abort)
        assert c.message(b"Message-ID: <two@client.example>\r\n\r\nbody\r\n")[0] == 250
    assert backend.count() == {"one": 1, "two": 1}


def test_a_client_that_leaves_leaves_nothing_behind(sink, postern):
    backend = sink()
    p = postern(backend)
    for part in (b"Subject: half\r\n\r\nbody", b"Subject: half\r\n\r\nbody\r\n.", b"Subject: half\r\n\r\nbody\r\n.\r"):
        with Client(p.port) as c:
            c.ehlo()
            c.envelope()
            assert c.command("DATA")[0] == 354
            c.send(part)
    with Client(p.port) as c:
        c.ehlo()
        c.envelope()
        c.send(b"BDAT 100 LAST\r\nonly this")
    with Client(p.port) as c:
        c.ehlo()
        assert c.message(b"Message-ID: <whole@client.example>\r\n\r\nbody\r\n")[0] == 250
    until(lambda: len(p.audits()) == 5, "a record for each transaction")
    assert backend.count() == {"whole": 1} and not [c for c in backend.commands(b"DATA")][1:]


def kill_a_worker(p):
    victim = p.workers()[0]
    os.kill(victim, signal.SIGKILL)
    return victim


@pytest.mark.parametrize("extensions", [EXTENSIONS, WITHOUT_CHUNKING], ids=["bdat", "data"])
def test_twenty_thousand_messages_through_faults_kills_and_reloads(sink, postern, load, extensions):
    """All of it at once: 50 connections, every fault of STAGES, workers killed, reloads. Half of the messages go to a
    backend with CHUNKING, half to one without."""
    backend, messages = sink(extensions=extensions), MESSAGES // 2
    p = postern(backend, more=IMPATIENT)
    for stage, action, every in STAGES.values():
        backend.fail(stage, action, times=None if every < 1000 else 3, every=every)
    running = load(port=p.port, messages=messages, connections=50)
    for step in range(1, 9):
        running.wait_outcomes(step * messages // 10)
        if step % 2:
            kill_a_worker(p)
        else:
            done = p.cli("reload")
            assert done.returncode == 0, done.stderr
    outcomes = running.wait()
    backend.violations.clear()
    assert len(outcomes) == messages
    settle(p, backend, outcomes)
    accepted = sum(o["code"] == 250 for o in outcomes)
    assert accepted > messages / 3, account.summary(outcomes, backend.count())


def test_killed_workers_lose_only_their_own_sessions(sink, postern, load):
    """No fault at the backend: all is accepted but what stood in the dead processes."""
    backend = sink()
    p = postern(backend, more=LIMITS)
    running = load(port=p.port, messages=MESSAGES // 4, connections=50)
    for step in range(1, 5):
        running.wait_outcomes(step * MESSAGES // 24)
        victim = kill_a_worker(p)
        p.wait_workers(2, without=[victim])
    outcomes = running.wait()
    settle(p, backend, outcomes)
    assert {o["code"] for o in outcomes} <= {250, None}
    assert sum(o["code"] is None for o in outcomes) <= 4 * 50


def test_reloads_lose_and_refuse_nothing(sink, postern, load):
    """New workers take over under load: not one session dropped or refused."""
    backend = sink()
    p = postern(backend, more=LIMITS)
    running = load(port=p.port, messages=MESSAGES // 4, connections=50, per_session=5)
    for step in range(1, 7):
        running.wait_outcomes(step * MESSAGES // 32)
        if step % 2:
            os.kill(p.pid, signal.SIGHUP)
        else:
            assert p.cli("reload").returncode == 0
    outcomes = running.wait()
    assert {o["code"] for o in outcomes} == {250}, account.summary(outcomes, backend.count())
    assert not running.failed_connects()
    settle(p, backend, outcomes)


# With rules: the verdict stands in the subject. Seven words, so that each meets each of the client's three styles.
SUBJECTS = ("accept", "reject", "defer", "quarantine", "discard", "accept", "quarantine")
BY_SUBJECT = """
rule measured   { then header add "X-Size" "{message.size}" }
rule reject     { when subject == "reject" then reject 550 5.7.1 "by rule" }
rule defer      { when subject == "defer" then defer 451 4.7.1 "by rule" }
rule slow       { when mail.mx == no then score 1 }
rule quarantine { when subject == "quarantine" then quarantine "by rule" }
rule discard    { when subject == "discard" then discard "by rule" }
rule tag        { when body contains "lazy dog" then tag "dog", header add "X-Dog" "yes" }
"""


COUNTERS = {"accept": "accepted", "reject": "refused", "defer": "deferred", "quarantine": "quarantined",
            "discard": "discarded", "in_doubt": "in_doubt"}


def settle_by_verdict(p, backend, outcomes, kills):
    """The books of each verdict must balance and agree with the log, once its last lines are written, and with what
    was counted."""
    wrong = []

    def balanced():
        wrong[:] = account.mistakes_by_verdict(
            outcomes, backend.count(), p.held(), p.audits(), p.status()["totals"]["log_dropped"])
        return not wrong
    try:
        until(balanced, "the books to balance", 5)
    except AssertionError:
        raise AssertionError(f"{len(wrong)} of {account.summary(outcomes, backend.count())}: {wrong[:10]}") from None
    counted, spoken = p.status()["totals"], Counter(r["verdict"] for r in p.audits())
    for verdict, counter in COUNTERS.items():  # a killed worker may have counted what it could not log any more
        assert 0 <= counted[f"messages_{counter}"] - spoken[verdict] <= kills, (verdict, counted, spoken)
    for subject in set(SUBJECTS):
        codes = [o["code"] for o in outcomes if o["subject"] == subject]
        assert codes.count(account.FINAL[subject]) > len(codes) / 3, (subject, account.summary(outcomes, backend.count()))


def test_rules_balance_through_faults_kills_and_reloads(sink, postern, dns, load):
    """Every verdict at once under faults of the backend, workers killed while messages wait for filters or are being
    quarantined, reloads between: what was acknowledged is at the backend, in the quarantine, or was discarded by rule."""
    backend, messages = sink(), MESSAGES // 5
    p = postern(backend, rules=BY_SUBJECT, dns=dns(), more=IMPATIENT)
    for stage, action, every in STAGES.values():
        backend.fail(stage, action, times=None if every < 1000 else 2, every=every)
    running = load(port=p.port, messages=messages, connections=30, subjects=",".join(SUBJECTS))
    for step in range(1, 9):
        running.wait_outcomes(step * messages // 10)
        if step % 4 == 0:
            assert p.cli("reload").returncode == 0
        else:
            kill_a_worker(p)
    outcomes = running.wait()
    backend.violations.clear()
    assert len(outcomes) == messages
    settle_by_verdict(p, backend, outcomes, kills=6)
    assert all(b"\r\nX-Dog: yes\r\n" in m.body and b"\r\nX-Size: " in m.body for m in backend.messages)
