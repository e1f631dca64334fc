"""Rules in the running daemon: facts by real DNS, and verdicts that real mail servers carry out."""

import json
import re
import shutil
import time

import pytest

from harness import proxy_header
from harness.client import Client
from harness.dovecot import DovecotLMTP
from harness.nsd import reverse
from harness.postern import ROOT
from harness.postfix import Postfix
from harness.process import until

PROXY = "tls none proxy_protocol from { 127.0.0.1 }"
HELLO = proxy_header.v2("192.0.2.1")
BODY = b"Message-ID: <one@client.example>\r\nFrom: <a@good.example>\r\nSubject: hello\r\n\r\nbody\r\n"


def talk(p, address="192.0.2.1", sender="a@good.example", helo="good.example", body=BODY,
         recipients=("alice@example.com",)):
    """A message from `address`: the first reply that is not a welcome, or the last one."""
    with Client(p.port, header=proxy_header.v2(address), greeting=None) as c:
        code, text = c.reply()
        if code != 220:
            return code, text
        utf8 = "" if sender.isascii() else " SMTPUTF8"
        for line in (f"EHLO {helo}", f"MAIL FROM:<{sender}>{utf8}", *(f"RCPT TO:<{r}>" for r in recipients), "DATA"):
            code, text = c.command(line)
            if code not in (250, 354):
                return code, text
        c.send(body + b".\r\n")
        return c.reply()


def header(message, name):
    """A header's value; None: it has none."""
    found = re.search(rb"^%s: (.*?)\r?$" % name.encode(), message.split(b"\r\n\r\n")[0], re.M)
    return found and found[1].decode()


# Facts.

ZONE = f"""\
good.example. MX 10 mx.good.example.
good.example. A 192.0.2.1
mx.good.example. A 192.0.2.1
mx.good.example. AAAA 2001:db8::1
null.example. MX 0 .
other.example. A 192.0.2.99
address.example. A 192.0.2.5
text.example. TXT "neither mail nor host"
{reverse("192.0.2.1")} PTR mx.good.example.
{reverse("2001:db8::1")} PTR mx.good.example.
{reverse("192.0.2.2")} PTR other.example.
alias.example. CNAME good.example.
{reverse("192.0.2.10")} CNAME 10.rev.example.
10.rev.example. PTR many.example.
many.example. A 192.0.2.10
xn--bcher-kva.example. MX 10 mx.good.example.
""" + "".join(f"big.example. MX {i} mail{i}.some.quite.long.name.big.example.\n" for i in range(200)) + "".join(
    f"{reverse('192.0.2.11')} PTR host{i}.many.example.\nhost{i}.many.example. A 192.0.2.{11 if i == 7 else 99}\n"
    for i in range(8))

SHOW = """
rule show {
    then header set "X-Rdns" "{client.rdns}", header set "X-Fcrdns" "{client.fcrdns}",
         header set "X-Mx" "{mail.mx}", header set "X-Resolves" "{helo.resolves}"
}
rule strangers { when client.fcrdns == fail and not helo.resolves then reject 550 5.7.1 "{client.rdns} is not {helo}" }
"""


def test_facts_by_dns(sink, postern, dns):
    backend = sink()
    p = postern(backend, hello=HELLO, listen=PROXY, rules=SHOW, dns=dns(ZONE))
    cases = [
        ("192.0.2.1", "a@good.example", "good.example", "mx.good.example", "pass", "yes", "yes"),
        ("2001:db8::1", "a@good.example", "mx.good.example", "mx.good.example", "pass", "yes", "yes"),
        ("192.0.2.2", "a@address.example", "good.example", "other.example", "fail", "yes", "yes"),
        ("192.0.2.3", "a@null.example", "nowhere.example", "", "none", "no", "no"),
        ("192.0.2.1", "a@text.example", "[192.0.2.1]", "mx.good.example", "pass", "no", "yes"),
        ("192.0.2.1", "", "[192.0.2.9]", "mx.good.example", "pass", "", "no"),
        # An answer too large for UDP; aliases; one name of several leads back, which comes in any order.
        ("192.0.2.10", "a@big.example", "alias.example", "many.example", "pass", "yes", "yes"),
        ("192.0.2.11", "a@ALIAS.Example", "MX.Good.Example", None, "pass", "yes", "yes"),
        ("192.0.2.1", "ä@bücher.example", "good.example", "mx.good.example", "pass", "yes", "yes"),
    ]
    for address, sender, helo, *wanted in cases:
        assert talk(p, address, sender, helo)[0] == 250
        message = backend.messages[-1].body
        said = [header(message, name) or "" for name in ("X-Rdns", "X-Fcrdns", "X-Mx", "X-Resolves")]
        assert all(w in (None, is_) for w, is_ in zip(wanted, said)), (helo, said)
    code, text = talk(p, "192.0.2.2", helo="nowhere.example")
    assert code == 550 and text.startswith("5.7.1 other.example is not nowhere.example (id ")


def listed(address, *codes, zone="zen.example"):
    return "".join(f"{reverse(address, zone)} A {code}\n" for code in codes)


ZEN = listed("127.0.0.2", "127.0.0.2") + listed("192.0.2.4", "127.0.0.4") + listed("192.0.2.5", "127.0.0.99") + \
    listed("192.0.2.6", "127.255.255.254") + listed("192.0.2.7", "127.0.0.99", "127.0.0.11")
ZEN_RULES = """
list zen : ip from dnsbl "zen.example" { 127.0.0.2-127.0.0.11 }
rule zen   { when client.ip in @zen then reject now 554 5.7.1 "{list.reason} lists {client.ip}" }
rule clean { when not client.ip in @zen then header add "X-Zen" "clean" }
"""


def test_a_blocklist(sink, postern, dns):
    """Which answers count; what is no answer (127.255.255.x) is a failed lookup: neither listed nor clean. The greeting
    doesn't wait for DNS: once the answer is there it is what the client hears next, at RCPT at the latest."""
    backend = sink()
    p = postern(backend, hello=HELLO, listen=PROXY, rules=ZEN_RULES, dns=dns(ZEN))
    for address in ("192.0.2.4", "192.0.2.7"):
        code, text = talk(p, address)
        assert code == 554 and text.startswith(f"5.7.1 zen.example lists {address} (id ")
    until(lambda: len([r for r in p.log if r.get("rule") == "zen" or "to" in r and r["to"][0]["rule"] == "zen"]) == 2,
          "both in the log, as a refusal or a transaction")
    for address, clean in (("192.0.2.1", "clean"), ("192.0.2.5", "clean"), ("192.0.2.6", None)):
        assert talk(p, address)[0] == 250
        assert header(backend.messages[-1].body, "X-Zen") == clean, address
    until(lambda: [r for r in p.log if r.get("event") == "dnsbl_broken" and r["zone"] == "zen.example"], "a word in the log")


@pytest.mark.parametrize("zone, why", [
    ("*.zen.example. A 127.0.0.2\n", "everything"),
    (listed("192.0.2.4", "127.0.0.4"), "empty"),
    (listed("127.0.0.2", "127.255.255.255") + listed("192.0.2.4", "127.0.0.4"), "refuses our questions"),
    ("*.zen.example. A 198.51.100.1\n", "outside of 127"),
], ids=["lists all", "without a test entry", "refuses", "parked"])
def test_a_broken_blocklist_is_switched_off(sink, postern, dns, zone, why):
    backend = sink()
    p = postern(backend, hello=HELLO, listen=PROXY, rules=ZEN_RULES, dns=dns(zone), workers=1)
    assert talk(p, "192.0.2.4")[0] == 250
    assert header(backend.messages[0].body, "X-Zen") is None, "neither listed nor clean"
    off, = until(lambda: [r for r in p.log if r.get("event") == "dnsbl_off"], "the log to say that it is switched off")
    assert off["zone"] == "zen.example" and why in off["text"]


CAREFUL = """
list zen : ip from dnsbl "zen.example"
rule zen     { when client.ip in @zen then reject 554 5.7.1 "listed" }
rule rdns    { when client.fcrdns == fail then reject 550 5.7.1 "rdns" }
rule careful { when mail.mx == no and mail.local == "careful" on error defer then reject 550 5.7.1 "no mx" }
rule mx      { when mail.mx == no then reject 550 5.7.1 "no mx" }
rule helo    { when not helo.resolves then reject 550 5.7.1 "helo" }
rule mark    { then header add "X-End" "reached" }
"""


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "dead"])
def test_mail_goes_on_without_dns(sink, postern, dns, silent):
    """Rules that read it are skipped within the deadlines; `on error defer` defers."""
    backend, resolver = sink(), dns(None if silent else "")
    if not silent:
        resolver.stop()
    p = postern(backend, hello=HELLO, listen=PROXY, rules=CAREFUL, dns=resolver, more="timeouts { filter 1s }")
    begin = time.monotonic()
    assert talk(p)[0] == 250
    took = time.monotonic() - begin
    assert took < 5, f"{took:.1f} s for facts with a deadline of 1 s each"
    assert header(backend.messages[0].body, "X-End") == "reached"
    code, text = talk(p, sender="careful@good.example")
    assert code == 451 and text.startswith("4.4.3 ")
    record = p.wait_audit(lambda r: r["from"] == "careful@good.example")
    assert record["to"][0]["rule"] == "careful" and record["to"][0]["verdict"] == "defer"
    assert not silent or resolver.asked()


def test_dns_comes_back(sink, postern, dns):
    """An outage leaves nothing behind: neither a zone switched off nor rules that stay skipped."""
    backend, resolver = sink(), dns(ZONE + ZEN)
    p = postern(backend, hello=HELLO, listen=PROXY, rules=ZEN_RULES, dns=resolver, workers=1,
                more="timeouts { filter 1s }")
    resolver.stop()
    assert talk(p, "192.0.2.4")[0] == 250
    resolver.start()
    until(lambda: talk(p, "192.0.2.4")[0] == 554, "the blocklist to count again")


# Verdicts.

VERDICTS = """
list exe : text { "exe", "scr" }
rule strip   { then header remove "X-Spam-Score", header set "X-Seen" "{message.id}" }
rule reject  { when subject contains "reject" then reject 550 5.7.9 "Not {subject}" }
rule defer   { when subject contains "defer" then defer 451 4.7.9 "Later" }
rule discard { when subject contains "discard" then discard "thrown away" }
rule exe     { when any attachment.extension in @exe then quarantine "program {attachment.name}" }
rule s1      { when subject contains "offer" then score 4 "offer", tag "offer" }
rule s2      { when body contains "cheap" then score 2.5 "cheap", tag "cheap" }
rule spam    { when score > 5 then subject prefix "[SPAM] ", header add "X-Spam-Score" "{score} ({tags})" }
rule elsewhere { when rcpt.local == "carol" then route "second" }
"""


def letter(subject, text="body", more=""):
    return (f"Message-ID: <{subject.split()[0]}@client.example>\r\nFrom: <a@good.example>\r\nSubject: {subject}\r\n"
            f"x-spam-score:\r\n -99\r\n{more}\r\n{text}\r\n").encode()


PROGRAM = ('Content-Type: multipart/mixed; boundary="b"\r\n',
           '--b\r\n\r\nhere it is\r\n--b\r\nContent-Disposition: attachment; filename="setup.EXE"\r\n\r\nMZ\r\n--b--')


@pytest.fixture
def site(peer, postern):
    """postern with VERDICTS before Postfix (PROXY v2), and Dovecot's LMTP as a second backend."""
    main, second = peer(Postfix, smtpd_upstream_proxy_protocol="haproxy"), peer(DovecotLMTP)
    p = postern(main, hello=HELLO, listen=PROXY, rules=VERDICTS, backend_options="client_info proxy_v2", more=f"""
        backend "second" {{ server "127.0.0.1:{second.port}" protocol lmtp client_info none }}""")
    return p, main, second


def test_verdicts_are_carried_out(site):
    p, main, second = site
    code, text = talk(p, body=letter("reject me"))
    assert code == 550 and re.fullmatch(r"5\.7\.9 Not reject me \(id [A-Z2-7]{12}\)", text, re.I)
    code, text = talk(p, body=letter("defer me"))
    assert code == 451 and text.startswith("4.7.9 Later (id ")
    assert talk(p, body=letter("discard me"))[0] == 250
    assert talk(p, body=letter("plain"))[0] == 250
    assert talk(p, body=letter("offer", "cheap\r\n.dot".replace(".", "..")))[0] == 250
    assert talk(p, body=letter("routed"), recipients=["carol@example.com"])[0] == 250
    mail = {header(m.replace(b"\n", b"\r\n"), "Message-ID"): m for m in main.wait_messages(2)}
    assert set(mail) == {"<plain@client.example>", "<offer@client.example>"}
    # Byte for byte, but for what is put before it and the edits.
    assert mail["<plain@client.example>"].endswith(
        b"\nMessage-ID: <plain@client.example>\nFrom: <a@good.example>\nSubject: plain\n"
        b"X-Seen: plain@client.example\n\nbody\n")
    marked = mail["<offer@client.example>"]
    assert b"\nSubject: [SPAM] offer\n" in marked and b"\nX-Spam-Score: 6.5 (offer, cheap)\n" in marked
    assert b"-99" not in marked and marked.endswith(b"\n\ncheap\n.dot\n")
    routed, = second.wait_messages(user="carol")
    assert b"\nSubject: routed\n" in routed and b"\nX-Seen: routed@client.example\n" in routed
    assert not main.messages("carol")
    verdicts = until(lambda: (a := p.audits()) and len(a) == 6 and a, "six records")
    assert [(r["verdict"], r.get("rule")) for r in verdicts] == [
        ("reject", "reject"), ("defer", "defer"), ("discard", "discard"), ("accept", None), ("accept", None),
        ("accept", None)]
    assert verdicts[4]["score"] == 6.5 and verdicts[4]["tags"] == ["offer", "cheap"]
    assert verdicts[5]["backend"] == "second"


def test_a_quarantined_message_is_released(site):
    """The backend then sees the client that brought it, and stores what it would have got at once."""
    p, main, second = site
    more, text = PROGRAM
    for address, subject, users in (("192.0.2.77", "program", ("alice", "bob")), ("2001:db8::77", "other", ("carol",))):
        code, said = talk(p, address, body=letter(subject, text, more), recipients=[f"{u}@example.com" for u in users])
        assert code == 250, said
    held = json.loads(p.cli("quarantine", "ls", "--json").stdout)
    assert [(h["why"], h["rule"]) for h in held] == [("program setup.EXE", "exe")] * 2
    record = p.wait_audit(lambda r: "program@" in r.get("msgid", ""))
    assert [(to["verdict"], to["quarantine"]) for to in record["to"]] == [("quarantine", held[0]["id"])] * 2
    assert not main.messages() and not second.messages("carol")
    done = p.cli("quarantine", "release", *(h["id"] for h in held))
    assert done.returncode == 0, done.stderr
    for user in ("alice", "bob"):
        stored, = main.wait_messages(user=user)
        assert b"\nSubject: program\n" in stored and b"X-Seen: program@client.example\n" in stored
        assert re.search(rb"Received: from good\.example .*192\.0\.2\.77.*by mx\.example\.com", stored, re.S)
        assert stored.endswith(text.replace("\r\n", "\n").encode() + b"\n")
    main.wait_client("192.0.2.77")
    routed, = second.wait_messages(user="carol")
    assert b"\nSubject: other\n" in routed
    assert json.loads(p.cli("quarantine", "ls", "--json").stdout) == []


# Offline.

EXPLAINED = """
rule postmaster { when rcpt.local == "postmaster" then header add "X-Early" "{rcpt.count}", accept }
rule later      { when mail.mx == no and mail.local == "later" then defer 451 4.7.1 "{mail.domain} can't be answered" }
rule alone      { when rcpt.local == "bob" and subject contains "alice" then discard "{subject} is for alice alone" }
"""
GOOD, BAD = ("192.0.2.1", "mx.good.example", "a@good.example"), ("192.0.2.3", "nowhere.example", "a@null.example")
ALICE, BOB, CAROL = "alice@example.com", "bob@example.com", "carol@example.com"
LETTER = "Message-ID: <{}@good.example>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\nFrom: {}\r\nSubject: {}\r\n"
TEXT = "\r\nbody\r\n"
SESSIONS = {
    "plain": (*GOOD, [ALICE], LETTER.format(1, GOOD[2], "hello") + TEXT),
    "program": (*GOOD, [ALICE, CAROL], LETTER.format(2, GOOD[2], "see") + "\r\n".join(PROGRAM) + "\r\n"),
    "no rdns": (*BAD, [ALICE], LETTER.format(3, BAD[2], "hello") + TEXT),
    "spared": (*BAD, ["postmaster@example.com"], LETTER.format(4, BAD[2], "help") + TEXT),
    "another's name": ("192.0.2.2", "other.example", GOOD[2], [ALICE], LETTER.format(5, GOOD[2], "hello") + TEXT),
    "signs": ("192.0.2.2", "[192.0.2.2]", GOOD[2], [ALICE],
              'From: "b@example.com" <a@good.example>\r\nSubject: x\r\n\r\n'
              "https://192.0.2.9/login and http://[2001:db8::9]/\r\n"),
    "us": ("192.0.2.1", "mx.example.com", GOOD[2], [ALICE], LETTER.format(7, GOOD[2], "hello") + TEXT),
    "deferred": ("192.0.2.1", "mx.good.example", "later@text.example", [ALICE], LETTER.format(8, GOOD[2], "x") + TEXT),
    "discarded": (*GOOD, [BOB], LETTER.format(9, GOOD[2], "for alice") + TEXT),
    "a bounce": ("2001:db8::1", "mx.good.example", "", [ALICE], LETTER.format(10, "<>", "failed") + TEXT),
    "refused on sight": ("198.18.0.7", "mx.good.example", GOOD[2], [ALICE], LETTER.format(11, GOOD[2], "x") + TEXT),
}


def explain(p, path, address, helo, sender, recipients, message):
    path.write_bytes(message.encode())
    done = p.cli("explain", "--json", "--ip", address, "--helo", helo, "--from", sender,
                 *(word for r in recipients for word in ("--to", r)), path)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)["recipients"]


def test_explain_says_what_the_session_does(sink, postern, dns, tmp_path):
    """rules/strict.rules over the same DNS: the same verdict, rule, score, tags and words. Without its delay, and without
    greylisting, since explain asks no store."""
    p = postern.configured(sink(), listen=PROXY, dns=dns(ZONE), rules=EXPLAINED, more="filter greeting { wait 0s }")
    strict = (ROOT / "rules/strict.rules").read_text().replace(", delay 5s", "")
    p.write("rules.d/x-strict.rules", strict.replace("rule greylist {", "rule greylist off {").split("# --- tests ---")[0])
    shutil.copytree(ROOT / "rules/lists", p.directory / "rules.d/lists")
    p.write("rules.d/lists/blocked.cidr", "198.18.0.0/24 too much\n")
    p.start().ready(HELLO)
    seen = set()
    for name, (address, helo, sender, recipients, message) in SESSIONS.items():
        code, text = talk(p, address, sender, helo, message.encode(), recipients)
        record = until(lambda: next((r for r in p.log if r.get("verdict") and r["sid"] not in seen), None), name)
        seen.add(record["sid"])
        told = record.get("to", [record])  # who is refused on sight names no recipient
        explained = explain(p, tmp_path / "message.eml", address, helo, sender, recipients, message)
        assert [(e["verdict"], e["rule"]) for e in explained] == [(to["verdict"], to.get("rule")) for to in told], name
        for e in explained:
            if e["verdict"] in ("reject", "defer"):
                assert e["reply"] == f"{code} {text}".split(" (id ")[0], name
            if code == 250 and "score" in record:
                assert float(e["score"]) == record["score"], name
                tags = [t["effect"] for t in e["effects"] if t["effect"].startswith("tag ")]
                assert tags == [f'tag "{tag}"' for tag in record["tags"]], name
