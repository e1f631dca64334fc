"""Programs that a test starts and ends: always by pid, never longer than the test. If pytest is killed outright the
kernel ends them too, but for those that change their user (it forgets the death signal then)."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

HOST = "127.0.0.1"
DEADLINE = float(os.environ.get("POSTERN_TEST_DEADLINE", "30"))  # s: generous, sanitizers on two busy cores are slow


def free_port():
    """A port that nobody listens on. The kernel hands them out in a random order, so a clash needs bad luck."""
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


def until(predicate, what, deadline=DEADLINE):
    """The first true value of predicate(); polls, because files and /proc have no other event. Fails by naming `what`."""
    end = time.monotonic() + deadline
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:.0f} s for {what}")
        time.sleep(0.01)


class Process:
    """One program in the foreground, in a session of its own; its output goes to a file."""

    def __init__(self, command, output, env=None, cwd=None):
        self.output = Path(output)
        with open(self.output, "ab") as out:
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=cwd,
                env={**os.environ, **(env or {})})
        self.pid = self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def text(self):
        return self.output.read_text(errors="replace")

    def wait(self, deadline=DEADLINE):
        """Its exit status (negative: the signal)."""
        return self.popen.wait(deadline)

    def await_greeting(self, port, greeting=b"220", deadline=DEADLINE, hello=b""):
        """Returns once a connection to `port` is greeted. `hello` is sent first (a PROXY header)."""
        def greeted():
            assert self.running(), f"{self.popen.args[3]} ended with {self.popen.returncode}:\n{self.text()}"
            try:
                with socket.create_connection((HOST, port), 5) as s:
                    s.sendall(hello)
                    return s.recv(512).startswith(greeting)
            except OSError:
                return False
        until(greeted, f"a greeting on port {port}\n{self.text()}", deadline)

    def stop(self, signum=signal.SIGTERM, deadline=DEADLINE):
        """Ends it in good order; what is left of its session is killed. Returns the exit status."""
        if self.running():
            self.popen.send_signal(signum)
        try:
            return self.popen.wait(deadline)
        finally:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.popen.wait()
