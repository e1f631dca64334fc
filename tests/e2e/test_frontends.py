"""postern behind a load balancer and before real clients: HAProxy, Postfix, Exim, swaks, curl, smtplib, smtp-source."""

import smtplib
import ssl
import subprocess
from email.message import EmailMessage

import pytest

from harness import proxy_header
from harness.client import Client
from harness.exim import Exim
from harness.haproxy import HAProxy
from harness.peer import address
from harness.postfix import Postfix
from harness.process import HOST, free_port

FROM_PROXY = "tls none proxy_protocol from { 127.0.0.1 }"
BODY = b"Message-ID: <front@client.example>\r\nSubject: front\r\n\r\n.dot\r\nend\r\n"


def tls_block(certificate):
    return f'tls {{ certificate "{certificate.cert}" key "{certificate.key}" }}'


# In front.

@pytest.mark.parametrize("version", [1, 2])
def test_haproxy_in_front(peer, postern, version):
    """The client's address goes the whole way: HAProxy, postern, Postfix."""
    server = peer(Postfix, smtpd_upstream_proxy_protocol="haproxy")
    p = postern(server, hello=proxy_header.v2(HOST), listen=FROM_PROXY, backend_options="client_info proxy_v2")
    front = peer(HAProxy, p.port, version=version)
    with Client(front.port, source="127.0.0.9") as c:
        c.ehlo()
        assert c.message(BODY)[0] == 250
    server.wait_messages()
    server.wait_client("127.0.0.9")
    assert p.wait_audit()["client"]["ip"] == "127.0.0.9"


@pytest.mark.parametrize("header, ip", [
    (proxy_header.v1("192.0.2.9"), "192.0.2.9"), (proxy_header.v2("192.0.2.9"), "192.0.2.9"),
    (proxy_header.v1("2001:db8::9", destination="2001:db8::1"), "2001:db8::9"),
    (proxy_header.v2("2001:db8::9"), "2001:db8::9"),
], ids=["v1-4", "v2-4", "v1-6", "v2-6"])
@pytest.mark.parametrize("cut", ["whole", "bytes"])
def test_proxy_headers_however_cut(sink, postern, header, ip, cut):
    backend = sink()
    p = postern(backend, hello=proxy_header.v2(HOST), listen=FROM_PROXY)
    with Client(p.port, greeting=None) as c:
        c.send(*([header] if cut == "whole" else [header[i:i + 1] for i in range(len(header))]))
        assert c.reply()[0] == 220
        c.ehlo()
        assert c.message(BODY)[0] == 250
    assert p.wait_audit()["client"]["ip"] == ip


def test_a_proxy_header_from_a_stranger_is_refused(sink, postern):
    """Nobody may name himself: from peers that are not listed the header is not read as one."""
    backend = sink()
    p = postern(backend, hello=proxy_header.v2(HOST), listen=FROM_PROXY)
    for header in (proxy_header.v1("192.0.2.9"), proxy_header.v2("192.0.2.9")):
        with Client(p.port, source="127.0.0.8", greeting=None, header=header + b"EHLO x.example\r\nQUIT\r\n") as c:
            # Before the greeting it is early talk; behind it, PROXY is no verb and version 2 no line.
            assert all(code >= 400 for code in c.rest() if code not in (220, 221))
    with Client(p.port, source="127.0.0.8") as c:  # and needs none
        c.ehlo()


def test_a_listed_peer_must_send_its_header(sink, postern):
    p = postern(sink(), hello=proxy_header.v2(HOST), listen=FROM_PROXY)
    with Client(p.port, greeting=None, header=b"EHLO client.example\r\n") as c:
        assert 250 not in c.rest()


def test_xclient_only_from_listed_peers(sink, postern):
    backend = sink()
    p = postern(backend, listen="tls none xclient from { 127.0.0.6 }")
    with Client(p.port, source="127.0.0.6") as c:
        assert any(e.startswith("XCLIENT") for e in c.ehlo())
        assert c.command("XCLIENT ADDR=192.0.2.9 NAME=far.example")[0] == 220
        c.ehlo()
        assert c.message(BODY)[0] == 250
    assert p.wait_audit()["client"]["ip"] == "192.0.2.9"
    with Client(p.port, source="127.0.0.7") as c:
        assert not any(e.startswith("XCLIENT") for e in c.ehlo())
        assert c.command("XCLIENT ADDR=192.0.2.9")[0] >= 500


# Clients.

@pytest.mark.parametrize("kind", [Postfix, Exim])
def test_a_mail_server_relays_through_us(peer, postern, kind):
    server = peer(Postfix)
    p = postern(server)
    client = peer(kind, relay_port=p.port)
    client.inject(BODY.replace(b"\r\n", b"\n"), [address("alice"), address("bob")])
    for user in ("alice", "bob"):
        stored, = server.wait_messages(user=user)
        assert stored.endswith(b"\n\n.dot\nend\n") and b"Subject: front\n" in stored


def swaks(port, *args):
    return subprocess.run(["swaks", "--server", f"{HOST}:{port}", "--from", "sender@client.example", "--to", address(),
                           "--helo", "client.example", *args], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("mode, flag", [("none", None), ("starttls", "--tls"), ("implicit", "--tls-on-connect")])
def test_swaks(sink, postern, certificate, mode, flag):
    backend = sink()
    p = implicit(postern, backend, certificate) if mode == "implicit" else postern(
        backend, listen=f"tls {mode}", more=tls_block(certificate))
    done = swaks(p.port, "--header", "Subject: by swaks", *([flag] if flag else []))
    assert done.returncode == 0, done.stdout + done.stderr
    message, = backend.wait_messages()
    assert b"Subject: by swaks\r\n" in message.body
    assert (b"with ESMTPS" in message.body) == (mode != "none")
    assert bool(p.wait_audit().get("tls")) == (mode != "none")


def implicit(postern, backend, certificate):
    """A postern whose first listener speaks TLS from the first byte: readiness is seen on a plain second one."""
    plain = free_port()
    p = postern.unready(backend, listen="tls implicit", more=tls_block(certificate)
                        + f'\nlisten "{HOST}:{plain}" {{ tls none }}')
    p.process.await_greeting(plain)
    return p


def test_swaks_sees_a_refusal(peer, postern):
    p = postern(peer(Postfix))
    done = swaks(p.port, "--to", "zed@example.com")
    assert done.returncode == 24 and "User unknown" in done.stdout  # 24: no recipient accepted


@pytest.mark.parametrize("scheme", ["smtp", "smtp+starttls", "smtps"])
def test_curl(sink, postern, authority, certificate, tmp_path, scheme):
    backend = sink()
    p = implicit(postern, backend, certificate) if scheme == "smtps" else postern(
        backend, listen="tls starttls", more=tls_block(certificate))
    mail = tmp_path / "mail.eml"
    mail.write_bytes(BODY)
    done = subprocess.run(
        ["curl", "-sS", "--cacert", authority.cert, *(["--ssl-reqd"] if "starttls" in scheme else []),
         "--mail-from", "sender@client.example", "--mail-rcpt", address(), "--upload-file", mail,
         f"{scheme.split('+')[0]}://localhost:{p.port}/client.example"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    message, = backend.wait_messages()
    assert message.body.endswith(BODY)


def test_smtplib_with_smtputf8(sink, postern):
    backend = sink()
    p = postern(backend)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "jörg@client.example", "jürgen@example.com", "größer"
    mail.set_content("schön\n")
    with smtplib.SMTP(HOST, p.port) as c:
        c.ehlo("client.example")
        assert c.has_extn("smtputf8") and c.has_extn("8bitmime")
        c.send_message(mail)  # adds SMTPUTF8 and BODY=8BITMIME itself
    message, = backend.wait_messages()
    assert "jörg@client.example".encode() in message.mail and b"SMTPUTF8" in message.mail
    assert "jürgen@example.com".encode() in message.recipients[0]


def test_smtputf8_needs_a_backend_that_has_it(sink, postern):
    backend = sink(extensions=["PIPELINING", "8BITMIME"])
    p = postern(backend)
    with Client(p.port) as c:
        c.ehlo()
        code, text = c.command("MAIL FROM:<jörg@client.example> SMTPUTF8")
        if code == 250:  # until a backend has answered EHLO, all is offered
            code, text = c.command("RCPT TO:<alice@example.com>")
        assert code == 550 and text.startswith("5.6.7")
        assert "SMTPUTF8" not in c.ehlo()


def test_smtplib_with_starttls(sink, postern, authority, certificate):
    backend = sink()
    p = postern(backend, listen="tls starttls", more=tls_block(certificate))
    context = ssl.create_default_context(cafile=str(authority.cert))
    with smtplib.SMTP("localhost", p.port) as c:
        c.starttls(context=context)
        assert not c.has_extn("starttls") or c.ehlo() and not c.has_extn("starttls")
        c.sendmail("sender@client.example", [address()], BODY)
    assert backend.wait_messages()[0].body.endswith(BODY)


def test_sni_chooses_the_certificate(sink, postern, authority, certificate):
    other = authority.issue("other.example.com")
    p = postern(sink(), listen="tls starttls", more=(
        f'tls {{ certificate "{certificate.cert}" key "{certificate.key}" '
        f'certificate "{other.cert}" key "{other.key}" }}'))
    context = ssl.create_default_context(cafile=str(authority.cert))
    for name in ("mx.example.com", "other.example.com"):
        c = smtplib.SMTP(HOST, p.port)
        c._host = name  # what starttls() sends as SNI, and checks the certificate against
        assert c.starttls(context=context)[0] == 220
        c.quit()


def test_plain_text_that_came_with_starttls_is_never_read(sink, postern, certificate):
    backend = sink()
    p = postern(backend, listen="tls starttls", more=tls_block(certificate))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with Client(p.port) as c:
        c.ehlo()
        c.send(b"STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@client.example>\r\n")
        assert c.reply()[0] in (220, 454, 501, 554)
        assert not c.buffer, "no reply to what came with it"
        try:
            c.socket = context.wrap_socket(c.socket, server_hostname="mx.example.com")
        except OSError:
            return  # it ended the session: fine
        assert c.command("RCPT TO:<alice@example.com>")[0] == 503, "EHLO and the transaction are forgotten"


def test_smtp_source(peer, postern):
    """Postfix's load client against postern and Postfix: 300 messages in 10 sessions, DATA and all in one process."""
    server = peer(Postfix)
    p = postern(server)
    done = server.smtp_source(p.port, "-s", "10", "-m", "300", "-l", "5000", "-f", "sender@client.example",
                              "-t", address())
    assert done.returncode == 0, done.stderr
    assert len(server.wait_messages(300)) == 300
