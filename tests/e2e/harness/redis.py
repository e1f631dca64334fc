"""A redis-server of a test's own on a free loopback port. May be stopped, hung, killed and started again."""

import os
import signal
import subprocess
from pathlib import Path

from .process import Process, free_port, until


class Redis:
    """options: further ones of redis-server, as on its command line."""

    def __init__(self, directory, *options):
        self.port, self.options, self.process = free_port(), options, None
        self.directory = Path(directory) / f"redis-{self.port}"
        self.directory.mkdir()
        self.socket = self.directory / "socket"
        self.start()

    def start(self):
        self.process = Process(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir",
                                self.directory, "--unixsocket", self.socket, *self.options], self.directory / "output")

        def ready():
            assert self.process.running(), self.process.text()
            return self.cli("PING")
        until(ready, "an answer of redis-server")
        return self

    def cli(self, *words):
        """What redis-cli prints; empty when it can't be reached."""
        done = subprocess.run(["redis-cli", "-s", self.socket, *words], capture_output=True, text=True, timeout=30)
        return done.stdout.strip()

    def kill(self):
        self.process.stop(signal.SIGKILL)

    def hang(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self):
        if self.process and self.process.running():
            self.go_on()
            self.process.stop()
