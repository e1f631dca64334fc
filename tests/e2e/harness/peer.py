"""The frame for Debian's mail servers: a private root folder for each instance, and what was delivered in it."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import proxy_header
from .process import HOST, Process, free_port, until

E2E = Path(__file__).resolve().parent.parent
PEERS = Path(os.environ.get("POSTERN_PEERS", E2E.parent.parent / "build" / "peers"))
DOMAIN = "example.com"
USERS = ("alice", "bob", "carol")  # known at every backend; others get 550


def fetch(*names):
    """Unpacks the named peers where they are missing (peers/fetch)."""
    if not all((PEERS / name).is_dir() for name in names):
        subprocess.run([E2E / "peers" / "fetch", *names], check=True, env={**os.environ, "POSTERN_PEERS": str(PEERS)})


class Root:
    """A peer's root folder copied with hard links, so that configuration and spool lie where the programs expect them.

    Its name holds the pid of whoever made it: several test and benchmark runs share the folder, and each may touch
    only its own.
    """

    def __init__(self, name):
        fetch(name)
        (PEERS / "run").mkdir(exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix=f"{name}.{os.getpid()}.", dir=PEERS / "run"))
        subprocess.run(["cp", "-al", f"{PEERS / name}/.", self.path], check=True)
        self.path.chmod(0o755)  # servers give up root and must still reach their files

    def folder(self, path, uid=0, mode=0o755):
        d = self.path / path.lstrip("/")
        d.mkdir(parents=True, exist_ok=True)
        os.chown(d, uid, -1)
        d.chmod(mode)
        return d

    def write(self, path, text):
        """Writes a file of this instance's own: the old one is unlinked, since it may be shared with the cached root."""
        f = self.path / path.lstrip("/")
        f.parent.mkdir(parents=True, exist_ok=True)
        f.unlink(missing_ok=True)
        f.write_text(text)
        return f

    def command(self, *args):
        return ["chroot", str(self.path), *args]

    def run(self, *args, **kwargs):
        return subprocess.run(self.command(*args), check=True, capture_output=True, **kwargs)

    def remove(self):
        shutil.rmtree(self.path)


class Peer:
    """A mail server on a free loopback port. Subclasses configure it and say how its log names the client."""

    name = None  # the root folder
    protocol = "smtp"
    proxy = False  # it wants a PROXY header from everyone
    seen_pattern = None  # regex over the log, group 1: the address it took for the client's
    unknown_text = None  # what its refusal of an unknown recipient says
    log_path = "/var/log/log"

    def __init__(self, directory):
        self.port = free_port()
        self.root = Root(self.name)
        self.output = Path(directory) / f"{self.root.path.name}.output"
        self.process = None

    def start(self, *command):
        try:
            self.process = Process(self.root.command(*command), self.output)
            self.process.await_greeting(self.port, hello=proxy_header.v2(HOST) if self.proxy else b"")
        except BaseException:
            self.stop()  # the test never gets it, so nobody else would end it
            raise
        return self

    def stop(self):
        try:
            if self.process:
                self.process.stop()
        finally:
            self.root.remove()

    def log(self):
        f = self.root.path / self.log_path.lstrip("/")
        return f.read_text(errors="replace") if f.exists() else ""

    def clients_seen(self):
        """The addresses that it believed its clients to have, in the log's order."""
        return re.findall(self.seen_pattern, self.log())

    def wait_client(self, address):
        until(lambda: address in self.clients_seen(), f"{self.name} to see {address}; its log:\n{self.log()}")

    def maildir(self, user):
        return self.root.path / "var/mail" / user

    def messages(self, user="alice"):
        """What was delivered to a user, each message's raw bytes as stored (with LF line ends)."""
        return [f.read_bytes() for f in sorted(self.maildir(user).glob("new/*"))]

    def wait_messages(self, count=1, user="alice"):
        return until(lambda: len(self.messages(user)) >= count and self.messages(user),
                     f"{count} messages for {user}; log:\n{self.log()}\n{self.process.text()}")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


def address(user="alice"):
    return f"{user}@{DOMAIN}"


__all__ = ["DOMAIN", "HOST", "Peer", "USERS", "address", "fetch"]
