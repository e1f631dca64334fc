"""Greylisting in the running program: attempts over several workers, a reload and the keeper's death; what admins see."""

import json
import os
import re
import signal

from harness import proxy_header
from harness.client import Client
from harness.process import until

LISTEN = "tls none proxy_protocol from { 127.0.0.1 }"
PATIENT = "filter greylist { patience 5s }\n"  # the machine that runs the tests may be slow
BODY = b"Message-ID: <g@client.example>\r\nSubject: grey\r\n\r\nbody\r\n"
RULES = 'rule grey { when mail.domain == "client.example" then greylist %s }\n'
TRIPLET = "192.0.2.0/24 sender@client.example alice@example.com"


def start(postern, sink, time="1h", more="", **options):
    p = postern(sink(), hello=proxy_header.v1("192.0.2.1"), listen=LISTEN, rules=RULES % time, more=PATIENT + more, **options)
    wait_there(p)
    return p


def wait_there(p, workers=2):
    def there():
        status = p.status()
        return status["store"]["file_bytes"] > 0 and [
            w["status"]["store"]["state"] for w in status["workers"] if w["answered"]] == ["there"] * workers
    until(there, f"the store to be there: {p.stderr[-2000:]}")


def offer(p, client="192.0.2.1", sender="sender@client.example", to="alice@example.com"):
    """The reply to RCPT."""
    with Client(p.port, header=proxy_header.v1(client)) as c:
        c.ehlo()
        assert c.command(f"MAIL FROM:<{sender}>")[0] == 250
        reply = c.command(f"RCPT TO:<{to}>")
        c.command("QUIT")
        return reply


def items(p):
    done = p.cli("greylist", "ls", "--json")
    assert done.returncode == 0, done.stderr
    return {i["key"]: i for i in map(json.loads, done.stdout.splitlines())}


def wait_items(p, predicate):
    return until(lambda: (lambda found: found if predicate(found) else None)(items(p)), "what the greylist holds")


def deliver(p, client="192.0.2.1"):
    with Client(p.port, header=proxy_header.v1(client)) as c:
        c.ehlo()
        return c.message(BODY)[0]


def test_who_comes_back_is_let_in_and_known(sink, postern):
    backend = sink()
    p = postern(backend, hello=proxy_header.v1("192.0.2.1"), listen=LISTEN, rules=RULES % "1s", more=PATIENT)
    wait_there(p)
    code, text = offer(p)
    assert code == 451 and re.match(r"4\.7\.1 Greylisted, please try again in 1 minute \(id \w{12}\)", text), text
    found = wait_items(p, lambda f: TRIPLET in f)[TRIPLET]
    assert found["state"] == "waiting" and found["tries"] == 1 and found["until"] - found["since"] == 86400
    # A neighbour of the same network, over whichever worker; others are not let in by that.
    until(lambda: offer(p, "192.0.2.200")[0] == 250, "the second to pass")
    assert offer(p, "192.0.3.1")[0] == 451
    assert deliver(p, "192.0.2.77") == 250
    known = wait_items(p, lambda f: f[TRIPLET]["state"] == "known")[TRIPLET]
    assert known["until"] - known["since"] == 36 * 86400
    assert sum(backend.count().values()) == 1


def test_it_is_remembered_over_a_reload_and_a_restart(sink, postern):
    p = start(postern, sink)
    assert offer(p)[0] == 451
    wait_items(p, lambda f: f.get(TRIPLET, {}).get("tries") == 1)
    assert p.cli("reload", "--wait").returncode == 0
    wait_there(p)
    assert offer(p)[0] == 451
    wait_items(p, lambda f: f[TRIPLET]["tries"] == 2)
    pid = next(iter(p.pids("keeper")))
    os.kill(pid, signal.SIGKILL)
    until(lambda: [k for k in p.pids("keeper") if k != pid], "a new keeper")
    wait_there(p)
    assert items(p)[TRIPLET]["tries"] == 2


def test_admins_allow_and_clear(sink, postern):
    p = start(postern, sink)
    done = p.cli("greylist", "allow", "192.0.2.9", "Sender@client.example", "alice@example.com", "--ttl", "2h")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert offer(p)[0] == 250
    done = p.cli("greylist", "ls")
    assert done.returncode == 0 and TRIPLET in done.stdout and "known" in done.stdout, done.stdout
    assert p.cli("greylist", "clear", TRIPLET).returncode == 0
    assert offer(p)[0] == 451
    gone = p.cli("greylist", "clear", "198.51.100.1", "a@b.example", "<>")
    assert gone.returncode == 1 and "Nothing is known" in gone.stderr
    for words in (["allow", "192.0.2.1"], ["allow", "1", "2", "3", "--ttl", "soon"], ["clear", TRIPLET, "--ttl", "1h"], ["x"]):
        assert p.cli("greylist", *words).returncode == 2, words


def test_without_the_daemon_nobody_answers(sink, postern):
    p = postern.configured(sink())
    for words in (["greylist", "ls"], ["greylist", "clear", TRIPLET], ["reputation", "show", "example.com"]):
        done = p.cli(*words)
        assert done.returncode == 4 and "not running" in done.stderr, (words, done.stderr)


def test_many_are_listed_page_by_page(sink, postern):
    p = start(postern, sink)
    for i in range(3):
        with Client(p.port, header=proxy_header.v1("192.0.2.1")) as c:
            c.ehlo()
            c.command("MAIL FROM:<sender@client.example>")
            for n in range(500):
                assert c.command(f"RCPT TO:<user{i}-{n}@example.com>")[0] in (451, 452)
    assert len(wait_items(p, lambda f: len(f) == 1500)) == 1500


def test_spf_stands_for_the_network(sink, postern, dns):
    zone = 'client.example. TXT "v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 -all"\n'
    p = start(postern, sink, dns=dns(zone))
    assert offer(p, "192.0.2.1")[0] == 451
    assert offer(p, "203.0.113.1")[0] == 451
    found = wait_items(p, lambda f: len(f) == 2)
    assert set(found) == {"client.example sender@client.example alice@example.com",
                          "203.0.113.0/24 sender@client.example alice@example.com"}
    assert offer(p, "198.51.100.7")[0] == 451
    wait_items(p, lambda f: f["client.example sender@client.example alice@example.com"]["tries"] == 2)


def test_a_keeper_that_hangs_costs_no_mail(sink, postern):
    """The rule is skipped, the breaker stops asking, and greylisting is back when the keeper is."""
    p = postern(sink(), hello=proxy_header.v1("192.0.2.1"), listen=LISTEN, rules=RULES % "1h")
    wait_there(p)
    pid = next(iter(p.pids("keeper")))
    os.kill(pid, signal.SIGSTOP)
    try:
        assert [deliver(p) for _ in range(10)] == [250] * 10
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: offer(p, "198.51.100.1")[0] == 451, "greylisting to be back")


def test_a_keeper_that_dies_costs_no_mail(sink, postern):
    p = postern(sink(), hello=proxy_header.v1("192.0.2.1"), listen=LISTEN, rules=RULES % "1h")
    wait_there(p)
    pid = next(iter(p.pids("keeper")))
    os.kill(pid, signal.SIGKILL)
    codes = {offer(p, f"198.51.{n}.1")[0] for n in range(10)}
    assert codes <= {250, 451}, "accepted without it, or put off by the next one"
    until(lambda: offer(p, "203.0.113.1")[0] == 451, "greylisting to be back")
