"""The tests' own tools, without postern: that each server delivers, that the sink counts and breaks as told, and that
the accounting notices a loss. What fails here says nothing about postern."""

import smtplib

import pytest

from harness import account, fault, proxy_header
from harness.client import Client
from harness.dovecot import DovecotLMTP
from harness.exim import Exim
from harness.haproxy import HAProxy
from harness.opensmtpd import OpenSMTPD
from harness.peer import address
from harness.postfix import Postfix

BODY = b"Message-ID: <one@client.example>\r\nSubject: one\r\n\r\n.dot\r\n..\r\nend\r\n"

PROXIED = {
    "postfix": (Postfix, {"smtpd_upstream_proxy_protocol": "haproxy"}),
    "exim": (Exim, {"hosts_proxy": "127.0.0.1"}),
    "opensmtpd": (OpenSMTPD, {"proxy": True}),
    "dovecot": (DovecotLMTP, {"proxy": True}),
}


def hello(client, server):
    code, _ = client.command("LHLO client.example" if server.protocol == "lmtp" else "EHLO client.example")
    assert code == 250


@pytest.mark.parametrize("kind", [Postfix, Exim, OpenSMTPD, DovecotLMTP])
def test_a_server_delivers_and_refuses(peer, kind):
    server = peer(kind)
    with Client(server.port, source="127.0.0.7") as c:
        hello(c, server)
        assert c.message(BODY)[0] == 250
        c.command("MAIL FROM:<a@client.example>")
        code, text = c.command("RCPT TO:<zed@example.com>")
        assert 500 <= code < 600 and server.unknown_text in text
    stored, = server.wait_messages()
    assert stored.endswith(b"\n\n.dot\n..\nend\n") and b"Subject: one\n" in stored
    server.wait_client("127.0.0.7")


@pytest.mark.parametrize("name", PROXIED)
def test_a_server_believes_a_proxy_header(peer, name):
    kind, options = PROXIED[name]
    server = peer(kind, **options)
    with Client(server.port, header=proxy_header.v2("192.0.2.77")) as c:
        hello(c, server)
        assert c.message(BODY)[0] == 250
    server.wait_client("192.0.2.77")


def test_haproxy_passes_the_address_on(peer):
    server = peer(Postfix, smtpd_upstream_proxy_protocol="haproxy")
    front = peer(HAProxy, server.port, version=1)
    with Client(front.port, source="127.0.0.9") as c:
        hello(c, server)
        assert c.message(BODY)[0] == 250
    server.wait_client("127.0.0.9")


@pytest.mark.parametrize("kind", [Postfix, Exim])
def test_a_relaying_client_relays(peer, sink, kind):
    backend = sink()
    relay = peer(kind, relay_port=backend.port)
    relay.inject(b"Message-ID: <relayed@client.example>\nSubject: relayed\n\nbody\n", [address()])
    message, = backend.wait_messages()
    assert message.id == "relayed" and message.body.endswith(b"\r\n\r\nbody\r\n")


@pytest.mark.parametrize("style", ["step", "pipelined", "bdat"])
def test_the_sink_keeps_bytes(sink, load, style):
    backend = sink()
    outcomes = load(port=backend.port, messages=40, connections=4, style=style).wait()
    assert {o["code"] for o in outcomes} == {250}
    assert not account.mistakes(outcomes, backend.count(), set())
    from harness.load import message
    assert all(m.body == message(m.id, 1024) for m in backend.messages)
    assert {m.via for m in backend.messages} == {"BDAT" if style == "bdat" else "DATA"}


def test_the_sink_starts_tls(sink, certificate):
    backend = sink(certificate=certificate)
    with smtplib.SMTP("127.0.0.1", backend.port) as c:
        c.starttls()
        c.sendmail("a@client.example", [address()], BODY)
    assert backend.bodies("one") == [BODY] and backend.messages[0].connection.tls


@pytest.mark.parametrize("stage, action, code", [
    ("greeting", fault.reply("421 4.3.2 Not now"), 421), ("mail", fault.reply("452 4.3.1 Full"), 452),
    ("rcpt", fault.close(), None), ("body", fault.reset(), None), ("dot", fault.close(), None),
    ("data", fault.reply(b"what\r\n"), None), ("stored", fault.close(), None),
])
def test_the_sink_breaks_as_told(sink, load, stage, action, code):
    backend = sink()
    backend.fail(stage, action)
    running = load(port=backend.port, messages=3, connections=1, style="step")
    outcomes = running.wait()
    if stage == "greeting":
        assert running.failed_connects() and [o["code"] for o in outcomes] == [250, 250, 250]
    else:
        assert [o["code"] for o in outcomes] == [code, 250, 250]
    assert len(backend.messages) == (2 if code or stage not in ("stored",) else 3) + (stage == "greeting")
    assert not account.mistakes(outcomes, backend.count(), set())


def test_the_sink_notices_a_bare_line_end(sink):
    backend = sink()
    with Client(backend.port) as c:
        c.send(b"EHLO client.example\n")
        assert c.reply()[0] == 250
    assert backend.violations
    backend.violations.clear()


@pytest.mark.parametrize("outcome, there, doubtful, fine", [
    (250, 1, False, True), (250, 0, False, False), (250, 2, False, False), (451, 0, False, True), (451, 1, False, False),
    (451, 1, True, True), (451, 2, True, False), (None, 1, False, True), (None, 2, False, False),
])
def test_the_accounting_notices(outcome, there, doubtful, fine):
    outcomes = [{"id": "m", "code": outcome, "text": "", "sent": True}]
    wrong = account.mistakes(outcomes, {"m": there} if there else {}, {"m"} if doubtful else set())
    assert bool(wrong) != fine
