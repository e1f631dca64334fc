"""A scriptable SMTP or LMTP backend: it keeps every message byte for byte and every command as it came, and fails on
demand at any stage. Real servers show that postern gets on with them; this one shows what it does when they break.

It runs on an event loop in a thread of its own, so a test reads `messages` and `connections` directly. It is strict: a
line that doesn't end in CRLF, commands in one go without PIPELINING, or text before its 354 are `violations`, which
fail the test when the sink stops.
"""

import asyncio
import re
import threading
from collections import Counter

from . import proxy_header
from .fault import Stop
from .process import HOST, until

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING", "SIZE 52428800")
END = b"\r\n.\r\n"
MESSAGE_ID = re.compile(rb"^message-id:\s*<([^@>]*)", re.I | re.M)


class Message:
    """What the sink has acknowledged, or was about to when a fault struck at `stored`."""

    def __init__(self, connection, body, via):
        self.connection = connection
        self.mail, self.recipients = connection.mail, list(connection.recipients)
        self.body, self.via = body, via
        found = MESSAGE_ID.search(body)
        self.id = found.group(1).decode() if found else None


class Connection:
    """One client's session: verbatim commands, the client that PROXY or XCLIENT named, and its state."""

    def __init__(self, sink, reader, writer):
        self.sink, self.reader, self.writer = sink, reader, writer
        self.commands = []  # bytes, each with its line end
        self.proxied = None  # (address, port) from the PROXY header
        self.tls = False
        self.buffer, self.output = bytearray(), bytearray()
        self.reset()

    def reset(self):
        self.mail, self.recipients, self.chunks = None, [], None

    # The wire.

    def say(self, reply):
        self.output += reply if isinstance(reply, bytes) else reply.encode() + b"\r\n"

    async def flush(self):
        if self.output:
            self.writer.write(bytes(self.output))
            self.output.clear()
            await self.writer.drain()

    async def fill(self):
        await self.flush()
        chunk = await self.reader.read(1 << 16)
        if not chunk:
            raise Stop
        self.buffer += chunk

    def take(self, size):
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    async def line(self):
        while (end := self.buffer.find(b"\n")) < 0:
            await self.fill()
        return self.take(end + 1)

    async def exactly(self, size, fault=None):
        while len(self.buffer) < size:
            await self.fill()
            if fault:
                await self.fault(fault)
        return self.take(size)

    async def until_dot(self):
        """A message's lines, unstuffed. Only CRLF.CRLF ends it; the DATA command's own CRLF counts."""
        while not self.buffer:
            await self.fill()
        await self.fault("body")
        scanned = 0
        while True:
            if self.buffer[:3] == b".\r\n":
                self.take(3)
                return b""
            if (end := self.buffer.find(END, max(0, scanned - 4))) >= 0:
                text = self.take(end + 2)
                self.take(3)
                return (b"\r\n" + text).replace(b"\r\n.", b"\r\n")[2:]
            scanned = len(self.buffer)
            await self.fill()

    async def fault(self, stage):
        """Runs what the test has planned for this stage. Returns True when that took the place of the normal reply."""
        action = self.sink.plan.next(stage)
        return bool(action and await action(self))

    # The session.

    async def run(self):
        if await self.fault("connect"):
            return
        if self.sink.proxy:
            head = await self.exactly(16)
            rest = await self.exactly(int.from_bytes(head[14:16], "big"))
            self.proxied = proxy_header.parse_v2(head, rest)
        if not await self.fault("greeting"):
            self.say(f"220 sink.example.com {'LMTP' if self.sink.lmtp else 'ESMTP'}")
        while True:
            line = await self.line()
            self.commands.append(line)
            self.check(line)
            verb, _, argument = line.strip().partition(b" ")
            verb = verb.upper().decode("ascii", "replace")
            if handler := VERBS.get(verb):
                await handler(self, argument.strip())
            else:
                self.say("500 5.5.1 What?")
            if verb == "QUIT":
                await self.flush()
                return

    def check(self, line):
        if not line.endswith(b"\r\n") or re.search(rb"[\0-\x1f\x7f]", line[:-2]):
            self.sink.violations.append(f"control characters or a bare line end: {line!r}")
        if self.buffer and not self.offers("PIPELINING") and not line.upper().startswith(b"BDAT"):
            self.sink.violations.append(f"pipelined without PIPELINING: {line!r} {bytes(self.buffer[:80])!r}")

    def offers(self, keyword):
        return any(e.split()[0] == keyword for e in self.sink.extensions)

    async def hello(self, argument):
        self.reset()
        if await self.fault("hello"):
            return
        words = list(self.sink.extensions)
        if self.sink.tls_context and not self.tls:
            words.append("STARTTLS")
        lines = ["sink.example.com", *words]
        for i, word in enumerate(lines):
            self.say(f"250{' ' if i == len(lines) - 1 else '-'}{word}")

    async def helo(self, argument):
        self.reset()
        if not await self.fault("hello"):
            self.say("250 sink.example.com")

    async def starttls(self, argument):
        if await self.fault("starttls"):
            return
        self.say("220 2.0.0 Go ahead")
        await self.flush()
        if self.buffer:
            self.sink.violations.append("plain text behind STARTTLS")
        await self.writer.start_tls(self.sink.tls_context)
        self.tls = True
        self.reset()

    async def xclient(self, argument):
        if await self.fault("xclient"):
            return
        self.reset()
        self.say("220 sink.example.com ESMTP again")

    async def xforward(self, argument):
        if not await self.fault("xforward"):
            self.say("250 2.0.0 Ok")

    async def mail_from(self, argument):
        if await self.fault("mail"):
            return
        if self.mail is not None:
            self.say("503 5.5.1 Nested MAIL")
            return
        self.mail = argument
        self.say("250 2.1.0 Ok")

    async def rcpt_to(self, argument):
        if await self.fault("rcpt"):
            return
        found = re.match(rb"TO:<(.*)>", argument, re.I)
        address = found.group(1).decode("utf-8", "replace") if found else ""
        if self.mail is None:
            self.say("503 5.5.1 MAIL first")
        elif self.sink.users is not None and address not in self.sink.users:
            self.say(f"550 5.1.1 <{address}>: no such user at the sink")
        else:
            self.recipients.append(argument)
            self.say("250 2.1.5 Ok")

    async def data(self, argument):
        if await self.fault("data"):
            return
        if not self.recipients:
            self.say("554 5.5.1 No valid recipients")
            return
        if self.buffer:
            self.sink.violations.append(f"text before 354: {bytes(self.buffer[:80])!r}")
        self.say("354 Go on")
        await self.deliver(await self.until_dot(), "DATA")

    async def bdat(self, argument):
        size, _, last = argument.partition(b" ")
        chunk = await self.exactly(int(size), fault="body")
        if await self.fault("bdat"):
            return
        if not self.recipients:
            self.say("554 5.5.1 No valid recipients")
            return
        self.chunks = (self.chunks or b"") + chunk
        if last.strip().upper() == b"LAST":
            await self.deliver(self.chunks, "BDAT")
        else:
            self.say("250 2.0.0 Ok")

    async def deliver(self, body, via):
        if await self.fault("dot"):  # before the message is kept: nothing is delivered
            self.reset()
            return
        message = Message(self, body, via)
        self.sink.messages.append(message)
        self.reset()
        if await self.fault("stored"):  # it is kept, and the reply goes wrong: the client can't know
            return
        for _ in message.recipients if self.sink.lmtp else (None,):
            self.say(f"250 2.0.0 Ok: queued as SINK{len(self.sink.messages)}")

    async def rset(self, argument):
        self.reset()
        if not await self.fault("rset"):
            self.say("250 2.0.0 Ok")

    async def noop(self, argument):
        if not await self.fault("noop"):
            self.say("250 2.0.0 Ok")

    async def quit(self, argument):
        if not await self.fault("quit"):
            self.say("221 2.0.0 Bye")


VERBS = {
    "EHLO": Connection.hello, "LHLO": Connection.hello, "HELO": Connection.helo, "STARTTLS": Connection.starttls,
    "XCLIENT": Connection.xclient, "XFORWARD": Connection.xforward, "MAIL": Connection.mail_from,
    "RCPT": Connection.rcpt_to, "DATA": Connection.data, "BDAT": Connection.bdat, "RSET": Connection.rset,
    "NOOP": Connection.noop, "QUIT": Connection.quit,
}


class Plan:
    """Which faults strike when: each is used `times` times (None: for ever), then only at each `every`-th chance."""

    def __init__(self):
        self.lock = threading.Lock()
        self.faults = []
        self.struck = Counter()  # by stage

    def add(self, stage, action, times=1, every=1):
        with self.lock:
            self.faults.append({"stage": stage, "action": action, "left": times, "every": every, "chances": 0})

    def clear(self):
        with self.lock:
            self.faults.clear()

    def next(self, stage):
        with self.lock:
            for fault in self.faults:
                if fault["stage"] != stage or fault["left"] == 0:
                    continue
                fault["chances"] += 1
                if fault["chances"] % fault["every"]:
                    continue
                if fault["left"] is not None:
                    fault["left"] -= 1
                self.struck[stage] += 1
                return fault["action"]


class Sink:
    """sink = Sink(); sink.port; sink.fail("rcpt", fault.reply("450 4.2.1 Later")); sink.messages; sink.stop()

    users: addresses that it knows (None: all). proxy: a PROXY v2 header must come first. certificate: it offers STARTTLS.
    """

    def __init__(self, protocol="smtp", extensions=EXTENSIONS, users=None, proxy=False, certificate=None, port=0):
        self.protocol, self.lmtp = protocol, protocol == "lmtp"
        self.extensions, self.users, self.proxy = list(extensions), users, proxy
        self.tls_context = certificate.server_context() if certificate else None
        self.messages, self.connections, self.violations = [], [], []
        self.plan = Plan()
        self.port, self.server = port, None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.listen()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def listen(self):
        """Listens (again, at the same port)."""
        async def start():
            self.server = await asyncio.start_server(self.serve, HOST, self.port, backlog=1024)
            self.port = self.server.sockets[0].getsockname()[1]
        self.call(start())

    def refuse(self):
        """Connections are refused until listen(); those that stand go on."""
        async def close():
            self.server.close()
        self.call(close())

    def hang_up(self):
        """Resets every connection that stands, as a crash would."""
        async def drop():
            for connection in self.connections:
                connection.writer.transport.abort()
        self.call(drop())

    async def serve(self, reader, writer):
        connection = Connection(self, reader, writer)
        self.connections.append(connection)
        try:
            await connection.run()
            await connection.flush()
        except (Stop, OSError, EOFError):
            pass
        except asyncio.CancelledError:
            pass  # the sink stops
        except Exception as e:  # a bug here, or bytes that no SMTP client may send
            self.violations.append(repr(e))
        finally:
            writer.transport.abort() if connection.buffer else writer.close()

    def fail(self, stage, action, times=1, every=1):
        """Plans a fault (fault.py) at: connect greeting hello starttls xclient xforward mail rcpt data body bdat dot
        stored rset noop quit."""
        self.plan.add(stage, action, times, every)

    def recover(self):
        self.plan.clear()

    def count(self):
        """How many messages came with each id."""
        return Counter(m.id for m in self.messages)

    def bodies(self, ident):
        return [m.body for m in self.messages if m.id == ident]

    def wait_messages(self, count=1):
        return until(lambda: len(self.messages) >= count and self.messages, f"{count} messages at the sink")

    def commands(self, verb=b""):
        """All commands of all connections that begin with a verb."""
        return [c for connection in self.connections for c in connection.commands if c.upper().startswith(verb)]

    def stop(self):
        async def end():
            self.server.close()
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.call(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
        assert not self.violations, self.violations
