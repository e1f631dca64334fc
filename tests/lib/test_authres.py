"""Every resinfo that lib/mail/authres_write makes, out of whatever it is given, is read by python3-authres as what it is."""

import os
import random
import re
import subprocess
from pathlib import Path

import authres
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("POSTERN_BUILD", ROOT / "build/asan")) / "tests/authres_tool"

VALUE_MAX, TEXT_MAX = 320, 160  # lib/mail/authres_write.h
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")
DOMAIN = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"

HOSTILE = [
    b"", b" ", b"example.org", b"@example.org", b"joe@example.org", b'"joe b"@example.org', b'""@example.org', b"a@b@c.example",
    b"; spf=pass smtp.mailfrom=example.org", b'"; spf=pass', b"\r\nSubject: x", b"(", b")", b"\\", b'"', b'\\"', b"a\\",
    b"a(b)c", b"\x00", b"\xff\xfe", "b\u00fccher.example".encode(), "j\u00f6@b\u00fccher.example".encode(), b"none", b"reason=x",
    b"header.d=example.org", b"a" * 320, b"a" * 321, b"\xff" * 320, b'"' * 320, b"." * 5, b"a..b@example.org", b".", b"@", b"a@",
    b"2001:db8::1", b"=?utf-8?q?x?=", b"%00", b"a;b", b"a,b", b"<a@example.org>", b"a=b", b"a/b+c=", b"\t", b" a ", b"  ",
]
PIECES = [b"a", b"Z", b"9", b".", b"@", b"-", b"_", b" ", b"\t", b";", b":", b"=", b"/", b"\\", b'"', b"(", b")", b"<", b">", b",",
          b"[", b"]", b"?", b"%", b"\r\n", b"\n", b"\0", b"\x7f", b"\xc3\xa9", b"\xff", b"spf=pass", b"example.org", b"none"]


def escaped(value):
    """As a text reads once bytes that are not printable ASCII are %XX."""
    return "".join(chr(b) if 32 <= b <= 126 else f"%{b:02X}" for b in value)


def unquoted(text):
    """authres leaves quoted pairs as they are."""
    return re.sub(r"\\(.)", r"\1", text)


def plain(value):
    """Whether it can stand without quotes around all of it."""
    text = escaped(value)
    token = TOKEN.fullmatch(text) and not any(b < 32 or b == 127 for b in value)
    return 0 < len(value) <= VALUE_MAX and bool(token or re.fullmatch(f"(?s:.*)@{DOMAIN}", text))


def lines():
    """Six values for each line: every hostile one in every place, then mixtures."""
    chance = random.Random(8601)
    for value in HOSTILE:
        for place in range(6):
            yield [value if i == place else b"" for i in range(6)]
        yield [value] * 6
    for _ in range(4000):
        yield [b"".join(chance.choices(PIECES, k=chance.randint(0, 12))) for _ in range(6)]


@pytest.fixture(scope="module")
def written():
    """(values, resinfo) for each line."""
    asked = list(lines())
    text = "".join(" ".join(value.hex() or "-" for value in values) + "\n" for values in asked)
    output = subprocess.run([TOOL], input=text, capture_output=True, text=True, check=True, timeout=60).stdout
    answers = output.split("\n")[:-1]
    assert len(answers) == len(asked)
    return list(zip(asked, answers))


def parsed(resinfo):
    return authres.all_features().parse(f"Authentication-Results: mx.example.net; {resinfo}; spf=none smtp.helo=last")


def test_every_value_is_read(written):
    for values, line in written:
        resinfo = line.removeprefix("(cut) ")
        assert len(resinfo) <= 900 and all(32 <= ord(c) <= 126 for c in resinfo), resinfo
        field = parsed(resinfo)
        assert [result.method for result in field.results] == ["dkim", "spf"], resinfo
        result = field.results[0]
        assert result.result == "fail", resinfo
        assert unquoted(result.reason or "") == escaped(values[0][:TEXT_MAX]), resinfo
        names = [f"{p.type}.{p.name}" for p in result.properties]
        if not line.startswith("(cut) "):
            expected = [name for name, value in zip(("header.d", "header.i", "header.s"), values[2:5]) if plain(value)]
            expected += ["header.b"] if 0 < len(values[5]) <= VALUE_MAX else []
            assert names == expected, resinfo


def test_values_come_back(written):
    """What stands quoted is the value, and what stands without quotes too."""
    for values, line in written:
        if line.startswith("(cut) "):
            continue
        for prop in parsed(line).results[0].properties:
            value = escaped(values[{"d": 2, "i": 3, "s": 4, "b": 5}[prop.name]])
            local, at, domain = value.rpartition("@")
            if prop.value.startswith('"') and at:  # "local"@domain, where local may have been quoted before
                assert prop.value.endswith(f'"@{domain}')
                inner = unquoted(prop.value[1:-len(domain) - 2])
                assert inner == local or inner == unquoted(local[1:-1])
            else:
                assert unquoted(prop.value) == value
