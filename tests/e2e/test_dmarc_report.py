"""`postern dmarc-report`: what the store has of a day, and the report about a domain (RFC 9990)."""

import gzip
import json
import subprocess
import xml.etree.ElementTree as ElementTree
from datetime import datetime, timedelta, timezone
from pathlib import Path

from harness.process import until
from harness.store import Store, today

SCHEMA = Path(__file__).resolve().parents[1] / "data/dmarc-report.xsd"
SPACE = "{urn:ietf:params:xml:ns:dmarc-2.0}"
YESTERDAY = (datetime.now(timezone.utc) - timedelta(days=1)).strftime("%Y-%m-%d")
ROW = {"source_ip": "192.0.2.1", "disposition": "none", "dkim": "pass", "spf": "fail", "header_from": "news.example.com",
       "envelope_from": "bounce.example.net", "spf_domain": "bounce.example.net", "spf_scope": "mfrom",
       "spf_result": "softfail", "signatures": [{"domain": "example.com", "selector": "s1", "result": "pass"}]}
RECORD = "v=DMARC1; p=reject; rua=mailto:dmarc@example.com,mailto:rua@takes.example!10m,mailto:rua@silent.example"
ZONE = """\
_dmarc.example.com. TXT "v=DMARC1; p=reject"
example.com._report._dmarc.takes.example. TXT "v=DMARC1"
silent.example. TXT "nothing of the sort"
"""


def with_rows(p, day=YESTERDAY):
    store = Store(p)
    until(store.file.exists, "the store's file")
    until(lambda: p.status()["store"]["file_bytes"] > 0, "the keeper to have opened it")
    store.add_dmarc("example.com", RECORD, [(12, ROW), (2, {**ROW, "source_ip": "2001:db8::7"})], day)
    store.add_dmarc("example.org", "v=DMARC1; p=none", [(1, ROW)], day, left_out=4)
    return store


def report(p, tmp_path, *args):
    """postern dmarc-report in an empty folder: the process, and the files that it left there."""
    before = set(tmp_path.iterdir())
    done = p.cli("dmarc-report", *args, "--output", tmp_path / "report.xml.gz")
    return done, sorted(set(tmp_path.iterdir()) - before)


def validate(xml, tmp_path):
    (tmp_path / "report.xml").write_bytes(xml)
    done = subprocess.run(["xmllint", "--noout", "--nonet", "--schema", SCHEMA, tmp_path / "report.xml"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_domains_of_a_day(sink, postern):
    p = postern(sink())
    with_rows(p)
    done = p.cli("dmarc-report", "--day", "yesterday")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["DOMAIN", "MESSAGES", "ROWS", "LEFT", "OUT"], ["example.com", "14", "2", "0"], ["example.org", "5", "1", "4"]]
    done = p.cli("dmarc-report", "--day", YESTERDAY, "--json")
    assert [d["domain"] for d in json.loads(done.stdout)["domains"]] == ["example.com", "example.org"]
    done = p.cli("dmarc-report", "--day", "2020-02-29")
    assert done.returncode == 0 and "no results" in done.stdout


def test_a_report_and_where_it_goes(sink, postern, dns, tmp_path):
    p = postern(sink(), dns=dns(ZONE))
    with_rows(p)
    done, files = report(p, tmp_path, "--day", "yesterday", "--domain", "EXAMPLE.com", "--json", "--org-name", "Us & Co")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    begin = int(datetime.strptime(YESTERDAY, "%Y-%m-%d").replace(tzinfo=timezone.utc).timestamp())
    assert said["file"] == f"mx.example.com!example.com!{begin}!{begin + 86399}!{said['report_id']}.xml.gz"
    assert said["messages"] == 14 and said["rows"] == 2
    assert [(d["uri"], d["state"]) for d in said["destinations"]] == [
        ("mailto:dmarc@example.com", "takes"), ("mailto:rua@takes.example!10m", "takes"),
        ("mailto:rua@silent.example", "not")]
    xml = gzip.decompress(files[0].read_bytes())
    assert len(files[0].read_bytes()) == said["bytes"]
    validate(xml, tmp_path)
    tree = ElementTree.fromstring(xml)
    assert tree.findtext(f"{SPACE}report_metadata/{SPACE}report_id") == said["report_id"]
    assert tree.findtext(f"{SPACE}report_metadata/{SPACE}org_name") == "Us & Co"
    assert tree.findtext(f"{SPACE}report_metadata/{SPACE}email") == "postmaster@mx.example.com"
    rows = tree.findall(f"{SPACE}record/{SPACE}row")
    assert [(r.findtext(f"{SPACE}source_ip"), r.findtext(f"{SPACE}count")) for r in rows] == [
        ("192.0.2.1", "12"), ("2001:db8::7", "2")]
    # Made again it is the same, byte for byte.
    first = files[0].read_bytes()
    done = p.cli("dmarc-report", "--day", YESTERDAY, "--domain", "example.com", "--org-name", "Us & Co",
                 "--output", tmp_path / "again")
    assert done.returncode == 0 and (tmp_path / "again").read_bytes() == first
    assert "send to   dmarc@example.com" in done.stdout and "not to    mailto:rua@silent.example" in done.stdout


def test_it_goes_into_the_current_folder(sink, postern, tmp_path, monkeypatch):
    p = postern(sink())
    with_rows(p)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    done = p.cli("dmarc-report", "--day", "yesterday", "--domain", "example.com", "--no-dns")
    assert done.returncode == 0, done.stderr
    file, = folder.iterdir()
    assert file.name in done.stdout and "not verified" in done.stdout
    validate(gzip.decompress(file.read_bytes()), tmp_path)


def test_standard_output(sink, postern):
    p = postern(sink())
    with_rows(p)
    command = [p.process.popen.args[3], "dmarc-report", "-c", p.file, "--day", "yesterday", "--domain", "example.com",
               "--no-dns", "--output", "-"]
    done = subprocess.run([str(c) for c in command], capture_output=True, timeout=60)
    assert done.returncode == 0 and b"send" not in done.stdout and b"subject" in done.stderr
    assert b"<feedback" in gzip.decompress(done.stdout)


def test_what_goes_wrong_has_its_status(sink, postern, dns, tmp_path):
    p = postern(sink(), dns=dns(None))
    with_rows(p, today())
    done, files = report(p, tmp_path, "--day", "today", "--domain", "example.net")
    assert done.returncode == 1 and "no results" in done.stderr and not files
    done, files = report(p, tmp_path, "--day", "today", "--domain", "example.com")
    assert done.returncode == 5 and "unsure" in done.stdout and files, "DNS has not told"
    assert "is not over" in done.stderr
    for args in (["--domain", "example.com"], ["--day", "2026-02-30"], ["--day", "today", "--domain", "a b"],
                 ["--day", "today", "--domain", "../etc"], ["--day", "today", "--email", "a@b.example"]):
        assert p.cli("dmarc-report", *args).returncode == 2, args
    done = p.cli("dmarc-report", "--day", "today", "--domain", "example.com", "--output", tmp_path / "no/such/folder")
    assert done.returncode == 1 and "can't write" in done.stderr
    done = p.cli("dmarc-report", "--day", "today", "--domain", "example.org", "--no-dns", "--output", tmp_path / "org")
    assert done.returncode == 0 and "4 messages were left out" in done.stderr and "names no rua" in done.stdout


def test_without_a_daemon_it_says_so(sink, postern, tmp_path):
    p = postern.configured(sink())
    for args in (["--day", "today"], ["--day", "today", "--domain", "example.com"]):
        done = p.cli("dmarc-report", *args)
        assert done.returncode == 4 and "not running" in done.stderr, (done.returncode, done.stderr)
