"""python3-authres reads every Authentication-Results that postern writes, and finds in it what was measured and no more.

Results are made up from a fixed seed: of the form that filters write, with values as senders would choose them to break
out of it, and with bytes put in, taken out and exchanged.

    AUTHRES_FIELDS=100000 python3 -m pytest tests/lib/test_authres_field.py      for longer
"""

import os
import random
import re
import subprocess
from pathlib import Path

import authres
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("POSTERN_BUILD", ROOT / "build/asan")) / "tests" / "authres_field_tool"
FIELDS = int(os.environ.get("AUTHRES_FIELDS", "4000"))
ID = "mx.example.net"
METHODS = ("spf", "dkim", "dmarc", "arc", "iprev", "x-trial")
CODES = ("none", "neutral", "pass", "fail", "softfail", "temperror", "permerror", "policy")
PROPERTIES = ("smtp.mailfrom", "smtp.helo", "smtp.remote-ip", "header.d", "header.s", "header.i", "header.b", "header.a",
              "header.from", "header.oldest-pass", "policy.x", "body.y")
VALUES = (b"example.com", b"alice@example.com", b"@example.com", b"s1._domainkey", b"AbCd/+09=", b"rsa-sha256", b"0",
          b'"2001:db8::1"', b'"a b"@example.com', b'"; dkim=pass"@x.example', b'"\\" x"', b'""@x.example', b"%2e", b"x" * 200,
          b"xn--bcher-kva.example", b"jack&jill=up-a_b3.c@x.example", b"a..b@x", b"=?utf-8?q?x?=", b"b\xc3\xbccher.example")
HOSTILE = (b";", b"; dkim=pass header.d=bank.example", b"(", b")", b'"', b'""', b"\\", b"\r\n", b"\r\n\t", b"\r\nX: y\r\n\r\n", b"\n",
           b"\r", b"\0", b"\x7f", b"\xff", b"\xc3\xbc", b"\xc2\x85", b" ", b"\t", b"=", b".", b"@", b"<x@y>", b"none",
           b"reason=", b"(;)", b"/1", b"none=pass", b"a" * 1000)
WORDS = (b"one", b"two words", b"p=reject", b"nested (one)", b"\\)", b"it's", b"50%", b"long " * 40, b"; spf=pass")


def quoted(text):
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def result(r):
    """One as a filter writes it."""
    parts = [f"{r.choice(METHODS)}={r.choice(CODES)}".encode()]
    if r.random() < 0.3:
        parts.append(b"(" + r.choice(WORDS) + b")")
    if r.random() < 0.2:
        parts.append(b"reason=" + quoted(r.choice(WORDS)))
    parts += [r.choice(PROPERTIES).encode() + b"=" + r.choice(VALUES) for _ in range(r.randrange(4))]
    return r.choice((b" ", b"  ")).join(parts)


def broken(r, text):
    """The same with something in it that a sender might have put there."""
    for _ in range(r.randrange(1, 4)):
        at, cut = r.randrange(len(text) + 1), r.choice((0, 0, 1, 3))
        text = text[:at] + r.choice(HOSTILE) + text[at + cut:]
    return text


def made_up(n):
    r = random.Random(20261125)
    return [[broken(r, result(r)) if r.random() < 0.4 else result(r) for _ in range(r.randrange(1, 6))] for _ in range(n)]


def written(fields, utf8=False):
    """What postern makes of each list of results; None: no field."""
    asked = "".join(f"{ID} {utf8:d} {' '.join(text.hex() for text in results)}\n" for results in fields)
    done = subprocess.run([str(TOOL)], input=asked, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(fields)
    return [None if line == "-" else bytes.fromhex(line) for line in said]


def unfolded(field):
    assert field.endswith(b"\r\n") and not re.search(rb"\r\n[^\t]", field[:-2]), field
    return re.sub(rb"\r\n(?=\t)", b"", field).removesuffix(b"\r\n")


def heads(results):
    """method=result of each, which is all that a field may claim."""
    return [m.group(1, 2) for text in results if (m := re.match(rb"[ \t]*([\w-]+)(?:/\d+)?=([\w-]+)", text))]


@pytest.fixture(scope="module")
def fields():
    made = made_up(FIELDS)
    return list(zip(made, written(made)))


def test_every_field_is_read(fields):
    n = 0
    for results, field in fields:
        if field is None:
            continue
        header = authres.AuthenticationResultsHeader.parse(unfolded(field).decode("ascii"))
        claimed = [(r.method.encode(), r.result.encode()) for r in header.results]
        rest = iter(heads(results))
        assert header.authserv_id == ID and header.version is None
        assert all(claim in rest for claim in claimed), f"{claimed} of {results}: {field}"
        n += 1
    assert n > FIELDS / 2


def test_what_is_well_formed_is_written():
    """What nobody has touched stands in the field, all of it, or nothing would be shown by the rest."""
    r = random.Random(7)
    made = [[text for text in (result(r) for _ in range(4)) if text.isascii() and b"\\)" not in text] for _ in range(500)]
    made = [results for results in made if results]
    for results, field in zip(made, written(made)):
        assert field is not None, results
        header = authres.AuthenticationResultsHeader.parse(unfolded(field).decode("ascii"))
        assert [(h.method.encode(), h.result.encode()) for h in header.results] == heads(results), field


def test_lines_are_short(fields):
    for _, field in fields:
        assert all(len(line) <= 998 for line in (field or b"").split(b"\r\n"))


def test_utf8_stands_where_it_may():
    text = "spf=pass smtp.mailfrom=ü@bücher.example".encode()
    assert written([[text]]) == [None]
    assert text in written([[text]], utf8=True)[0]
