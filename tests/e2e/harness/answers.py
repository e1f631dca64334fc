"""A DNS server of our own on a free loopback port, for what nsd will not do: records that no zone file may hold, answers
that never come, and questions that can be counted afterwards.

Names are as the RFC 7208 suite writes its zones: {"example.com": [{"TXT": "v=spf1 -all"}, {"MX": [10, "mail.example.com"]},
"TIMEOUT"]}. TIMEOUT at the end leaves types that stand before it answered, and no others. Names are compared without case;
those that are not there do not exist.
"""

import ipaddress
import socketserver
import struct
import threading
from collections import Counter

from .process import HOST

TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SPF": 99}
NAMES = {number: name for name, number in TYPES.items()}
UDP_ROOM = 512
CHAIN_MAX = 8


def wire_name(name):
    """Labels as they stand, whatever bytes they hold; at most 63 of each."""
    labels = [label.encode("latin-1", "replace")[:63] for label in str(name).split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def text_strings(value):
    strings = value if isinstance(value, list) else [value]
    for string in strings:
        data = string.encode("latin-1")
        yield from (data[i:i + 255] for i in range(0, len(data), 255)) if data else (b"",)


def rdata(kind, value):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(value).packed
    if kind in ("TXT", "SPF"):
        return b"".join(bytes([len(s)]) + s for s in text_strings(value))
    if kind == "MX":
        return struct.pack("!H", value[0]) + wire_name(value[1])
    return wire_name(value)


def question_of(packet):
    """(name, type, where it ends): labels as text, one character for each byte."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1"))
        at += 1 + packet[at]
    return ".".join(labels), struct.unpack("!H", packet[at + 1:at + 3])[0], at + 5


class Answers:
    """zone: see above."""

    def __init__(self, zone):
        self.zone = {str(name).lower().rstrip("."): records for name, records in zone.items()}
        self.asked = Counter()
        self.port = 0
        self.servers = []
        self.open()

    def open(self):
        """UDP and TCP on one port that both could have."""
        udp = socketserver.ThreadingUDPServer((HOST, 0), self.handler(stream=False))
        self.port = udp.server_address[1]
        try:
            tcp = type("Tcp", (socketserver.ThreadingTCPServer,), {"allow_reuse_address": True, "daemon_threads": True})(
                (HOST, self.port), self.handler(stream=True))
        except OSError:
            udp.server_close()
            return self.open()
        udp.daemon_threads = True
        self.servers = [udp, tcp]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    # --- what it says ---

    def lookup(self, name, kind):
        """Records of a type; None: no answer at all; KeyError: there is no such name."""
        records = self.zone[name.lower()]
        found, late = [], False
        for record in records:
            if record == "TIMEOUT":
                late = not found
                continue
            for t, value in record.items():
                if t == kind and value == "TIMEOUT":
                    return None
                if t == kind and value != "NONE":
                    found.append((kind, value))
        if kind == "TXT" and not found and not any("TXT" in r for r in records if r != "TIMEOUT"):
            # The suite writes most records as SPF and means TXT too.
            found = [("TXT", r["SPF"]) for r in records if r != "TIMEOUT" and "SPF" in r]
            late = late and not found
        if not found and not late:
            found = [("CNAME", r["CNAME"]) for r in records if r != "TIMEOUT" and "CNAME" in r]
        return None if late else found

    def follow(self, name, kind):
        """The answer's records, with those of an alias's target; and the response code."""
        answer = []
        for _ in range(CHAIN_MAX):
            try:
                found = self.lookup(name, kind)
            except KeyError:
                below = any(other.endswith("." + name.lower()) for other in self.zone)
                return answer, 0 if below or answer else 3
            if found is None:
                return None, 0
            answer += [(name, t, value) for t, value in found]
            if not found or found[0][0] == kind:
                break
            name = str(found[0][1]).rstrip(".")
        return answer, 0

    def reply(self, packet, room):
        name, number, end = question_of(packet)
        kind = NAMES.get(number, "?")
        self.asked[f"{name.lower()} {kind}"] += 1
        answer, code = self.follow(name, kind)
        if answer is None:
            return None
        body = b""
        for owner, t, value in answer:
            data = rdata(t, value)
            # Kept for the life of one session's questions, no longer.
            body += wire_name(owner) + struct.pack("!HHIH", TYPES[t], 1, 1, len(data)) + data
        cut = end + len(body) > room
        flags = 0x8580 | code | (0x0200 if cut else 0)
        head = packet[:2] + struct.pack("!HHHHH", flags, 1, 0 if cut else len(answer), 0, 0)
        return head + packet[12:end] + (b"" if cut else body)

    def handler(self, stream):
        answers = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                if not stream:
                    packet, socket = self.request
                    said = answers.reply(packet, UDP_ROOM)
                    if said:
                        socket.sendto(said, self.client_address)
                    return
                while len(head := self.request.recv(2)) == 2:
                    said = answers.reply(self.request.recv(struct.unpack("!H", head)[0]), 1 << 16)
                    if not said:
                        return
                    self.request.sendall(struct.pack("!H", len(said)) + said)

        return Handler
