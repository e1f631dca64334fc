"""Three that verify DKIM: postern (dkim_tool), dkimpy and Mail::DKIM (dkim_oracle.pl). Each says of every DKIM-Signature
field of a message, from the top, a Verdict."""

import logging
import os
import re
import subprocess
import threading
from collections import namedtuple
from pathlib import Path

import dkim

from dkim_mail import FOUND, TROUBLE

HERE = Path(__file__).resolve().parent
Verdict = namedtuple("Verdict", "passes why")
MOST = 10  # signatures that are looked at


class Child:
    """A program that answers on standard output, for as long as it is asked."""

    def __init__(self, *command):
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.writer = None

    def ask(self, request):
        """Writes beside what is read, for both pipes may be full."""
        self.writer = threading.Thread(target=self.write, args=(request,))
        self.writer.start()

    def write(self, request):
        self.process.stdin.write(request)
        self.process.stdin.flush()

    def line(self):
        text = self.process.stdout.readline()
        if not text.endswith(b"\n"):
            raise RuntimeError(f"{self.process.args[0]} ended with {self.process.wait()}")
        return text[:-1]

    def answered(self):
        self.writer.join()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(60)


class Postern:
    def __init__(self, tool):
        self.child = Child(tool)

    def ask(self, messages, now, piece=1000):
        """Of all these, to be answered at once; a body is handed over in pieces."""
        self.child.ask(b"".join(self.request(message, now, piece) for message in messages))

    @staticmethod
    def request(message, now, piece):
        section = message.section() + b"\r\n"
        request = [b"message %d %d %d %d %d\n" % (now, len(section), len(message.body), piece, len(message.answers)),
                   section, message.body]
        for name, (outcome, records) in message.answers.items():
            request.append(b"answer %s %d %d\n" % (name.encode(), outcome, len(records)))
            request += [b"%d\n%s" % (len(record), record) for record in records]
        return b"".join(request)

    def answers(self, messages):
        """For each message its verdicts."""
        verdicts = [self.answer() for _ in messages]
        self.child.answered()
        return verdicts

    def answer(self):
        verdicts = []
        while True:
            words = self.child.line().decode("latin-1").split("\t")
            if len(words) == 1:
                return verdicts
            code, problem = words[0], words[8]
            # A body that is only signed in part is good for both others, and a matter of policy for us.
            verdicts.append(Verdict(code in ("pass", "policy"), f"{code}: {problem}" if problem else code))


class Perl:
    """Mail::DKIM. It knows no ed25519."""

    def __init__(self):
        self.child = Child("/usr/bin/perl", HERE / "dkim_oracle.pl")

    def sign(self, message, path, method, domain, selector, identity, headers):
        words = [str(len(message)), str(path), method, domain, selector, identity, headers]
        self.child.ask("\t".join(["sign", *words]).encode() + b"\n" + message)
        text = bytes.fromhex(self.child.line().decode())
        self.child.answered()
        return text

    def ask(self, messages):
        self.child.ask(b"".join(map(self.request, messages)))

    @staticmethod
    def request(message):
        request = [b"verify\t%d\t%d\n" % (len(message.bytes()), len(message.answers)), message.bytes()]
        for name, (outcome, records) in message.answers.items():
            request.append(b"%s\t%d\n" % (name.encode(), -1 if outcome == TROUBLE else len(records)))
            request += [b"%d\n%s" % (len(record), record) for record in records]
        return b"".join(request)

    def answers(self, messages):
        verdicts = [self.answer(message) for message in messages]
        self.child.answered()
        return verdicts

    def answer(self, message):
        said, broken = [], None
        while True:
            text = self.child.line().decode("latin-1")
            if text == "end":
                break
            result, detail, field = text.split("\t")
            if result == "broken":
                broken = Verdict(False, "broken: " + re.sub(r" at /.*", "", detail))
            said.append((result, detail, bytes.fromhex(field)))
        return [broken] * len(message.signatures()) if broken else self.sort(message, said)

    @staticmethod
    def usual(text):
        """It writes the hash that it found into bh=, which it adds where there is none."""
        return re.sub(rb"bh=[^;]*|;", b"", re.sub(rb"\s", b"", text))

    @staticmethod
    def sort(message, said):
        """It leaves out fields that it can't read: each of the message's own is given what was said of it."""
        verdicts = []
        for at in message.signatures():
            text = message.fields[at]
            if said and Perl.usual(said[0][2]) == Perl.usual(text):
                result, detail, _ = said.pop(0)
                detail = re.sub(r"OpenSSL error.*", "OpenSSL error", detail)
                verdicts.append(Verdict(result.startswith("pass"), f"{result}: {detail}" if detail else result))
            else:
                verdicts.append(Verdict(False, "unreadable"))
        return verdicts


class Dkimpy:
    def __init__(self):
        self.said = []
        logger = logging.getLogger("dkim oracle")
        logger.propagate = False
        logger.addHandler(self.Keep(self.said))
        self.logger = logger

    class Keep(logging.Handler):
        def __init__(self, said):
            super().__init__(logging.ERROR)
            self.said = said

        def emit(self, record):
            self.said.append(record.getMessage())

    def verify(self, message):
        def lookup(name, timeout=5):
            outcome, records = message.answers.get(name.decode("latin-1").rstrip(".").lower(), (TROUBLE, []))
            if outcome == TROUBLE:
                raise dkim.DnsTimeoutError("timeout")
            return records[0] if outcome == FOUND and records else None

        return [self.one(message, lookup, number) for number in range(len(message.signatures()))]

    def one(self, message, lookup, number):
        self.said.clear()
        try:
            passes = dkim.DKIM(message.bytes(), logger=self.logger).verify(idx=number, dnsfunc=lookup)
            why = "pass" if passes else "fail: " + self.usual(self.said[0] if self.said else "signature")
            return Verdict(passes, why)
        except dkim.DKIMException as error:
            return Verdict(False, "fail: " + self.usual(str(error)))
        except Exception as error:  # pylint: disable=broad-except  # it is not proof against all mail
            return Verdict(False, f"broken: {type(error).__name__}")

    @staticmethod
    def usual(text):
        """Without what differs from message to message."""
        return re.sub(r"\(.*\)|: b'.*|b'.*|: a.*_domainkey.*|(?<=record).*", "", text,
                      flags=re.S).strip()[:60] or "key record"


def tool():
    return os.path.join(os.environ.get("POSTERN_BUILD", HERE.parents[1] / "build/asan"), "tests/oracle/dkim_tool")
