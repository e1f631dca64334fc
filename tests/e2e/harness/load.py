"""The load client: many connections, every message with an id of its own, and the outcome of each, as it comes.

Runs as a program of its own (python3 load.py --help), so that it shares no interpreter lock with the sink; Load starts
it and reads its results. Nothing is tried twice: an id has exactly one outcome. A message whose connection died before
the reply has code null; `sent` says whether its final dot (or last chunk) had left.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path


def message(ident, size, subject=""):
    """CRLF lines; some begin with dots, so that stuffing is tried on every message."""
    head = (f"Message-ID: <{ident}@load.example>\r\nFrom: <load@client.example>\r\nTo: <alice@example.com>\r\n"
            f"Subject: {subject or ident}\r\n\r\n.{ident}\r\n..\r\n").encode()
    line = b"the quick brown fox jumps over the lazy dog 0123456789\r\n"
    return head + line * max(0, (size - len(head)) // len(line))


class Lost(Exception):
    """The connection ended."""


class Client:
    """One SMTP connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port):
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        code, text = await client.reply()
        if code != 220:
            client.writer.close()
            raise Lost(f"{code} {text}")
        await client.command("EHLO client.example")
        return client

    async def reply(self):
        while True:
            line = await self.reader.readline()
            if not line.endswith(b"\n"):
                raise Lost("closed")
            if line[3:4] != b"-":
                return int(line[:3]), line[4:].strip().decode("utf-8", "replace")

    async def command(self, *lines):
        """Sends lines in one write; the replies in their order."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        return [await self.reply() for _ in lines]

    async def send(self, ident, options, number, outcome):
        """Tries one message once. Styles take turns: DATA step by step, DATA pipelined, BDAT in two chunks."""
        style = number % 3 if options.style == "mixed" else ("step", "pipelined", "bdat").index(options.style)
        body = message(ident, options.size, outcome.get("subject"))
        envelope = ["MAIL FROM:<load@client.example>", "RCPT TO:<alice@example.com>"]
        if style == 2:
            outcome["sent"] = True
            half = len(body) // 2
            self.writer.write("".join(f"{line}\r\n" for line in envelope).encode() +
                              b"BDAT %d\r\n%sBDAT %d LAST\r\n%s" % (half, body[:half], len(body) - half, body[half:]))
            replies = [await self.reply() for _ in range(4)]
            good, last = (250, 250, 250), replies[-1]
            bad = [r for r, want in zip(replies, good) if r[0] != want]
            return bad[0] if bad and last[0] != 250 else last
        replies = []
        if style == 0:
            for line in [*envelope, "DATA"]:
                replies += await self.command(line)
                if replies[-1][0] not in (250, 354):
                    return replies[-1]
        else:
            replies = await self.command(*envelope, "DATA")
            if replies[-1][0] != 354:
                return next(r for r in replies if r[0] not in (250, 354))
        outcome["sent"] = True
        self.writer.write((b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
        return await self.reply()


async def one_connection(numbers, options, record):
    client, left = None, 0
    for number in numbers:
        ident = f"{options.prefix}-{number}"
        tries = 0
        while client is None:
            try:
                client, left = await Client.open(options.port), options.per_session
            except (OSError, Lost) as e:
                tries += 1
                record({"connect": str(e)})
                if tries == 200:
                    raise SystemExit(f"cannot connect: {e}")
                await asyncio.sleep(0.05)
        outcome = {"id": ident, "code": None, "text": "", "sent": False}
        if options.subjects:
            subjects = options.subjects.split(",")
            outcome["subject"] = subjects[number % len(subjects)]
        try:
            outcome["code"], outcome["text"] = await asyncio.wait_for(
                client.send(ident, options, number, outcome), options.patience)
            left -= 1
            if outcome["code"] != 250 and outcome["code"] != 421 and (await client.command("RSET"))[0][0] == 421:
                left = 0
            elif left == 0 and outcome["code"] == 250:
                await client.command("QUIT")
        except asyncio.TimeoutError:
            outcome["text"] = "no reply"
            left = 0
        except (OSError, Lost, ValueError) as e:
            if outcome["code"] is None:
                outcome["text"] = str(e)
            left = 0
        record(outcome)
        if left == 0 or outcome["code"] == 421:
            client.writer.close()
            client = None
    if client:
        try:
            await client.command("QUIT")
        except (OSError, Lost):
            pass
        client.writer.close()


async def run(options):
    numbers = iter(range(options.messages))
    with open(options.out, "w", buffering=1) as out:
        def record(outcome):
            out.write(json.dumps(outcome) + "\n")
        await asyncio.gather(*(one_connection(numbers, options, record) for _ in range(options.connections)))


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--out", required=True, help="JSON lines, one for each message and each failed connect")
    p.add_argument("--messages", type=int, default=1000)
    p.add_argument("--connections", type=int, default=10)
    p.add_argument("--per-session", type=int, default=20, help="messages before QUIT and a new connection")
    p.add_argument("--size", type=int, default=1024)
    p.add_argument("--prefix", default="m")
    p.add_argument("--style", choices=("mixed", "step", "pipelined", "bdat"), default="mixed")
    p.add_argument("--subjects", default="", help="words with commas between, which take turns; default: the message's id")
    p.add_argument("--patience", type=float, default=120, help="s for a whole message")
    return p


class Load:
    """load = Load(directory, port=..., messages=...); load.wait() -> outcomes."""

    def __init__(self, directory, **options):
        from .process import Process
        self.out = Path(directory) / f"load-{os.urandom(4).hex()}.jsonl"
        flags = [f"--{k.replace('_', '-')}={v}" for k, v in options.items()]
        self.process = Process([sys.executable, __file__, f"--out={self.out}", *flags], self.out.with_suffix(".err"))

    def records(self):
        """What has happened so far; a half-written last line is left for later."""
        if not self.out.exists():
            return []
        return [json.loads(line) for line in self.out.read_text().splitlines(True) if line.endswith("\n")]

    def outcomes(self):
        return [r for r in self.records() if "id" in r]

    def failed_connects(self):
        return [r["connect"] for r in self.records() if "connect" in r]

    def wait_outcomes(self, count):
        """Returns when so many messages are through, or the client has ended."""
        from .process import until
        until(lambda: self.out.exists() and self.out.read_bytes().count(b'"id"') >= count or not self.process.running(),
              f"{count} outcomes", 600)

    def wait(self, deadline=600):
        try:
            status = self.process.wait(deadline)
        finally:
            self.process.stop()
        assert status == 0, self.process.text()
        return self.outcomes()


if __name__ == "__main__":
    asyncio.run(run(arguments().parse_args()))
