"""postern under test: its configuration, its process, its log, and the assertion that it ended cleanly."""

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from .process import HOST, Process, free_port, until

ROOT = Path(__file__).resolve().parents[3]
BINARY = os.environ.get("POSTERN", str(ROOT / "build" / "asan" / "postern"))
REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|: runtime error: |assertion", re.I)

CONFIG = """\
hostname "{hostname}"
workers {workers}
state "{directory}/state"
{user}
listen "{host}:{port}" {{ {listen} }}
{backends}
relay_domains {relay_domains}
authentication_results {results}
admin {{ socket "{directory}/control.sock" http "{host}:{http}" }}
log {{ {log} }}
{dns}
{more}
"""


def account():
    """Who the workers become when the tests run as root: postern where that account is there, else nobody."""
    for name in ("postern", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise AssertionError("neither a user postern nor nobody")


def title(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode("utf-8", "replace").replace("\0", " ")
    except OSError:
        return ""


def parent(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return None


class Postern:
    """backend: a Peer or Sink, or several; backend_options: text of its block ('client_info proxy_v2').

    listen, relay_domains, log, more: text as it stands in postern.conf. env: for the process.
    results: authentication_results. rules: the text of rules.d/test.rules.
    dns: whoever listens on its `port` (Nsd, Silence) is the one resolver.
    `ends_with`: the exit status that stop() expects; a test that kills it says so there.
    """

    def __init__(self, backend, listen="tls none", backend_options="", relay_domains='{ "example.com" }', workers=2,
                 more="", log="format json to stderr", hostname="mx.example.com", results="on_demand", rules="", dns=None,
                 env=None):
        assert Path(BINARY).exists(), f"no postern at {BINARY}: build it, or name it by $POSTERN"
        self.directory = Path(tempfile.mkdtemp(prefix="postern-e2e."))
        self.directory.chmod(0o755)  # workers that gave up root must reach the state folder
        (self.directory / "state").mkdir()
        self.user = ""
        if os.geteuid() == 0:
            user = account()
            os.chown(self.directory / "state", user.pw_uid, user.pw_gid)
            self.user = f'user "{user.pw_name}"'
        self.port, self.http = free_port(), free_port()
        self.settings = dict(backend=backend, listen=listen, backend_options=backend_options,
                             relay_domains=relay_domains, results=results, workers=workers, more=more, log=log,
                             hostname=hostname, dns=dns)
        self.file = self.directory / "postern.conf"
        self.env = {"ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1",
                    **(env or {})}
        self.process, self.ends_with = None, 0
        self.kept = None  # standard error, once the folder is gone
        self.configure()
        if rules:
            self.write("rules.d/test.rules", rules)

    def write(self, name, text):
        """Writes a file beside postern.conf, such as rules.d/NAME.rules or a list; whole or not at all."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_text(text)
        new.replace(path)
        return path

    def configure(self, **changes):
        """Writes postern.conf anew with some settings changed; a running postern sees it at its next reload."""
        self.settings.update(changes)
        s = dict(self.settings)
        backends = s.pop("backend")
        backends = backends if isinstance(backends, (list, tuple)) else [backends]
        servers = " ".join(f'server "{HOST}:{b.port}"' for b in backends)
        options = s.pop("backend_options")
        if "client_info" not in options:
            options += " client_info none"  # the default is proxy_v2, which few of the tests' backends want
        block = f'backend "main" {{ {servers} protocol {backends[0].protocol} {options} }}'
        dns = s.pop("dns")
        dns = f'dns {{ server "{HOST}:{dns.port}" timeout 3s }}' if dns else ""
        new = self.file.with_suffix(".new")
        new.write_text(CONFIG.format(host=HOST, port=self.port, http=self.http, directory=self.directory,
                                     user=self.user, backends=block, dns=dns, **s))
        new.replace(self.file)

    def start(self):
        self.process = Process([BINARY, "run", "-c", self.file], self.directory / "stderr", env=self.env)
        return self

    def ready(self, hello=b""):
        """Returns once a client is greeted; hello: a PROXY header, where the listener requires one."""
        self.process.await_greeting(self.port, hello=hello)
        return self

    # What it says.

    @property
    def stderr(self):
        if self.kept is None:
            return self.process.text() if self.process else ""
        return self.kept

    @property
    def log(self):
        """Its log lines as dictionaries."""
        return [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{") and line.endswith("}")]

    def audits(self, msgid=None):
        """The audit records: one for each transaction."""
        return [r for r in self.log if "tid" in r and "to" in r and (msgid is None or msgid in (r.get("msgid") or ""))]

    def wait_audit(self, predicate=lambda r: True):
        return until(lambda: next((r for r in self.audits() if predicate(r)), None), f"an audit record in\n{self.stderr}")

    def cli(self, verb, *args, deadline=60, stdin=None):
        """postern VERB -c FILE ARGS: the finished process (returncode, stdout, stderr); stdin: its text."""
        return subprocess.run([BINARY, verb, "-c", self.file, *map(str, args)], capture_output=True, text=True,
                              input=stdin, timeout=deadline, env={**os.environ, **self.env, "NO_COLOR": "1"})

    def status(self):
        done = self.cli("status", "--json")
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def held(self):
        """How many messages with each Message-ID (its part before the @) lie in the quarantine."""
        found = (re.search(rb"^message-id:\s*<([^@>]*)", f.read_bytes(), re.I | re.M)
                 for f in (self.directory / "state/quarantine/new").iterdir())
        return Counter(m[1].decode() for m in found)

    # Its processes.

    @property
    def pid(self):
        return self.process.pid

    def pids(self, role="worker"):
        """{pid: title} of the children with that role, of all generations."""
        pids = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and parent(int(p.name)) == self.pid]
        return {pid: name for pid in pids if (name := title(pid)).startswith(f"postern: {role}")}

    def workers(self):
        return sorted(self.pids("worker"))

    def wait_workers(self, count, without=()):
        """The pids of exactly `count` workers, none of them in `without`."""
        def there():
            pids = self.workers()
            return pids if len(pids) == count and not set(pids) & set(without) else None
        return until(there, f"{count} workers without {list(without)}; now {self.pids('')}")

    def owner(self, client):
        """The pid of the child that holds the other end of a Client's connection."""
        ours, theirs = client.socket.getpeername()[1], client.socket.getsockname()[1]
        def inode():
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
                f = line.split()
                if int(f[1].split(":")[1], 16) == ours and int(f[2].split(":")[1], 16) == theirs:
                    return f[9]
            return None
        link = f"socket:[{until(inode, 'the connection in /proc/net/tcp')}]"
        def holder():
            for pid in self.workers():
                try:
                    if any(os.readlink(fd) == link for fd in Path(f"/proc/{pid}/fd").iterdir()):
                        return pid
                except OSError:
                    pass  # it, or one of its descriptors, has just gone
            return None
        return until(holder, f"a worker with {link}")

    # Its end.

    def stop(self, deadline=30):
        """SIGTERM; it must end with the status expected, leave no process, and no sanitizer may have spoken."""
        try:
            if self.process:
                family = self.pids("")
                ended = self.process.stop(signal.SIGTERM, deadline)
                assert not REPORT.search(self.stderr), self.stderr
                assert ended == self.ends_with, f"postern ended with {ended}:\n{self.stderr}"
                until(lambda: not any(title(pid).startswith("postern") for pid in family), f"the end of all of {family}")
        finally:
            self.kept = self.stderr
            shutil.rmtree(self.directory)
