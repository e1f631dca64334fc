"""postern's SPF evaluator as tests see it: a zone, questions, results (tests/oracle/spf_tool.c)."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("POSTERN_BUILD", ROOT / "build/asan")) / "tests/oracle/spf_tool"
TYPES = ("A", "AAAA", "MX", "PTR", "TXT")
TROUBLE = "TROUBLE"


@dataclass
class Zone:
    """What DNS says: {lower-case name: {type: [record] or TROUBLE}}. An MX is (preference, name), a TXT bytes."""
    names: dict = field(default_factory=dict)

    def add(self, name, type, record):
        self.names.setdefault(name.lower().rstrip("."), {}).setdefault(type, []).append(record)

    def break_down(self, name, type):
        self.names.setdefault(name.lower().rstrip("."), {})[type] = TROUBLE

    def find(self, name, type):
        return self.names.get(name.lower().rstrip("."), {}).get(type, [])


@dataclass
class Result:
    code: str
    mechanism: str
    problem: str
    explanation: str
    rounds: int
    questions: int


def word(value):
    return quote_from_bytes(value if isinstance(value, bytes) else value.encode(), safe="-._:")


def usual(name):
    """A name as postern's DNS has it: lower case, and odd bytes as \\DDD."""
    name = name.lower().rstrip(".")
    return re.sub(r"[^a-z0-9._*+/=-]", lambda m: "".join(f"\\{b:03d}" for b in m[0].encode()), name)


def record_word(type, record):
    if type == "MX":
        return word(f"{record[0]} {usual(record[1]) or '.'}")
    return word(usual(record) if type == "PTR" else record)


class Evaluator:
    """One process for many zones and questions."""

    def __init__(self):
        self.tool = subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def close(self):
        self.tool.stdin.close()
        said = self.tool.stderr.read().decode(errors="replace")
        assert self.tool.wait(60) == 0, said
        self.tool.stdout.close()
        self.tool.stderr.close()

    def tell(self, *words):
        self.tool.stdin.write("\t".join(words).encode() + b"\n")

    def load(self, zone):
        self.tell("reset")
        for name, types in zone.names.items():
            for type, records in types.items():
                said = ["trouble"] if records == TROUBLE else [record_word(type, r) for r in records]
                self.tell("zone", word(usual(name)), type, *said)

    def check(self, client, helo, sender, receiver="", wall_s=0):
        """sender: a mail address; empty, or a name alone, is that of a HELO identity."""
        local, _, domain = (sender or f"postmaster@{helo}").rpartition("@")
        self.tell("check", word(client), word(helo), word(local), word(domain), word(receiver), str(wall_s))
        self.tool.stdin.flush()
        line = self.tool.stdout.readline().decode().rstrip("\n")
        if not line:
            self.tool.stdin.close()
            raise AssertionError("the evaluator died: " + self.tool.stderr.read().decode(errors="replace"))
        code, *texts, rounds, questions = line.split("\t")
        return Result(code, *(unquote_to_bytes(t).decode("latin-1") for t in texts), int(rounds), int(questions))
