"""Who sent a message: real signatures and seals (dkimpy makes them), real DNS, and what rules, the mail server, clients and
`explain` get to see of it."""

import base64
import email
import re
import subprocess
from pathlib import Path

import authres
import dkim
import pytest

from harness import proxy_header
from harness.answers import Answers
from harness.client import Client

KEYS = Path(__file__).resolve().parents[1] / "oracle/arc_keys"
OURS, OTHERS = "192.0.2.1", "192.0.2.99"
RULES = """
list trusted : domain { "lists.example" }

rule dmarc {
    when   dmarc == fail and mail.dmarc_policy != none and dmarc.policy == reject
    unless arc == pass and any arc.sealers in @trusted
    then   reject 550 5.7.1 "DMARC of {from.domain}"
}
rule spf {
    when   spf == fail
    unless arc == pass and any arc.sealers in @trusted
    unless dkim == pass
    then   reject 550 5.7.23 "{spf.explanation}"
}
rule seen {
    then header add "X-Seen" "{dkim} {dkim.domains} {dmarc} {arc} {arc.sealers} {arc.dkim} {spf.helo}"
}
"""


def record(key):
    der = subprocess.run(["openssl", "rsa", "-in", KEYS / f"{key}.pem", "-pubout", "-outform", "DER"], capture_output=True,
                         check=True).stdout
    return "v=DKIM1; p=" + base64.b64encode(der).decode()


ZONE = {
    "sender.example": [{"TXT": f"v=spf1 ip4:{OURS} exp=why.%{{d}} -all"}],
    "why.sender.example": [{"TXT": "%{i} does not send for %{d}"}],
    "a._domainkey.sender.example": [{"TXT": record("a")}],
    "_dmarc.sender.example": [{"TXT": "v=DMARC1; p=reject"}],
    "a._domainkey.lists.example": [{"TXT": record("a")}],
    "b._domainkey.evil.example": [{"TXT": record("b")}],
    "evil.example": [{"TXT": "v=spf1 ?all"}],
    "mx.sender.example": [{"TXT": "v=spf1 -all"}],
}
HEADER = b"From: Ann <ann@sender.example>\r\nTo: bob@example.com\r\nSubject: minutes\r\nMessage-ID: <1@sender.example>\r\n"
PLAIN = HEADER + b"\r\nHello,\r\n\r\nhere they are.\r\n"
FORGED = PLAIN.replace(b"Hello", b"Pay at once")
SEALED = [b"from", b"to", b"subject", b"message-id"]  # each once


def signed(message):
    return dkim.sign(message, b"a", b"sender.example", (KEYS / "a.pem").read_bytes()) + message


def passed_on(message, domain="lists.example", key="a"):
    """As a sealer sends it on, who has found that all is well."""
    chain = "pass" if b"\r\nARC-Seal:" in b"\r\n" + message else "none"
    message = (f"Authentication-Results: {domain}; arc={chain}; dkim=pass header.d=sender.example; "
               f"dmarc=pass header.from=sender.example\r\n").encode() + message
    selector, pem = key.encode(), (KEYS / f"{key}.pem").read_bytes()
    fields = dkim.arc_sign(message, selector, domain.encode(), pem, domain.encode(), include_headers=SEALED)
    assert len(fields) == 3
    return b"".join(fields) + message


@pytest.fixture
def site(sink, postern):
    """(postern, its backend)"""
    names = Answers(ZONE)
    backend = sink()
    yield postern(backend, hello=proxy_header.v1(OURS), listen="tls none proxy_protocol from { 127.0.0.1 }", rules=RULES,
                  dns=names, results="always", workers=1), backend
    names.stop()


def send(p, message, source=OTHERS, sender="ann@sender.example"):
    with Client(p.port, header=proxy_header.v1(source)) as c:
        c.ehlo("mx.sender.example")
        return c.message(message, sender=sender)


def methods(message):
    field = email.message_from_bytes(message.body)["Authentication-Results"]
    read = authres.AuthenticationResultsHeader.parse("Authentication-Results: " + re.sub(r"\r?\n(?=[ \t])", "", field))
    return {(r.method, r.result) for r in read.results}


def seen(message):
    return email.message_from_bytes(message.body)["X-Seen"]


def test_signed_mail(site):
    p, backend = site
    assert send(p, signed(PLAIN))[0] == 250
    assert send(p, signed(PLAIN), OURS)[0] == 250
    assert send(p, PLAIN, OURS)[0] == 250
    forwarded, direct, unsigned = backend.messages
    assert methods(forwarded) >= {("spf", "fail"), ("dkim", "pass"), ("dmarc", "pass"), ("arc", "none")}
    assert methods(direct) >= {("spf", "pass"), ("dkim", "pass"), ("dmarc", "pass")}
    assert methods(unsigned) >= {("spf", "pass"), ("dkim", "none"), ("dmarc", "pass")}
    assert seen(direct).split() == ["pass", "sender.example", "pass", "none", "fail"]
    first = p.audits()[0]
    assert [first[k] for k in ("spf", "dkim", "dmarc", "arc")] == ["fail", "pass", "pass", "none"]


def test_forged_mail(site):
    p, backend = site
    code, text = send(p, signed(PLAIN).replace(b"Hello", b"Pay at once"))
    assert code == 550 and text.startswith("5.7.1 DMARC of sender.example"), text
    code, text = send(p, HEADER.replace(b"ann@sender.example", b"ann@lists.example") + b"\r\nbody\r\n")
    assert code == 550 and text.startswith(f"5.7.23 {OTHERS} does not send for sender.example"), text
    assert not backend.messages


def test_a_trusted_sealer(site):
    p, backend = site
    assert send(p, passed_on(PLAIN))[0] == 250
    assert send(p, passed_on(PLAIN, "evil.example", "b"))[0] == 550
    assert send(p, passed_on(passed_on(PLAIN), "evil.example", "b"))[0] == 250, "nobody has changed it"
    one, two = backend.messages
    assert methods(one) >= {("arc", "pass"), ("dmarc", "fail")}
    assert seen(one).split() == ["none", "fail", "pass", "lists.example", "pass", "fail"]
    assert "lists.example, evil.example" in seen(two)


@pytest.mark.parametrize("change", [
    lambda m: m.replace(b"Hello", b"Pay at once"),
    lambda m: m.replace(b"From: Ann <ann@", b"From: Boss <boss@"),
    lambda m: b"From: Boss <boss@sender.example>\r\n" + m,
], ids=["body", "from", "second-from"])
def test_trust_in_a_sealer_ends_where_the_message_was_changed(site, change):
    """As it came, and sealed once more by who has changed it: that chain is valid, and not the trusted sealer's."""
    p, backend = site
    changed = change(passed_on(PLAIN))
    assert send(p, changed)[0] == 550
    assert send(p, passed_on(changed, "evil.example", "b"), sender="x@evil.example")[0] == 550
    assert not backend.messages


def test_explain_measures_it(site, tmp_path):
    p, _ = site
    file = tmp_path / "message.eml"
    session = ("--helo", "mx.sender.example", "--from", "ann@sender.example", "--to", "bob@example.com", file)
    file.write_bytes(passed_on(PLAIN))
    done = p.cli("explain", "--ip", OTHERS, *session)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^dmarc +fail ", done.stdout, re.M) and re.search(r"^arc\.sealers +lists\.example ", done.stdout, re.M)
    assert "arc=pass" in done.stdout.partition("\nHeader\n")[2]
    file.write_bytes(FORGED)
    done = p.cli("explain", "--ip", OTHERS, *session)
    assert done.returncode == 1 and "reject by rule dmarc" in done.stdout
