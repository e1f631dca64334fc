"""What `metrics` and `status` tell of rules, lookups and blocklists: over all workers, and past their end."""

import os
import re
import signal
import socket
import threading

import pytest

from harness.client import Client
from harness.postern import ROOT
from harness.process import HOST, until

BODY = b"Message-ID: <m@client.example>\r\nSubject: watch me\r\n\r\nbody\r\n"
RULES = """
rule bad { when mail.local == "bad" then reject 550 5.7.1 "No" }
rule watched monitor { when subject == "watch me" then discard "would" }
rule held { when subject == "hold me" then quarantine "held" }
rule never { when subject == "never" then discard "never" }
rule gone off { when subject == "watch me" then discard "gone" }
"""
SAMPLE = re.compile(r'(postern_[a-z0-9_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? ([0-9.]+)')


def parse(text):
    """{family{labels}: value}; fails where `promtool check metrics` would."""
    samples, family, kind, families = {}, None, None, set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in families, f"{family} twice"
            families.add(family)
            kind = None
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == family and kind in ("counter", "gauge", "histogram")
            assert (kind == "counter") == name.endswith("_total")
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            assert kind and name in {family + end for end in ends}, line
            key = f"{name}{{{labels}}}" if labels else name
            assert key not in samples, f"{key} twice"
            samples[key] = float(value)
    return samples


def metrics(p):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(str(p.directory / "control.sock"))
        s.sendall(b"metrics\n")
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
    status, text = answer.decode().split("\n", 1)
    assert status == "0", text
    return parse(text)


def hits(rule, mode="on"):
    return f'postern_rule_hits_total{{rule="{rule}",mode="{mode}"}}'


def spoken(verdict, stage):
    return f'postern_verdicts_total{{verdict="{verdict}",stage="{stage}"}}'


@pytest.fixture
def ruled(sink, postern):
    """ruled(rules, **options): postern with these rules, ready."""
    def start(rules=RULES, **options):
        p = postern.configured(sink(), **options)
        (p.directory / "rules.d").mkdir()
        (p.directory / "rules.d/test.rules").write_text(rules)
        return p.start().ready()
    return start


def message(p, body=BODY, wanted=250, **envelope):
    with Client(p.port) as c:
        c.ehlo()
        assert c.message(body, **envelope)[0] == wanted


def refused(p):
    with Client(p.port) as c:
        c.ehlo()
        assert c.command("MAIL FROM:<bad@client.example>")[0] == 250
        assert c.command("RCPT TO:<alice@example.com>")[0] == 550


def test_rules_and_verdicts_add_up(ruled):
    p = ruled()
    p.wait_workers(2)
    for _ in range(5):
        message(p)
    message(p, BODY.replace(b"watch", b"hold"))
    for _ in range(3):
        refused(p)
    said = metrics(p)
    assert said[hits("watched", "monitor")] == 5
    assert said[hits("bad")] == 3 and said[hits("held")] == 1 and said[hits("never")] == 0
    assert not any("gone" in name for name in said)
    assert said[spoken("accept", "message")] == 5 and said[spoken("quarantine", "message")] == 1
    assert said[spoken("reject", "rcpt")] == 3 and said[spoken("reject", "message")] == 0
    assert said['postern_lookup_duration_seconds_count{kind="envelope"}'] > 0
    assert said["postern_workers_silent"] == 0 and said["postern_config_last_reload_success"] == 1
    assert [v for k, v in said.items() if k.startswith("postern_backend_up{")] == [1]
    plain = p.cli("status").stdout
    rows = [line.split() for line in plain.splitlines()]
    assert [r for r in rows if r[:1] in (["watched"], ["bad"], ["held"])] == [
        ["watched", "5", "monitor"], ["bad", "3"], ["held", "1"]]
    assert "1 rule was never true" in plain and any(r[:1] == ["envelope"] for r in rows)
    status = p.status()
    assert {r["rule"]: r["hits"] for r in status["rules"]} == {"bad": 3, "watched": 5, "held": 1, "never": 0}


def test_every_metric_is_explained(ruled):
    manual = (ROOT / "docs/OPERATING.md").read_text()
    names = {re.sub(r"_(bucket|sum|count)$", "", name.split("{")[0].removeprefix("postern_")) for name in metrics(ruled())}
    assert len(names) > 20 and not [name for name in names if f"`{name}`" not in manual]


def test_counts_outlive_their_workers(ruled):
    """A reload forgets nothing, also what nobody had asked for; of a killed worker it stays what it last said."""
    p = ruled()
    old = p.wait_workers(2)
    for _ in range(6):
        message(p)
    assert p.cli("reload", "--wait").returncode == 0
    workers = p.wait_workers(2, without=old)
    assert metrics(p)[hits("watched", "monitor")] == 6
    for _ in range(4):
        message(p)
    assert metrics(p)[hits("watched", "monitor")] == 10
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    p.wait_workers(2, without=workers)
    until(lambda: metrics(p)["postern_workers_silent"] == 0, "answers of the new workers")
    message(p)
    said = metrics(p)
    assert said[hits("watched", "monitor")] == 11 and said[spoken("accept", "message")] == 11


def test_a_silent_worker_counts_as_it_last_said(ruled):
    p = ruled()
    workers = p.wait_workers(2)
    for _ in range(6):
        message(p)
    assert metrics(p)[hits("watched", "monitor")] == 6
    try:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        said = metrics(p)
        assert said["postern_workers_silent"] == 2 and said[hits("watched", "monitor")] == 6
        assert not any(name.startswith("postern_backend_up") for name in said), "nobody knows"
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    until(lambda: metrics(p)["postern_workers_silent"] == 0, "answers")


class EverybodyIsListed:
    """A DNS server that answers every A with 127.0.0.2, as zones do that were given up."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            query, sender = self.socket.recvfrom(4096)
            if not query:
                return
            end = query.index(b"\0", 12) + 5
            found = query[end - 4:end - 2] == b"\0\1"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\2" if found else b""
            self.socket.sendto(query[:2] + b"\x81\x80\0\1\0" + bytes([found]) + bytes(4) + query[12:end] + answer, sender)

    def stop(self):
        self.socket.sendto(b"", (HOST, self.port))
        self.thread.join()
        self.socket.close()


def test_a_blocklist_that_is_switched_off(stack, ruled):
    names = EverybodyIsListed()
    stack.callback(names.stop)
    p = ruled('rule zen { when any dnsbl("zen.test", client.ip) in 127.0.0.0/8 then reject "Listed" }',
              workers=1, more=f'dns {{ server "{HOST}:{names.port}" }}')
    message(p)
    said = metrics(p)
    assert said['postern_dnsbl_up{zone="zen.test",of="addresses"}'] == 0
    assert said['postern_dnsbl_broken_total{zone="zen.test",of="addresses"}'] == 0
    assert said['postern_lookup_errors_total{kind="dnsbl"}'] == 1
    assert said['postern_lookup_duration_seconds_bucket{kind="dnsbl",le="+Inf"}'] >= 1
    assert "The list zen.test (of addresses) is switched off: it lists what no list may list" in p.cli("status").stdout
