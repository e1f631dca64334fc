"""From real mail to DMARC aggregate reports: what SPF and DMARC found out, what the rules made of it, what the keeper
counted, and what is left of it after kill -9 and after an orderly end."""

import gzip
import json
import os
import signal
import xml.etree.ElementTree as ElementTree

from harness import proxy_header
from harness.client import Client
from harness.postern import Postern
from harness.process import until
from harness.store import Store

SPACE = "{urn:ietf:params:xml:ns:dmarc-2.0}"
LISTEN = "tls none proxy_protocol from { 127.0.0.1 }"
GOOD, BAD = "192.0.2.1", "192.0.2.99"
ZONE = """\
example.com. TXT "v=spf1 ip4:192.0.2.1 -all"
example.com. MX 10 mx.example.com.
_dmarc.example.com. TXT "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"
lax.example. TXT "v=spf1 -all"
lax.example. MX 10 mx.example.com.
_dmarc.lax.example. TXT "v=DMARC1; p=none"
plain.example. TXT "v=spf1 ip4:192.0.2.1 -all"
plain.example. MX 10 mx.example.com.
"""
RULES = """
rule dmarc { when dmarc == fail and dmarc.policy == reject then reject 550 5.7.1 "DMARC" }
"""


def send(p, source, domain, times=1, sender=None, end="\r\n"):
    """The codes of the replies to so many messages from that client."""
    with Client(p.port, header=proxy_header.v1(source)) as c:
        c.ehlo()
        body = f"From: <a@{domain}>\r\nMessage-ID: <m@{domain}>\r\n\r\nbody{end}".encode()
        return [c.message(body, sender=sender or f"a@{domain}")[0] for _ in range(times)]


def start(postern, sink, dns):
    return postern(sink(), hello=proxy_header.v1(GOOD), listen=LISTEN, rules=RULES, dns=dns(ZONE),
                   results="always")


def test_messages_become_rows(sink, postern, dns, tmp_path):
    p = start(postern, sink, dns)
    store = Store(p)
    assert send(p, GOOD, "example.com", 3) == [250] * 3
    assert send(p, BAD, "example.com", 2) == [550] * 2
    assert send(p, BAD, "news.example.com", sender="a@plain.example") == [550]
    assert send(p, BAD, "lax.example") == [250]
    assert send(p, GOOD, "plain.example") == [250], "a domain without a record"
    until(lambda: store.dmarc_messages("example.com") == 6 and store.dmarc_messages("lax.example") == 1,
          f"the rows; now {store.ask('SELECT * FROM dmarc_domains')}")
    assert not store.dmarc_messages("plain.example")
    (three, passed), (two, failed), (one, below) = store.dmarc_rows("example.com")
    assert (three, two, one) == (3, 2, 1)
    assert (passed["disposition"], passed["spf"], passed["dkim"]) == ("pass", "pass", "fail")
    assert (passed["source_ip"], passed["spf_result"], passed["spf_domain"]) == (GOOD, "pass", "example.com")
    assert (failed["disposition"], failed["spf"], failed["spf_result"]) == ("reject", "fail", "fail")
    assert (below["header_from"], below["envelope_from"]) == ("news.example.com", "plain.example")
    (_, lax), = store.dmarc_rows("lax.example")
    assert lax["disposition"] == "none" and "reason" not in lax
    done = p.cli("dmarc-report", "--day", "today", "--domain", "example.com", "--output", tmp_path / "x.gz", "--json")
    assert done.returncode == 0, done.stderr
    assert [d["state"] for d in json.loads(done.stdout)["destinations"]] == ["takes"]
    tree = ElementTree.fromstring(gzip.decompress((tmp_path / "x.gz").read_bytes()))
    counts = [int(r.findtext(f"{SPACE}row/{SPACE}count")) for r in tree.findall(f"{SPACE}record")]
    assert counts == [3, 2, 1]


def test_kill_9_of_the_keeper_loses_no_row(sink, postern, dns):
    """What it had committed and not answered counts twice: never fewer than there were, and few more."""
    p = start(postern, sink, dns)
    store, sent = Store(p), 0
    until(store.file.exists, "the store's file")
    for _ in range(5):
        before, = p.pids("keeper")
        sent += len(send(p, GOOD, "example.com", 20))
        os.kill(before, signal.SIGKILL)
        sent += len(send(p, GOOD, "example.com", 20))
        until(lambda: set(p.pids("keeper")) - {before}, "a new keeper")
    until(lambda: store.dmarc_messages("example.com") >= sent, f"{sent} messages")
    assert store.dmarc_messages("example.com") <= sent + 100
    assert store.is_sound()


def test_an_orderly_end_writes_all(sink, dns):
    """The keeper hears what workers told last, however soon they ended."""
    server = dns(ZONE)
    p = Postern(sink(), listen=LISTEN, rules=RULES, dns=server, results="always")
    kept = p.directory.with_name(p.directory.name + ".db")
    try:
        p.start().ready(proxy_header.v1(GOOD))
        store = Store(p)
        until(store.file.exists, "the store's file")
        os.link(store.file, kept)  # the file outlives the folder; its log is written into it at the end
        assert send(p, GOOD, "example.com", 50) == [250] * 50
    finally:
        p.stop()
    try:
        store.file = kept
        assert store.dmarc_messages("example.com") == 50
    finally:
        kept.unlink()
