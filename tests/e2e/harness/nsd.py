"""A DNS server (Debian's nsd) on a free loopback port, with all of DNS as one zone that the test writes.

What is not written is NXDOMAIN, also in-addr.arpa: so nothing leaves the machine, and the test sees all of the answers.
"""

import ipaddress
import os
import re
import signal
import socket
from pathlib import Path

from .process import HOST, Process, free_port, until

PROGRAM = "/usr/sbin/nsd"
CONF = """
server:
    ip-address: {host}@{port}
    username: ""
    zonesdir: "{directory}"
    database: ""
    pidfile: "{directory}/pid"
    xfrdfile: "{directory}/xfrd"
    zonelistfile: "{directory}/zones"
    server-count: 1
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: "."
    zonefile: "zone"
"""
START = """\
$TTL 60
. IN SOA ns.example. admin.example. {serial} 60 60 60 60
. IN NS ns.example.
ns.example. A {host}
"""


def reverse(address, zone=None):
    """What is asked of DNS about an address: its PTR name, or its name in a blocklist."""
    pointer = ipaddress.ip_address(address).reverse_pointer
    return f"{pointer.removesuffix('.in-addr.arpa').removesuffix('.ip6.arpa')}.{zone}." if zone else f"{pointer}."


class Nsd:
    """zone: lines such as `client.example. A 192.0.2.1`, all names absolute. May be stopped and started again."""

    def __init__(self, directory, zone=""):
        self.port, self.serial, self.process = free_port(), 0, None
        self.directory = Path(directory) / f"nsd-{self.port}"
        self.directory.mkdir()
        self.write(zone)
        (self.directory / "nsd.conf").write_text(CONF.format(host=HOST, port=self.port, directory=self.directory))
        self.start()

    def write(self, zone):
        self.serial += 1
        new = self.directory / "zone.new"
        new.write_text(START.format(serial=self.serial, host=HOST) + zone)
        new.replace(self.directory / "zone")

    def start(self):
        self.process = Process([PROGRAM, "-d", "-c", self.directory / "nsd.conf"], self.directory / "output")
        self.wait_answer()

    def change(self, zone):
        """Serves other names from now on."""
        self.write(zone)
        os.kill(self.process.pid, signal.SIGHUP)
        self.wait_answer()

    def answers(self):
        """Whether it serves what was written last: the serial of its SOA."""
        question = b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.connect((HOST, self.port))
            try:
                s.send(question)
                answer = s.recv(4096)
            except OSError:
                return False
        return re.search(self.serial.to_bytes(4, "big") + b"(\x00\x00\x00\x3c){4}", answer) is not None

    def wait_answer(self):
        def ready():
            assert self.process.running(), self.process.text()
            return self.answers()
        until(ready, f"an answer of nsd\n{self.process.text()}")

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None


class Silence:
    """A DNS server that takes every question and answers none."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]

    def asked(self):
        """Whether any question has come since the last look."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(4096):
                return True
        except BlockingIOError:
            pass
        return False

    def stop(self):
        self.socket.close()
