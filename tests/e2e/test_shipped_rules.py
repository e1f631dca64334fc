"""The rules that are shipped, in force: what they cost and do where the resolver is dead, for us and for strangers."""

import socket
import time

import pytest

from harness.client import Client
from harness.postern import ROOT
from harness.process import HOST

MESSAGE = (b"From: Ann <ann@client.example>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@client.example>\r\n"
           b"X-Spam-Flag: YES\r\nX-Spam-Score: -99\r\nSubject: lunch\r\n\r\nAt noon?\r\n")
PROGRAM = (b"From: Ann <ann@client.example>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\nMessage-ID: <2@client.example>\r\n"
           b"Content-Type: application/octet-stream; name=\"Invoice.PDF.exe\"\r\n\r\nMZ\r\n")
DNS_TIMEOUT_S = 1
LONG_S = 20  # a wait that no busy machine is mistaken for


class DeadResolver:
    """Takes questions and answers none."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]


@pytest.fixture
def ruled(postern, sink):
    """ruled("default.rules"): postern with these rules, a sink behind it, and a dead resolver."""
    resolvers = []

    def start(name, timeout_s=DNS_TIMEOUT_S):
        resolver = DeadResolver()
        resolvers.append(resolver)
        backend = sink()
        p = postern(backend, workers=1, listen=f"tls none xclient from {{ {HOST} }}",
                    more=f'rules "{ROOT}/rules/{name}"\n'
                         f'dns {{ server "{HOST}:{resolver.port}" timeout {timeout_s}s }}')
        return p, backend
    yield start
    for resolver in resolvers:
        resolver.socket.close()


def stranger(port, helo="mx.client.example"):
    c = Client(port)
    c.ehlo("front.example")
    code, text = c.command("XCLIENT ADDR=192.0.2.7")
    assert code == 220, text
    c.ehlo(helo)
    return c


@pytest.mark.parametrize("name", ["default.rules", "strict.rules"])
def test_our_own_machines_wait_for_no_dns(ruled, name):
    p, backend = ruled(name, timeout_s=LONG_S)
    began = time.monotonic()
    with Client(p.port) as c:
        c.ehlo("scanner")
        assert c.message(MESSAGE, sender="scanner@scanner.local")[0] == 250
    assert time.monotonic() - began < LONG_S / 2
    backend.wait_messages(1)
    audit = p.wait_audit()
    assert audit["verdict"] == "accept" and audit["score"] == 0


def test_strangers_get_through_while_dns_is_down(ruled):
    p, backend = ruled("default.rules")
    with stranger(p.port) as c:
        assert c.message(MESSAGE)[0] == 250
    [message] = backend.wait_messages(1)
    body = message.body.decode()
    assert "X-Spam-Flag" not in body and "X-Spam-Score: 0\r\n" in body and "-99" not in body
    assert body.endswith("\r\n\r\nAt noon?\r\n")


def test_strict_rules_have_them_come_again(ruled):
    """Whose mail it is can't be told then, and a sender may have chosen names that nobody answers for."""
    p, backend = ruled("strict.rules")
    with stranger(p.port) as c:
        code, text = c.message(MESSAGE)
    assert code == 451 and text.startswith("4.7.1 DNS does not tell now"), text
    assert p.wait_audit()["rule"] == "dmarc-later" and not backend.messages


def test_signs_are_marked(ruled):
    p, backend = ruled("default.rules")
    with stranger(p.port, helo="friend") as c:
        assert c.message(b"From: a@b.example, c@d.example\r\nSubject: x\r\n\r\nhttp://192.0.2.1/\r\n")[0] == 250
    [message] = backend.wait_messages(1)
    assert "X-Spam-Flag: YES\r\n" in message.body.decode()
    audit = p.wait_audit()
    assert audit["score"] == 2 + 2 + 1.5 + 1 + 2.5
    assert audit["tags"] == ["helo-no-name", "many-from", "no-date", "no-message-id", "url-address", "spam"]


def test_programs_are_held_back(ruled):
    p, backend = ruled("default.rules")
    with stranger(p.port) as c:
        assert c.message(PROGRAM)[0] == 250
    audit = p.wait_audit()
    assert (audit["verdict"], audit["rule"]) == ("quarantine", "program")
    assert "program attached: Invoice.PDF.exe" in p.cli("quarantine", "ls").stdout
    assert not backend.count()


def test_strict_rules_refuse_at_rcpt_and_hear_who_writes_to_postmaster(ruled):
    p, backend = ruled("strict.rules")
    with stranger(p.port, helo="friend") as c:
        assert c.command("MAIL FROM:<ann@client.example>")[0] == 250
        code, text = c.command("RCPT TO:<alice@example.com>")
        assert code == 550 and "HELO friend: a full host name is needed (id " in text
        assert c.command("RCPT TO:<postmaster@example.com>")[0] == 250
    with stranger(p.port, helo="friend") as c:
        assert c.message(PROGRAM, recipients=["postmaster@example.com"])[0] == 550
    assert not backend.count()
