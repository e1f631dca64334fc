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

    def ask(self, request):
        # Beside reading, for both pipes may be full.
        writer = threading.Thread(target=self.write, args=(request,))
        if len(request) > 32768:
            writer.start()
        else:
            self.write(request)
        return writer

    def write(self, request):
        self.process.stdin.write(request)
        self.process.stdin.flush()

    def line(self):
        text = self.process.stdout.readline()
        if not text.endswith(b"\n"):
            raise RuntimeError(f"{self.process.args[0]} ended with {self.process.wait()}")
        return text[:-1]

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(60)


class Postern:
    def __init__(self, tool):
        self.child = Child(tool)

    def verify(self, message, now, piece=1000):
        section = message.section() + b"\r\n"
        request = [b"message %d %d %d %d %d\n" % (now, len(section), len(message.body), piece, len(message.answers)), section, message.body]
        for name, (outcome, records) in message.answers.items():
            request.append(b"answer %s %d %d\n" % (name.encode(), outcome, len(records)))
            request += [b"%d\n%s" % (len(record), record) for record in records]
        writer = self.child.ask(b"".join(request))
        verdicts = []
        while True:
            words = self.child.line().decode("latin-1").split("\t")
            if len(words) == 1:
                if writer.ident:
                    writer.join()
                return verdicts
            code, problem = words[0], words[8]
            # A body that is only signed in part is good for both others, and a matter of policy for us.
            verdicts.append(Verdict(code in ("pass", "policy"), f"{code}: {problem}" if problem else code))


class Perl:
    """Mail::DKIM. It knows no ed25519."""

    def __init__(self):
        self.child = Child("/usr/bin/perl", HERE / "dkim_oracle.pl")

    def sign(self, message, path, method, domain, selector, identity, headers):
        writer = self.child.ask(b"sign\t%d\t%s\n" % (len(message), "\t".join([str(path), method, domain, selector, identity, headers]).encode()) + message)
        text = bytes.fromhex(self.child.line().decode())
        if writer.ident:
            writer.join()
        return text

    def verify(self, message):
        request = [b"verify\t%d\t%d\n" % (len(message.bytes()), len(message.answers)), message.bytes()]
        for name, (outcome, records) in message.answers.items():
            request.append(b"%s\t%d\n" % (name.encode(), -1 if outcome == TROUBLE else len(records)))
            request += [b"%d\n%s" % (len(record), record) for record in records]
        writer = self.child.ask(b"".join(request))
        said, broken = [], None
        while True:
            text = self.child.line().decode("latin-1")
            if text == "end":
                break
            result, detail, field = text.split("\t")
            if result == "broken":
                broken = Verdict(False, "broken: " + re.sub(r" at /.*", "", detail))
            said.append((result, detail, bytes.fromhex(field)))
        if writer.ident:
            writer.join()
        return [broken] * len(message.signatures()) if broken else self.sort(message, said)

    @staticmethod
    def usual(text):
        """It writes the hash that it found into bh=."""
        return re.sub(rb"bh=[^;]*", b"", re.sub(rb"\s", b"", text))

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
        return re.sub(r"\(.*\)|: b'.*|b'.*|: a.*_domainkey.*|(?<=record).*", "", text, flags=re.S).strip()[:60] or "key record"


def tool():
    return os.path.join(os.environ.get("POSTERN_BUILD", HERE.parents[1] / "build/asan"), "tests/oracle/dkim_tool")
