"""Rules under clients that nobody here wrote: Exim with PRDR, Postfix with its queue, swaks, smtp-source."""

import re
import shutil
import subprocess

from harness.dovecot import DovecotLMTP
from harness.exim import Exim
from harness.postern import ROOT
from harness.postfix import Postfix
from harness.process import until
from harness.sink import EXTENSIONS

BODY = b"Message-ID: <both@client.example>\r\nFrom: <carol@example.com>\r\nTo: <alice@example.com>\r\nSubject: %s\r\n\r\nbody\r\n"
BOTH = ("alice@example.com", "bob@example.com")
DIFFERENT = """
rule bob   { when rcpt.local == "bob" and subject contains "for alice" then reject 550 5.7.9 "Bob doesn't want it" }
rule alice { when rcpt.local == "alice" then header add "X-For" "{rcpt.to}" }
"""


def test_prdr_answers_each_recipient_of_exim(peer, sink, postern):
    """One transaction, two answers: alice has it, and Exim bounces what bob didn't want."""
    backend = sink()
    p = postern(backend, rules=DIFFERENT)
    client = peer(Exim, relay_port=p.port)
    client.inject(BODY % b"for alice", BOTH, sender="carol@example.com")
    first, bounce = backend.wait_messages(2)
    assert first.recipients == [b"TO:<alice@example.com>"]
    assert b"\r\nX-For: alice@example.com\r\n" in first.body
    assert bounce.mail.startswith(b"FROM:<>") and bounce.recipients == [b"TO:<carol@example.com>"]
    assert b"bob@example.com" in bounce.body and b"Bob doesn't want it" in bounce.body
    assert b"alice@example.com\r\n    " not in bounce.body, "only bob's failed"
    record = p.wait_audit(lambda r: r["from"] == "carol@example.com")
    assert [(to["addr"], to["code"], to["verdict"]) for to in record["to"]] == [
        ("alice@example.com", 250, "accept"), ("bob@example.com", 550, "reject")]
    assert len(p.audits("both@client.example")) == 1


GROUPS = """
rule a { when rcpt.local ~ /^a/ and subject contains "for" then header add "X-For" "a" }
rule b { when rcpt.local ~ /^b/ and subject contains "for" then reject 550 5.7.9 "No b" }
rule c { when rcpt.local ~ /^c/ and subject contains "for" then quarantine "c" }
"""


def test_conflict_split_makes_postfix_come_again(peer, sink, postern):
    """Postfix has no PRDR: recipients of another mind are put off at RCPT, and it brings them in transactions of their
    own. Each gets what its rule says, once."""
    backend = sink()
    p = postern(backend, rules=GROUPS)
    client = peer(Postfix, relay_port=p.port, minimal_backoff_time="1s", maximal_backoff_time="1s", queue_run_delay="1s")
    client.inject(BODY % b"for six", [f"{user}@example.com" for user in ("a1", "b1", "c1", "a2", "b2", "c2")],
                  sender="dora@example.com")
    first, bounce = backend.wait_messages(2)
    groups = until(lambda: len(a := p.audits("both@client.example")) == 3 and a, "three transactions")
    assert sorted(r.split(b">")[0] for r in first.recipients) == [b"TO:<a1@example.com", b"TO:<a2@example.com"]
    assert b"\r\nX-For: a\r\n" in first.body
    assert bounce.mail.startswith(b"FROM:<>") and b"550 5.7.9 No b" in bounce.body
    assert b"b1@example.com" in bounce.body and b"b2@example.com" in bounce.body
    assert p.held() == {"both": 1}
    taken = [{(to["addr"][:2], to["verdict"]) for to in r["to"] if to["code"] != 452} for r in groups]
    assert sorted(map(sorted, taken)) == [
        [("a1", "accept"), ("a2", "accept")], [("b1", "reject"), ("b2", "reject")], [("c1", "quarantine"), ("c2", "quarantine")]]
    assert {to["code"] for r in groups for to in r["to"]} == {250, 452, 550}


def test_conflict_strictest_speaks_for_all(peer, sink, postern):
    backend = sink()
    p = postern(backend, rules=DIFFERENT, more="conflict strictest")
    client = peer(Postfix, relay_port=p.port)
    client.inject(BODY % b"for alice", BOTH, sender="carol@example.com")
    bounce, = backend.wait_messages(1)
    assert bounce.mail.startswith(b"FROM:<>")
    assert re.search(rb"<alice@example\.com>(.|\n)*<bob@example\.com>", bounce.body), "both are told of it"
    record = p.wait_audit(lambda r: r["from"] == "carol@example.com")
    assert [(to["code"], to["rule"]) for to in record["to"]] == [(550, "bob")] * 2


def swaks(p, *args):
    return subprocess.run(["swaks", "--server", f"127.0.0.1:{p.port}", "--to", "alice@example.com", "--from", "a@client.example",
                           "--helo", "client.example", *map(str, args)], capture_output=True, text=True, timeout=60)


def test_the_shipped_rules_and_swaks(sink, postern, dns, tmp_path):
    """rules/default.rules as they are, with their lists: a plain message, a program, a blocked client's network."""
    backend = sink()
    p = postern.configured(backend, dns=dns("client.example. A 192.0.2.1\n"), more="filter greeting { wait 100ms }")
    (p.directory / "rules.d").mkdir()
    shutil.copy(ROOT / "rules/default.rules", p.directory / "rules.d")
    shutil.copytree(ROOT / "rules/lists", p.directory / "rules.d/lists")
    p.start().ready()
    done = swaks(p)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"\r\nX-Spam-Score: " in backend.messages[0].body
    program = tmp_path / "setup.exe"
    program.write_bytes(b"MZ" * 1000)
    done = swaks(p, "--attach", f"@{program}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(backend.messages) == 1 and "setup.exe" in p.cli("quarantine", "ls").stdout
    p.write("rules.d/lists/blocked.cidr", "127.0.0.0/8 everybody here\n")
    assert p.cli("reload").returncode == 0
    done = swaks(p)
    assert done.returncode != 0 and "554 5.7.1 Blocked: everybody here" in done.stdout + done.stderr


def test_smtp_source_and_a_score(peer, sink, postern):
    """Many sessions at once, by DATA and each with several recipients of one mind."""
    backend = sink(extensions=[e for e in EXTENSIONS if e != "CHUNKING"])
    p = postern(backend, rules="""
        rule size { when message.size > 1KB then score 2, tag "large" }
        rule load { when helo == "load.example" then score 1 }
        rule mark { when score > 2 then header add "X-Score" "{score} {tags}" }
        rule half { when mail.local == "refused" then reject 550 5.7.1 "No" }
    """)
    source = peer(Postfix)
    done = source.smtp_source(p.port, "-s", "5", "-m", "100", "-r", "3", "-l", "2000", "-M", "load.example",
                              "-f", "a@client.example", "-t", "alice@example.com")
    assert done.returncode == 0, done.stderr
    assert len(backend.messages) == 100
    assert all(b"\r\nX-Score: 3 large\r\n" in m.body and len(m.recipients) == 3 for m in backend.messages)
    done = source.smtp_source(p.port, "-s", "2", "-m", "4", "-f", "refused@client.example", "-t", "alice@example.com")
    assert done.returncode != 0 and "550 5.7.1 No" in done.stderr
    assert len(backend.messages) == 100
    until(lambda: len(p.audits()) >= 101, "a record for each")


def test_prdr_from_exim_to_dovecot(peer, postern):
    """LMTP answers each recipient too: alice and bob in one transaction, quarantine and a refusal beside them."""
    server = peer(DovecotLMTP)
    p = postern(server, rules="""
        rule carol { when rcpt.local == "carol" and subject contains "three" then quarantine "carol's" }
        rule bob   { when rcpt.local == "bob" and subject contains "three" then tag "bob", header add "X-For" "bob" }
    """)
    client = peer(Exim, relay_port=p.port)
    client.inject(BODY % b"for three", (*BOTH, "carol@example.com"))
    alice, bob = *server.wait_messages(), *server.wait_messages(user="bob")
    assert b"X-For" not in alice and b"\nX-For: bob\n" in bob
    record = p.wait_audit(lambda r: len(r["to"]) == 3)
    assert [(to["addr"].split("@")[0], to["code"], to["verdict"]) for to in record["to"]] == [
        ("alice", 250, "accept"), ("bob", 250, "accept"), ("carol", 250, "quarantine")]
    assert p.held() == {"both": 1} and not server.messages("carol")
    assert p.cli("quarantine", "release", record["to"][2]["quarantine"]).returncode == 0
    assert server.wait_messages(user="carol")
