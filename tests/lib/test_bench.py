"""The tools that measure must see what they are there to see: a lost, doubled or damaged message, and a child's CPU."""

import json
import os
import smtplib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(os.environ.get("POSTERN_BUILD", ROOT / "build/asan")) / "bench"
sys.path.insert(0, str(ROOT / "bench"))

import measure  # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Sink:
    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen([TOOLS / "sink", f"127.0.0.1:{self.port}", "chunking"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def report(self):
        self.process.stdin.write("report\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def load(self, *arguments):
        command = [TOOLS / "load", "-t", f"127.0.0.1:{self.port}", *map(str, arguments)]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.fixture
def sink():
    sink = Sink()
    yield sink
    sink.process.stdin.close()
    assert sink.process.wait(10) == 0


@pytest.mark.parametrize("arguments", [["-c", 5], ["-c", 5, "-p", 20], ["-c", 5, "-p", 20, "-P"], ["-r", 200],
                                       ["-c", 2, "-s", 300000]], ids=str)
def test_what_is_acknowledged_is_what_arrived(sink, arguments):
    sent = sink.load("-n", 100, "-d", 5, *arguments)
    got = sink.report()
    assert sent["acked"] == got["messages"] == 100
    assert sent["digest"] == got["digest"]
    assert not any((sent["refused"], sent["failed"], got["damaged"], got["unknown"], got["abandoned"]))


@pytest.fixture
def sender(tmp_path):
    with subprocess.Popen([TOOLS / "sender", tmp_path, "4096"], stdout=subprocess.PIPE, text=True) as process:
        ready, _, port = process.stdout.readline().partition(" ")
        assert ready == "ready"
        yield tmp_path / "4096.eml", int(port)
        process.kill()


@pytest.mark.parametrize("arguments", [["-c", 5], ["-c", 5, "-p", 20, "-P"]], ids=str)
def test_a_message_of_a_file(sink, sender, tmp_path, arguments):
    sent = sink.load("-n", 100, "-d", 5, "-m", sender[0], *arguments)
    got = sink.report()
    assert sent["acked"] == got["messages"] == 100
    assert sent["digest"] == got["digest"]
    assert not any((sent["refused"], sent["failed"], got["damaged"], got["unknown"], got["abandoned"]))
    dots = tmp_path / "dots.eml"
    dots.write_bytes(b"Subject: x\r\n\r\n.\r\n..\r\na.b\r\n.\r\n")
    assert sink.load("-n", 1, "-m", dots)["digest"] == sink.report()["digest"]
    dots.write_bytes(b"Subject: x\r\n\r\nno end")
    with pytest.raises(subprocess.CalledProcessError):
        sink.load("-n", 1, "-m", dots)


def test_what_the_sender_signs_passes(sender):
    """By dkimpy, which asks the sender's own names."""
    import dkim
    message, port = sender

    def txt(name, timeout=5):
        return names_ask(port, name.decode() if isinstance(name, bytes) else name, 16)[1]

    assert dkim.verify(message.read_bytes(), dnsfunc=txt)
    assert not dkim.verify(message.read_bytes().replace(b"A line", b"a line"), dnsfunc=txt)
    assert txt("_dmarc.client.example.") == b"v=DMARC1; p=reject"
    assert txt("CLIENT.example").startswith(b"v=spf1 ")
    assert names_ask(port, "_domainkey.client.example", 16) == (0, None)  # it is above a name
    assert names_ask(port, "client.example", 1) == (0, None)
    assert names_ask(port, "other.example", 16) == (3, None)


def names_ask(port, name, kind):
    """The rcode, and the text of the first answer."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect(("127.0.0.1", port))
        s.send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + labels + b"\0" + bytes([0, kind, 0, 1]))
        reply = s.recv(4096)
    assert reply[:2] == b"\x12\x34" and reply[2] & 0x80
    if reply[7] == 0:
        assert reply[9] == 1  # with how long that holds
        return reply[3] & 15, None
    at = 12 + len(labels) + 5 + 10
    data, text = reply[at + 2:at + 2 + int.from_bytes(reply[at:at + 2], "big")], b""
    while data:
        text, data = text + data[1:1 + data[0]], data[1 + data[0]:]
    return reply[3] & 15, text


def test_lost_and_doubled_messages_are_seen(sink):
    lost, doubled = sink.load("-n", 10, "-c", 1), sink.report()
    assert lost["digest"] == doubled["digest"]
    sink.load("-n", 10, "-c", 1)
    sink.load("-n", 1, "-c", 1)
    assert sink.report()["digest"] != lost["digest"]
    sink.load("-n", 9, "-c", 1)
    assert sink.report()["digest"] != lost["digest"]


@pytest.mark.parametrize("body, count", [
    ("bench 7 7 0000000000000000\r\nhello\r\n", "damaged"),
    ("no bench\r\n", "unknown"),
])
def test_damaged_messages_are_seen(sink, body, count):
    with smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.sendmail("a@example.org", ["b@example.com"], f"Subject: x\r\n\r\n{body}")
    assert sink.report()[count] == 1


def test_a_sink_that_is_gone_is_a_failure():
    port = free_port()
    out = subprocess.run([TOOLS / "load", "-t", f"127.0.0.1:{port}", "-n", "5"], capture_output=True, text=True)
    report = json.loads(out.stdout)
    assert report["acked"] == 0 and report["failed"] == 5


@pytest.mark.parametrize("target", ["192.0.2.1:25", "127.0.0.1", "localhost:25", "0.0.0.0:25", "127.0.0.1:0"])
def test_only_loopback_is_a_target(target):
    assert subprocess.run([TOOLS / "load", "-t", target], capture_output=True).returncode == 2


BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_cpu_of_dead_children_counts():
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}]); print('x', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        assert 0.3 <= measure.cpu_s(parent.pid) < 3
        parent.stdin.close()


def test_maildir_keeps_what_it_acknowledges(tmp_path):
    port = free_port()
    with subprocess.Popen([TOOLS / "maildir", f"127.0.0.1:{port}", tmp_path / "Maildir"], stdout=subprocess.PIPE,
                          text=True) as maildir:
        client = connect(port)
        client.ehlo()
        for keyword in ("pipelining", "size", "8bitmime", "smtputf8", "dsn", "enhancedstatuscodes", "chunking"):
            assert client.has_extn(keyword)
        client.sendmail("a@example.org", ["b@example.com", "c@example.com"], "Subject: x\r\n\r\n.dot\r\n\xe4\r\n".encode("latin-1"))
        client.docmd("MAIL FROM:<>")
        client.docmd("RCPT TO:<d@example.com>")
        client.send("BDAT 6\r\na: b\r\nBDAT 4 LAST\r\n\r\n.\n")
        assert [client.getreply()[0], client.getreply()[0]] == [250, 250]
        client.docmd("MAIL FROM:<>")
        client.docmd("RCPT TO:<e@example.com>")
        client.docmd("DATA")
        client.send("half")
        client.close()
        maildir.terminate()
        assert maildir.wait(10) == 0
    kept = [f.read_bytes() for f in sorted((tmp_path / "Maildir/new").iterdir())]
    assert kept == [
        b"Return-Path: <a@example.org>\nDelivered-To: b@example.com\nDelivered-To: c@example.com\n"
        b"Subject: x\n\n.dot\n\xe4\n",
        b"Return-Path: <>\nDelivered-To: d@example.com\na: b\n\n.\n",
    ]
    assert not list((tmp_path / "Maildir/tmp").iterdir())


def connect(port, deadline_s=10):
    end = time.monotonic() + deadline_s
    while True:
        try:
            return smtplib.SMTP("127.0.0.1", port)
        except OSError:
            assert time.monotonic() < end, f"nobody listens on port {port}"
            time.sleep(0.02)
