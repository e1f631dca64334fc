#!/usr/bin/python3
"""Compares what postern, dkimpy and Mail::DKIM find in generated messages and in mutations of them.

    dkim_compare.py [--generated N] [--mutated N] [--seed N]

A verdict that differs from ours must have its ruling in dkim_rulings.txt; what has none is printed, and makes the exit
status 1.
"""

import argparse
import collections
import fnmatch
import random
import re
import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import dkim_mail  # noqa: E402
from dkim_verifiers import MOST, Dkimpy, Perl, Postern, tool  # noqa: E402

BATCH = 50  # messages that are handed out together
Ruling = namedtuple("Ruling", "who ours theirs when why line")


# --- what is peculiar about a signature; the third column of the table names these ---


class Subject:
    """A signature of a message, as the rulings see it."""

    def __init__(self, message, number):
        self.message = message
        self.field = message.fields[message.signatures()[number]]
        self.tags = {}
        for tag in self.field.split(b":", 1)[1].split(b";"):
            name, sign, value = tag.partition(b"=")
            if sign:
                self.tags[name.strip()] = value.strip()
        self.names = [name.strip().lower() for name in self.tags.get(b"h", b"").split(b":")]

    def froms(self):
        return sum(dkim_mail.name_of(field) == b"from" for field in self.message.fields)

    def record(self):
        name = (self.tags.get(b"s", b"") + b"._domainkey." + self.tags.get(b"d", b"")).decode("latin-1").lower()
        return (self.message.answers.get(name, (0, []))[1] or [b""])[0]

    def record_tag_twice(self):
        names = [tag.split(b"=")[0].strip() for tag in self.record().split(b";") if b"=" in tag]
        return len(set(names)) < len(names)

    def key_tag(self, name):
        found = re.search(rb"(?:^|;)\s*" + name + rb"\s*=\s*([^;]*)", self.record())
        return found and found[1].strip()


WHEN = {
    "": lambda s: True,
    "ed25519": lambda s: s.tags.get(b"a") == b"ed25519-sha256",
    "a line that is no field": lambda s: any(not re.match(rb"[\x21-\x7e]+?:", f) for f in s.message.fields),
    "no CRLF at the end": lambda s: s.message.body and not s.message.body.endswith(b"\r\n"),
    "more From than signed": lambda s: s.froms() > s.names.count(b"from"),
    "blanks behind b=": lambda s: re.search(rb"[;\s]b\s*=[^;]*\s(;|$)", s.field),
    "b= first of all": lambda s: re.match(rb"[^:]*:b\s*=", s.field),
    "b= with junk": lambda s: re.search(rb"[^A-Za-z0-9+/=\s]", s.tags.get(b"b", b"")),
    "h= empty": lambda s: s.tags.get(b"h") == b"",
    "nothing but line ends": lambda s: not s.message.body.strip(b"\r\n"),
    "b= unpadded": lambda s: len(re.sub(rb"\s", b"", s.tags.get(b"b", b""))) % 4,
    "From not signed": lambda s: b"from" not in s.names,
    "l=": lambda s: b"l" in s.tags,
    "l=0": lambda s: s.tags.get(b"l", b"").strip(b"0") == b"" and b"l" in s.tags,
    "SHA-1": lambda s: s.tags.get(b"a", b"").lower() == b"rsa-sha1",
    "q= lists": lambda s: b":" in s.tags.get(b"q", b""),
    "key h=": lambda s: s.key_tag(b"h"),
    "key s=": lambda s: s.key_tag(b"s"),
    "key t=": lambda s: s.key_tag(b"t"),
    "key p= unpadded": lambda s: len(re.sub(rb"\s", b"", s.key_tag(b"p") or b"")) % 4,
    "key p= with junk": lambda s: re.search(rb"[^A-Za-z0-9+/=\s]", s.key_tag(b"p") or b""),
    "an empty tag in the key": lambda s: any(not tag.strip() for tag in s.record().split(b";")[:-1]),
    "key ends in ;;": lambda s: s.record().rstrip().endswith(b";;"),
    "key tag twice": lambda s: s.record_tag_twice(),
}


def read_rulings(path=HERE / "dkim_rulings.txt"):
    rulings = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = [word.strip() for word in line.split("|")]
        if len(words) != 5 or words[0] not in ("dkimpy", "perl") or words[3] not in WHEN:
            sys.exit(f"{path}:{number}: not WHO | OURS | THEIRS | WHEN | RULING")
        rulings.append(Ruling(*words, number))
    return rulings


class Comparison:
    def __init__(self, seed, folder):
        self.rng = random.Random(seed)
        self.keys = dkim_mail.make_keys(folder)
        self.postern, self.dkimpy, self.perl = Postern(tool()), Dkimpy(), Perl()
        self.rulings = read_rulings()
        self.counts = collections.Counter()
        self.ruled = collections.Counter()
        self.unruled = {}

    def close(self):
        return self.postern.child.close(), self.perl.child.close()

    def messages(self, generated, mutated):
        """So many messages, and so many mutations of them in all; each with how it came to be."""
        for n in range(generated):
            message, made = dkim_mail.signed(self.rng, self.keys, self.perl)
            self.counts["generated"] += 1
            yield message, made
            for _ in range(mutated * (n + 1) // generated - mutated * n // generated):
                other, done = dkim_mail.mutated(self.rng, message)
                self.counts["mutated"] += 1
                yield other, f"{made}, then {done}"

    def run(self, generated, mutated):
        batch = []
        for case in self.messages(generated, mutated):
            batch.append(case)
            if len(batch) == BATCH:
                self.compare(batch)
                batch = []
        self.compare(batch)

    def compare(self, batch):
        messages = [message for message, _ in batch]
        self.postern.ask(messages, int(time.time()), self.rng.choice([1, 7, 1000, 100000]))
        self.perl.ask(messages)
        dkimpy = [self.dkimpy.verify(message) for message in messages]
        for (message, made), *verdicts in zip(batch, self.postern.answers(messages), dkimpy,
                                              self.perl.answers(messages)):
            self.compare_one(message, made, *verdicts)

    def compare_one(self, message, made, ours, dkimpy, perl):
        others = {"dkimpy": dkimpy, "perl": perl}
        if len(ours) != min(MOST, len(message.signatures())):
            self.unruled[("count", str(len(ours)), "", "")] = (made, message, 0)
        for number, our in enumerate(ours):
            self.counts["signatures"] += 1
            self.counts["of them pass"] += our.passes
            differ = [who for who, verdicts in others.items() if verdicts[number].passes != our.passes]
            self.counts["all agree"] += not differ
            self.counts["both others differ"] += len(differ) == 2
            for who in differ:
                self.judge(who, our, others[who][number], Subject(message, number), (made, message, number))

    def judge(self, who, our, their, subject, example):
        for ruling in self.rulings:
            fits = fnmatch.fnmatchcase(our.why, ruling.ours) and fnmatch.fnmatchcase(their.why, ruling.theirs)
            if ruling.who == who and fits and WHEN[ruling.when](subject):
                self.ruled[ruling] += 1
                return
        self.counts["without a ruling"] += 1
        self.unruled.setdefault((who, our.why, their.why), example)

    def report(self):
        lines = [f"{count:8} {what}" for what, count in self.counts.items()]
        for ruling in self.rulings:
            what = f"ours '{ruling.ours}', theirs '{ruling.theirs}', {ruling.when or 'always'}"
            lines.append(f"{self.ruled[ruling]:8} {ruling.who}: {what}")
        for (who, *verdicts), (made, message, number) in self.unruled.items():
            lines.append(f"NO RULING: {who}: ours {verdicts[0]!r}, theirs {verdicts[1]!r}:")
            lines.append(f"    signature {number} of {made}")
            lines.append(f"    {message.bytes()[:4000]!r}\n    {message.answers}")
        return "\n".join(lines)


def compare(seed, generated, mutated):
    """A comparison that has run."""
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(seed, folder)
        comparison.run(generated, mutated)
        comparison.ended = comparison.close()
    return comparison


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generated", type=int, default=5000)
    parser.add_argument("--mutated", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    comparison = compare(options.seed, options.generated, options.mutated)
    print(comparison.report())
    sys.exit(1 if comparison.unruled or any(comparison.ended) else 0)


if __name__ == "__main__":
    main()
