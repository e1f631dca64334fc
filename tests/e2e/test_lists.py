"""Lists from the store: the command, rules that look into them and add to them, and the keeper's death."""

import json
import os
import random
import signal

import pytest

from harness import proxy_header
from harness.client import Client
from harness.process import until

PROXY = "tls none proxy_protocol from { 127.0.0.1 }"
BODY = b"Message-ID: <one@client.example>\r\nFrom: <a@good.example>\r\nSubject: hello\r\n\r\nbody\r\n"
RULES = """
list blocked : cidr from store "blocked"
list traps   : mail from store "traps"
list senders : domain from store "senders"
rule blocked { when client.ip in @blocked then reject now 554 5.7.1 "Blocked: {list.item} {list.reason}" }
rule trap { when rcpt.to in @traps then add client.ip to @blocked for 7d "hit {rcpt.to}", reject 550 5.1.1 "No such user" }
rule sender { when mail.domain under @senders then reject 550 5.7.1 "{list.item}: {list.reason}" }
rule keep { when mail.domain == "keep.example" then add mail.domain to @senders "kept itself" }
rule watch monitor { when mail.domain == "watched.example" then add client.ip to @blocked for 1d "watched" }
"""


def greeting(p, address):
    """What a client from that address is greeted with."""
    with Client(p.port, header=proxy_header.v2(address), greeting=None) as c:
        return c.reply()


def is_blocked(p, address):
    return greeting(p, address)[0] == 554


def talk(p, address="192.0.2.1", sender="a@good.example", recipients=("alice@example.com",)):
    """A message from `address`: the first reply that is not a welcome, or the last one."""
    with Client(p.port, header=proxy_header.v2(address), greeting=None) as c:
        code, text = c.reply()
        if code != 220:
            return code, text
        c.ehlo()
        for line in (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in recipients), "DATA"):
            code, text = c.command(line)
            if code not in (250, 354):
                return code, text
        c.send(BODY + b".\r\n")
        return c.reply()


def known(p, workers=2):
    """All workers have been shown the lists."""
    status = p.status()
    return [w["status"]["lists"]["known"] for w in status["workers"] if w["answered"]] == [True] * workers


def keeper(p):
    pids = list(p.pids("keeper"))
    return pids[0] if len(pids) == 1 else None


def items(p, name):
    done = p.cli("list", "show", name, "--json")
    assert done.returncode == 0, done.stderr
    return {i["item"]: i for i in map(json.loads, done.stdout.splitlines())}


@pytest.fixture
def listed(sink, postern):
    p = postern.configured(sink(), listen=PROXY, rules=RULES)
    p.start().ready(hello=proxy_header.v2("192.0.2.200"))
    until(lambda: known(p), "workers to know the lists")
    return p


def ok(p, *words, status=0, **options):
    done = p.cli("list", *words, **options)
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_a_change_is_in_force_everywhere(listed):
    p = listed
    assert talk(p)[0] == 250, "a list that nobody has filled is empty, not unknown"
    for turn in range(3):
        ok(p, "add", "blocked", "192.0.2.0/24", "--reason", "spam since May")
        until(lambda: is_blocked(p, "192.0.2.1"), "the item to be in force")
        # Each worker has it: connections spread over both.
        assert all(is_blocked(p, f"192.0.2.{i}") for i in range(20))
        code, text = greeting(p, "192.0.2.77")
        assert text.startswith("5.7.1 Blocked: 192.0.2.0/24 spam since May"), text
        assert not is_blocked(p, "198.51.100.1")
        ok(p, "del", "blocked", "192.0.2.0/24")
        until(lambda: not is_blocked(p, "192.0.2.1"), "the item to be gone")
        assert not any(is_blocked(p, f"192.0.2.{i}") for i in range(20))


def test_expiry_takes_effect_on_time(listed):
    p = listed
    ok(p, "add", "blocked", "192.0.2.0/24", "--reason", "net")
    ok(p, "add", "blocked", "192.0.2.1", "--reason", "host", "--ttl", "3s")
    until(lambda: " host" in greeting(p, "192.0.2.1")[1], "the longest prefix to hold")
    until(lambda: " net" in greeting(p, "192.0.2.1")[1], "the longest prefix to expire")
    assert set(items(p, "blocked")) == {"192.0.2.0/24"}


def test_the_command(listed):
    p = listed
    assert "blocked" in ok(p, "ls") and "yes" in ok(p, "ls")
    assert "there is none" in ok(p, "add", "blokced", "192.0.2.1", status=1)
    assert "did you mean `blocked`" in ok(p, "add", "blokced", "192.0.2.1", status=1)
    assert "192.0.2.0/24" in ok(p, "add", "blocked", "192.0.2.5/24", "--reason", "bits", "--by", "ann")
    said = ok(p, "add", "blocked", "192.0.2.9")
    assert "192.0.2.9 lies in 192.0.2.0/24" in said
    ok(p, "add", "blocked", "::ffff:198.51.100.7")
    ok(p, "add", "blocked", "2001:db8::/32")
    have = items(p, "blocked")
    assert set(have) == {"192.0.2.0/24", "192.0.2.9", "198.51.100.7", "2001:db8::/32"}
    assert have["192.0.2.0/24"]["reason"] == "bits" and have["192.0.2.0/24"]["by"] == "ann"
    assert have["192.0.2.9"]["by"] == "root" or os.geteuid() != 0
    assert "1 there already" in ok(p, "add", "blocked", "192.0.2.9")
    assert "1 changed" in ok(p, "add", "blocked", "192.0.2.9", "--reason", "other")
    assert "is no address or network" in ok(p, "add", "blocked", "example.com", status=1)
    found = ok(p, "search", "192.0.2.9")
    assert "192.0.2.0/24" in found and "192.0.2.9" in found and "bits" in found
    assert "no list has it" in ok(p, "search", "203.0.113.1", status=1)
    ok(p, "add", "senders", "Bad.Example", ".sub.example")
    assert "Bad.Example" in ok(p, "search", "a.bad.example")
    assert ".sub.example" in ok(p, "search", "senders", "x.sub.example")
    ok(p, "add", "traps", "@trap.example")
    assert "@trap.example" in ok(p, "search", "who@trap.example")
    assert "would be" in ok(p, "add", "blocked", "203.0.113.0/24", "--dry-run")
    assert "203.0.113.0/24" not in items(p, "blocked")
    assert "not there" in ok(p, "del", "blocked", "203.0.113.0/24", status=1)
    assert "1 taken off" in ok(p, "del", "blocked", "192.0.2.9", "203.0.113.0/24", status=5)
    ok(p, "add", "own", "one", "--type", "text")
    assert set(items(p, "own")) == {"one"}
    ok(p, "nonsense", status=2)
    ok(p, "add", "blocked", status=2)
    ok(p, "show", "blocked", "--ttl", "1h", status=2)
    ok(p, "show", "nothing", status=1)
    assert "the list is empty" not in ok(p, "show", "blocked")


def test_what_is_protected_cant_be_listed(listed):
    p = listed
    assert "127.0.0.0/8 is protected (loopback)" in ok(p, "add", "blocked", "127.0.0.1", status=1)
    assert "is protected" in ok(p, "add", "blocked", "0.0.0.0/0", status=1)
    assert "is protected" in ok(p, "add", "blocked", "::/0", status=1)
    ok(p, "add", "blocked", "192.0.2.128/25")
    said = ok(p, "protect", "192.0.2.200", "--reason", "our office")
    assert "the list blocked has 192.0.2.128/25 still" in said
    said = ok(p, "add", "blocked", "192.0.2.0/24", "198.51.100.0/24", status=5)
    assert "192.0.2.0/24 is not added: 192.0.2.200 is protected (our office)" in said
    assert set(items(p, "blocked")) == {"192.0.2.128/25", "198.51.100.0/24"}
    assert "192.0.2.200" in ok(p, "show", "protected")
    ok(p, "add", "protected", "192.0.2.9", status=2)
    ok(p, "del", "protected", "192.0.2.200")
    ok(p, "add", "blocked", "192.0.2.0/24")


def test_a_spam_trap(listed):
    p = listed
    ok(p, "add", "traps", "honey@example.com")
    until(lambda: talk(p, "198.51.100.9", recipients=["honey@example.com"])[0] == 550, "the trap to be there")
    until(lambda: is_blocked(p, "198.51.100.9"), "the rule to have blocked it")
    have = items(p, "blocked")["198.51.100.9"]
    assert have["by"] == "rule trap" and have["reason"] == "hit honey@example.com"
    assert 6.9 * 86400 < have["expires"] - have["at"] < 7.1 * 86400
    # A rule shortens nothing that an admin has said.
    ok(p, "del", "blocked", "198.51.100.9")
    ok(p, "protect", "198.51.100.9")
    until(lambda: not is_blocked(p, "198.51.100.9"), "it to be let in")
    assert talk(p, "198.51.100.9", recipients=["honey@example.com"])[0] == 550
    until(lambda: [e for e in p.log if e.get("event") == "list_protected"], "the log to say what was refused")
    assert not is_blocked(p, "198.51.100.9")


def test_rules_add_whatever_the_reply(listed):
    p = listed
    assert talk(p, sender="a@keep.example")[0] == 250
    until(lambda: talk(p, sender="a@sub.keep.example")[0] == 550, "the domain to be listed")
    assert items(p, "senders")["keep.example"]["expires"] == 0
    assert talk(p, "203.0.113.1", sender="a@watched.example")[0] == 250
    ok(p, "add", "senders", "last.example")
    until(lambda: talk(p, sender="a@last.example")[0] == 550, "the next change")
    assert not items(p, "blocked"), "a rule that only watches adds nothing"


def test_imports(listed, tmp_path):
    p = listed
    drop = tmp_path / "drop.txt"
    drop.write_text("; Spamhaus DROP\n192.0.2.0/24 ; SBL1\n198.51.100.0/24 ; SBL2\nnonsense\n127.0.0.0/8 ; us\n"
                    "198.51.100.7 ; within\n192.0.2.0/24 ; SBL3\n")
    said = ok(p, "import", "blocked", str(drop), "--dry-run", status=5)
    assert "3  would be added" in said and "line 4: `nonsense`" in said and not items(p, "blocked")
    said = ok(p, "import", "blocked", str(drop), "--reason", "drop", status=5)
    assert "3  added" in said and "1  bad lines" in said and "1  protected" in said and "1  twice" in said
    assert "1  within" in said
    assert items(p, "blocked")["192.0.2.0/24"]["reason"] == "SBL3"
    until(lambda: is_blocked(p, "198.51.100.99"), "the import to be in force")
    exported = ok(p, "export", "blocked")
    ok(p, "del", "blocked", "192.0.2.0/24")
    assert "1  added" in ok(p, "import", "blocked", "-", stdin=exported)
    assert items(p, "blocked")["192.0.2.0/24"]["reason"] == "SBL3"
    done = p.cli("list", "import", "senders", "-", "--json", stdin='{"domain":"a.example"}\n{"x":1}\n')
    assert done.returncode == 5 and json.loads(done.stdout)["added"] == 1 and json.loads(done.stdout)["bad"] == 1


def test_a_hundred_thousand(listed, tmp_path):
    p = listed
    rng = random.Random(1)
    networks = {f"{rng.randrange(1, 120)}.{rng.randrange(256)}.{rng.randrange(256)}.0/24" for _ in range(100000)}
    big = tmp_path / "big.txt"
    big.write_text("".join(f"{n}\n" for n in networks))
    said = ok(p, "import", "blocked", str(big))
    one = next(iter(networks)).replace(".0/24", ".77")
    until(lambda: is_blocked(p, one), "the import to be in force")
    assert f"{len(networks)}  added" in said
    before = p.status()["store"]["list_bytes"]
    ok(p, "add", "blocked", "192.0.2.1", "--reason", "one more")
    until(lambda: is_blocked(p, "192.0.2.1"), "one more item")
    assert p.status()["store"]["list_bytes"] - before < 4096
    assert f"{len(networks)}  there already" in ok(p, "import", "blocked", str(big))


def test_lists_hold_when_the_keeper_dies(listed):
    p = listed
    ok(p, "add", "blocked", "192.0.2.0/24", "--reason", "held")
    until(lambda: is_blocked(p, "192.0.2.1"), "the item to be in force")
    for _ in range(3):
        first = keeper(p)
        os.kill(first, signal.SIGKILL)
        for _ in range(20):
            assert is_blocked(p, "192.0.2.1")
        until(lambda: keeper(p) not in (None, first), "a new keeper")
        until(lambda: p.cli("list", "ls").returncode == 0, "the keeper to answer")
        until(lambda: known(p), "the workers to be linked")
        assert is_blocked(p, "192.0.2.1")
    ok(p, "del", "blocked", "192.0.2.0/24")
    until(lambda: not is_blocked(p, "192.0.2.1"), "the new keeper's word to count")


def test_a_stopped_keeper_costs_nothing(listed):
    p = listed
    ok(p, "add", "blocked", "192.0.2.0/24")
    until(lambda: is_blocked(p, "192.0.2.1"), "the item to be in force")
    stopped = keeper(p)
    os.kill(stopped, signal.SIGSTOP)
    try:
        assert is_blocked(p, "192.0.2.1") and talk(p, "203.0.113.5", sender="a@keep.example")[0] == 250
    finally:
        os.kill(stopped, signal.SIGCONT)
    until(lambda: "keep.example" in items(p, "senders"), "what was told meanwhile to arrive")


def test_a_reload_keeps_the_lists(listed):
    p = listed
    ok(p, "add", "blocked", "192.0.2.0/24")
    until(lambda: is_blocked(p, "192.0.2.1"), "the item to be in force")
    p.write("rules.d/test.rules", RULES.replace('list senders : domain from store "senders"',
                                                 'list senders : domain from store "others"'))
    done = p.cli("reload")
    assert done.returncode == 0, done.stderr
    until(lambda: is_blocked(p, "192.0.2.1"), "new workers to know the lists")
    assert "others" in ok(p, "ls")


def test_a_change_under_load(sink, postern, load):
    """Sessions go on, none of them is lost, and a change is in force while they do."""
    p = postern(sink(), rules=RULES, more="limits { per_client 1000 connections 2000 }\n")
    until(lambda: known(p), "workers to know the lists")
    running = load(port=p.port, messages=2000, connections=10, per_session=5)
    for turn in range(5):
        running.wait_outcomes(200 * turn)
        ok(p, "add", "senders", f"turn{turn}.example")
        def refused():
            with Client(p.port) as c:
                c.ehlo()
                c.command(f"MAIL FROM:<a@turn{turn}.example>")
                return c.command("RCPT TO:<alice@example.com>")[0] == 550
        until(refused, "the change to be in force")
    assert [o["code"] for o in running.wait()].count(250) == 2000


def test_explain_asks_the_daemon(listed):
    p = listed
    ask = ("--ip", "192.0.2.1", "--from", "a@good.example", "--to", "alice@example.com", "--no-dns")
    assert p.cli("explain", *ask).returncode == 0
    ok(p, "add", "blocked", "192.0.2.0/24", "--reason", "seen by explain")
    done = p.cli("explain", *ask)
    assert done.returncode == 1 and "seen by explain" in done.stdout, (done.stdout, done.stderr)


def test_without_a_daemon(postern, sink):
    p = postern.configured(sink(), rules=RULES)
    assert "not running" in ok(p, "ls", status=4)
    done = p.cli("explain", "--ip", "192.0.2.1", "--from", "a@good.example", "--to", "alice@example.com", "--no-dns")
    assert done.returncode == 0 and "@blocked is not at hand" in done.stderr, (done.stdout, done.stderr)
