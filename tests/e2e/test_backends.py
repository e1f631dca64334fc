"""postern before real mail servers, and before one that breaks in every way."""

import re
import time

import pytest

from harness import fault
from harness.client import Client
from harness.dovecot import DovecotLMTP
from harness.exim import Exim
from harness.opensmtpd import OpenSMTPD
from harness.peer import address
from harness.postfix import Postfix
from harness.process import until
from harness.sink import EXTENSIONS

CLIENT = "127.0.0.7"  # postern itself comes from 127.0.0.1, so the two can be told apart
BODY = (b"Message-ID: <one@client.example>\r\nFrom: <sender@client.example>\r\nTo: <alice@example.com>\r\n"
        b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nSubject: one\r\nX-Long: " + b"x" * 900 + b"\r\n\r\n.dot\r\n..\r\n\r\n" + "schön\r\n".encode() +
        b"last line\r\n")
SID = re.compile(r" \(id [A-Za-z2-7]{12}\)$")

SERVERS = {
    "postfix": (Postfix, {}, "none"),
    "postfix-proxy": (Postfix, {"smtpd_upstream_proxy_protocol": "haproxy"}, "proxy_v2"),
    "postfix-xclient": (Postfix, {"smtpd_authorized_xclient_hosts": "127.0.0.1"}, "xclient"),
    "exim": (Exim, {}, "none"),
    "exim-proxy": (Exim, {"hosts_proxy": "127.0.0.1"}, "proxy_v2"),
    "opensmtpd": (OpenSMTPD, {}, "none"),
    "opensmtpd-proxy": (OpenSMTPD, {"proxy": True}, "proxy_v2"),
    "dovecot": (DovecotLMTP, {}, "none"),
    "dovecot-proxy": (DovecotLMTP, {"proxy": True}, "proxy_v2"),
    "dovecot-xclient": (DovecotLMTP, {"trusted": "127.0.0.1"}, "xclient"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_message_arrives_intact(peer, postern, name):
    kind, options, client_info = SERVERS[name]
    server = peer(kind, **options)
    p = postern(server, backend_options=f"client_info {client_info}")
    with Client(p.port, source=CLIENT) as c:
        c.ehlo()
        code, text = c.message(BODY)
        assert code == 250, text
        c.command("MAIL FROM:<sender@client.example>")
        code, text = c.command("RCPT TO:<zed@example.com>")
        assert 550 <= code < 560 or code == 524, (code, text)
        assert server.unknown_text in text, "the backend's own text comes through"
        assert SID.search(text), "a refusal closes with the session's id"
        assert c.command("QUIT")[0] == 221
    stored, = server.wait_messages()
    assert stored.endswith(BODY.replace(b"\r\n", b"\n")), "byte for byte, but for the lines put before it"
    assert re.search(rb"Received: from client\.example .*127\.0\.0\.7.*by mx\.example\.com", stored, re.S)
    server.wait_client("127.0.0.1" if client_info == "none" else CLIENT)
    record = p.wait_audit(lambda r: "one@client.example" in (r.get("msgid") or ""))
    assert record["client"]["ip"] == CLIENT and record["from"] == "sender@client.example"
    assert [to["addr"] for to in record["to"]] == [address()]


def test_postfix_hears_the_client_by_xforward(peer, postern):
    server = peer(Postfix, smtpd_authorized_xforward_hosts="127.0.0.1")
    p = postern(server, backend_options="client_info xforward")
    with Client(p.port, source=CLIENT) as c:
        c.ehlo()
        assert c.message(BODY)[0] == 250
    server.wait_messages()
    until(lambda: re.search(r"orig_client=\S*\[127\.0\.0\.7\]", server.log()), f"orig_client in {server.log()}")


def test_two_recipients_get_one_message_each(peer, postern):
    server = peer(Postfix)
    p = postern(server)
    with Client(p.port) as c:
        c.ehlo()
        assert c.message(BODY, recipients=(address("alice"), address("bob")))[0] == 250
    assert len(server.wait_messages(user="alice")) == len(server.wait_messages(user="bob")) == 1


def test_lmtp_takes_one_recipient_a_transaction(peer, postern):
    server = peer(DovecotLMTP)
    p = postern(server)
    with Client(p.port) as c:
        c.ehlo()
        c.envelope()
        assert c.command("RCPT TO:<bob@example.com>")[0] == 452
        assert c.command("DATA")[0] == 354
        c.send(BODY.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        assert c.reply()[0] == 250
        assert c.message(BODY, recipients=(address("bob"),))[0] == 250
    assert len(server.wait_messages(user="alice")) == len(server.wait_messages(user="bob")) == 1


@pytest.mark.parametrize("client_info, options", [
    ("proxy_v2", {"smtpd_upstream_proxy_protocol": "haproxy"}), ("xclient", {"smtpd_authorized_xclient_hosts": "127.0.0.1"}),
])
def test_postfix_is_no_open_relay_behind_us(peer, postern, client_info, options):
    """Postfix relays for 127.0.0.1, which is us; with `relay_domains any` only client_info keeps strangers out."""
    server = peer(Postfix, **options)
    p = postern(server, relay_domains="any", backend_options=f"client_info {client_info}")
    with Client(p.port, source=CLIENT) as c:
        c.ehlo()
        c.command("MAIL FROM:<sender@client.example>")
        code, text = c.command("RCPT TO:<victim@elsewhere.example>")
        assert code == 554 and "Relay access denied" in text


def test_other_domains_are_refused_by_us(sink, postern):
    backend = sink()
    p = postern(backend)
    with Client(p.port) as c:
        c.ehlo()
        c.command("MAIL FROM:<sender@client.example>")
        code, text = c.command("RCPT TO:<victim@elsewhere.example>")
        assert code == 550 and text.startswith("5.7.1 ") and SID.search(text)
        assert c.command("DATA")[0] == 554
    assert not backend.commands(b"RCPT")


@pytest.mark.parametrize("mode, arrives, encrypted", [
    ("never", True, False), ("opportunistic", True, True), ("required", True, True), ("verified", False, False),
])
def test_tls_to_the_backend(peer, postern, certificate, mode, arrives, encrypted):
    """The certificate is of an authority that nobody trusts: good enough but for `verified`."""
    server = peer(Postfix, certificate=certificate, smtpd_tls_received_header="yes")
    p = postern(server, backend_options=f"tls {mode}")
    with Client(p.port) as c:
        c.ehlo()
        c.command("MAIL FROM:<sender@client.example>")
        code, _ = c.command("RCPT TO:<alice@example.com>")
        assert code == (250 if arrives else 451)
        if arrives:
            assert c.command("DATA")[0] == 354
            c.send(b"Subject: tls\r\n\r\nbody\r\n.\r\n")
            assert c.reply()[0] == 250
            stored, = server.wait_messages()
            assert (b"using TLSv1" in stored) == encrypted
    assert arrives or not server.messages()


def test_required_tls_is_required(sink, postern):
    backend = sink()
    p = postern(backend, backend_options="tls required")
    with Client(p.port) as c:
        c.ehlo()
        c.command("MAIL FROM:<sender@client.example>")
        assert c.command("RCPT TO:<alice@example.com>")[0] == 451
    assert not backend.commands(b"MAIL")


def test_plain_text_behind_the_backends_starttls_ends_it(sink, postern, certificate):
    backend = sink(certificate=certificate)
    backend.fail("starttls", fault.reply(b"220 Go\r\n250 injected\r\n"), times=None)
    p = postern(backend, backend_options="tls required")
    with Client(p.port) as c:
        c.ehlo()
        c.command("MAIL FROM:<sender@client.example>")
        assert c.command("RCPT TO:<alice@example.com>")[0] == 451
    assert not backend.commands(b"MAIL")
    backend.violations.clear()  # it keeps reading plain text and gets a TLS hello


@pytest.mark.parametrize("lacks, via", [("CHUNKING", "DATA"), ("PIPELINING", None), ("8BITMIME", None), ("DSN", None)])
@pytest.mark.parametrize("use_bdat", [False, True])
def test_a_backend_that_offers_less(sink, postern, lacks, via, use_bdat):
    """The sink itself objects to pipelining that it hasn't offered."""
    backend = sink(extensions=[e for e in EXTENSIONS if e != lacks])
    p = postern(backend)
    body = BODY.replace("schön".encode(), b"plain")
    with Client(p.port) as c:
        c.ehlo()
        if use_bdat:
            c.envelope()
            c.send(b"BDAT %d\r\n%s" % (100, body[:100]), b"BDAT %d LAST\r\n%s" % (len(body) - 100, body[100:]))
            assert [c.reply()[0], c.reply()[0]] == [250, 250]
        else:
            assert c.message(body)[0] == 250
        assert lacks not in ("8BITMIME", "DSN") or lacks not in " ".join(c.ehlo()), "not offered once it is known"
    message, = backend.messages
    assert message.body.endswith(body)
    assert via in (None, message.via)


def test_dsn_parameters_are_carried_through(sink, postern):
    backend = sink()
    p = postern(backend)
    with Client(p.port) as c:
        c.ehlo()
        assert c.command("MAIL FROM:<sender@client.example> RET=HDRS ENVID=QQ314159 BODY=8BITMIME")[0] == 250
        assert c.command("RCPT TO:<alice@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;al@example.org")[0] == 250
        assert c.command("DATA")[0] == 354
        c.send(b"Subject: dsn\r\n\r\nbody\r\n.\r\n")
        assert c.reply()[0] == 250
    message, = backend.messages
    assert {b"RET=HDRS", b"ENVID=QQ314159"} <= set(message.mail.split())
    assert {b"NOTIFY=SUCCESS,FAILURE", b"ORCPT=rfc822;al@example.org"} <= set(message.recipients[0].split())


def test_failover_to_the_second_server(sink, postern):
    first, second = sink(), sink()
    p = postern([first, second], workers=1)
    with Client(p.port) as c:
        c.ehlo()
        assert c.message(BODY)[0] == 250
        assert len(first.messages) == 1 and not second.messages
        first.refuse()
        first.hang_up()
        assert c.message(BODY, recipients=(address("bob"),))[0] == 250
    assert len(second.messages) == 1


def test_an_outage_is_451_and_ends(sink, postern):
    backend = sink()
    p = postern(backend)
    backend.refuse()
    with Client(p.port) as c:
        c.ehlo()
        c.command("MAIL FROM:<sender@client.example>")
        begin = time.monotonic()
        code, _ = c.command("RCPT TO:<alice@example.com>")
        assert 400 <= code < 500 and time.monotonic() - begin < 2.5, "in 2 s where the connection told us"
    backend.listen()
    def through():
        with Client(p.port) as c:
            c.ehlo()
            c.command("MAIL FROM:<sender@client.example>")
            return c.command("RCPT TO:<alice@example.com>")[0] == 250
    until(through, "recovery")


def test_connections_are_shared_only_where_that_is_right(sink, postern):
    """Without client_info two clients' messages may take one connection; under proxy_v2 they never do."""
    for options, proxy, shared in (("client_info none", False, True), ("client_info proxy_v2", True, False)):
        backend = sink(proxy=proxy)
        p = postern(backend, backend_options=options, workers=1)
        for source in ("127.0.0.7", "127.0.0.8"):
            with Client(p.port, source=source) as c:
                c.ehlo()
                assert c.message(BODY)[0] == 250
                c.command("QUIT")
        a, b = (m.connection for m in backend.messages)
        assert (a is b) == shared
        if proxy:
            assert [a.proxied[0], b.proxied[0]] == ["127.0.0.7", "127.0.0.8"]


def test_recipient_checks_are_cached(sink, postern):
    backend = sink(users={"alice@example.com"})
    p = postern(backend, workers=1)
    for _ in range(5):
        with Client(p.port) as c:
            c.ehlo()
            c.command("MAIL FROM:<sender@client.example>")
            assert c.command("RCPT TO:<alice@example.com>")[0] == 250
            code, text = c.command("RCPT TO:<zed@example.com>")
            assert code == 550 and "no such user at the sink" in text
    assert len([r for r in backend.commands(b"RCPT") if b"zed@" in r]) == 1
    assert len([r for r in backend.commands(b"RCPT") if b"alice@" in r]) == 1
    assert not backend.messages


@pytest.mark.parametrize("reply, code, text", [
    ("554 5.7.1 Not this \x1b[31mred\x07 one", 554, r"5\.7\.1 Not this [^\x1b\x07]*red"),
    ("452 4.3.1 Disk full", 452, r"4\.3\.1 Disk full"),
    (b"550-5.7.1 first\r\n550 5.7.1 second\r\n", 550, r"5\.7\.1 first(.|\n)*second"),
    (b"garbage\r\n", 451, r"4\."),
    (b"999 what\r\n", 451, r"4\."),
    (b"\xff\xfe\x00\r\n", 451, r"4\."),
    (b"250-one\r\n354 two\r\n", 451, r"4\."),
])
def test_the_backends_last_word(sink, postern, reply, code, text):
    """Refusals come through, made harmless; garbage is 451, and never 250."""
    backend = sink()
    p = postern(backend)
    backend.fail("dot", fault.reply(reply), times=None)
    with Client(p.port) as c:
        c.ehlo()
        got, said = c.message(BODY)
        assert got == code and re.search(text, said)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", said)
    backend.violations.clear()  # it reads what postern sends after its nonsense


def test_an_endless_reply_is_bounded(sink, postern):
    backend = sink()
    backend.fail("hello", fault.endless(), times=None)
    p = postern(backend, more="timeouts { backend_connect 5s }")
    with Client(p.port) as c:
        c.ehlo()
        c.command("MAIL FROM:<sender@client.example>")
        assert 400 <= c.command("RCPT TO:<alice@example.com>")[0] < 500


def test_a_recipient_refused_after_all_undoes_the_transaction(sink, postern):
    """Both were welcome when asked; at delivery one is refused: nobody gets the message, and RCPT knows next time."""
    backend = sink(users={"alice@example.com", "bob@example.com"})
    p = postern(backend, workers=1)
    with Client(p.port) as c:
        c.ehlo()
        c.envelope(recipients=(address("alice"), address("bob")))
        backend.users = {"alice@example.com"}
        assert c.command("DATA")[0] == 354
        c.send(b"Subject: both\r\n\r\nbody\r\n.\r\n")
        assert 400 <= c.reply()[0] < 500
        assert not backend.messages and not backend.commands(b"DATA")
        c.command("MAIL FROM:<sender@client.example>")
        assert c.command("RCPT TO:<alice@example.com>")[0] == 250
        assert c.command("RCPT TO:<bob@example.com>")[0] == 550


def test_all_recipients_refused_after_all_is_the_backends_reply(sink, postern):
    backend = sink(users={"alice@example.com"})
    p = postern(backend)
    with Client(p.port) as c:
        c.ehlo()
        c.envelope()
        backend.users = set()
        assert c.command("DATA")[0] == 354
        c.send(b"Subject: none\r\n\r\nbody\r\n.\r\n")
        code, text = c.reply()
        assert code == 550 and "no such user at the sink" in text
    assert not backend.messages
