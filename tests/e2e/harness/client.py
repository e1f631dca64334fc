"""A client for one connection that sends exactly the bytes it is told, in the segments it is told."""

import re
import socket
import time

from .process import DEADLINE, HOST


class Client:
    """c = Client(port); c.ehlo(); c.command("MAIL FROM:<a@b>") -> (250, text)"""

    def __init__(self, port, source=HOST, header=b"", greeting=220, deadline=DEADLINE):
        self.socket = socket.create_connection((HOST, port), deadline, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if header:
            self.send(header)
        if greeting:
            code, text = self.reply()
            assert code == greeting, (code, text)

    def send(self, *segments):
        """Each segment in a write of its own; the pause between lets the other side read it apart from the next."""
        for i, segment in enumerate(segments):
            if i:
                time.sleep(0.002)
            self.socket.sendall(segment)

    def reply(self):
        """(code, text with \\n between its lines); (None, "") when the connection has ended."""
        lines, size = [], 0
        while True:
            while b"\n" not in self.buffer:
                try:
                    chunk = self.socket.recv(65536)
                except ConnectionResetError:
                    chunk = b""
                if not chunk:
                    return None, self.buffer.decode("utf-8", "replace")
                self.buffer += chunk
                size += len(chunk)
                assert size < 1 << 20, f"an endless reply: {self.buffer[-200:]!r}"
            line, self.buffer = self.buffer.split(b"\n", 1)
            assert re.fullmatch(rb"\d{3}([ -].*)?\r", line, re.S), f"not a reply line: {line!r}"
            lines.append(line[4:-1].decode("utf-8", "replace"))
            if line[3:4] != b"-":
                return int(line[:3]), "\n".join(lines)

    def command(self, line):
        self.send(line if isinstance(line, bytes) else line.encode() + b"\r\n")
        return self.reply()

    def ehlo(self, name="client.example"):
        """The extensions offered."""
        code, text = self.command(f"EHLO {name}")
        assert code == 250, (code, text)
        return text.split("\n")[1:]

    def envelope(self, sender="sender@client.example", recipients=("alice@example.com",)):
        code, text = self.command(f"MAIL FROM:<{sender}>")
        assert code == 250, (code, text)
        for r in recipients:
            code, text = self.command(f"RCPT TO:<{r}>")
            assert code == 250, (code, text)

    def message(self, body, **envelope):
        """A whole transaction with DATA; the last reply. body: CRLF lines."""
        self.envelope(**envelope)
        code, text = self.command("DATA")
        assert code == 354, (code, text)
        self.send((b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
        return self.reply()

    def rest(self):
        """All replies until the other side closes: a list of codes. Fails when it doesn't close."""
        codes = []
        while True:
            code, _ = self.reply()
            if code is None:
                return codes
            codes.append(code)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
