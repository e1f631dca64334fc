"""Who is measured: postern, and three others that stand before a mail server, each in one process or thread where it
can be, without filters, in front of the same sink. What isn't installed is unpacked or fetched into build/peers."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(os.environ.get("POSTERN_PEERS", ROOT / "build/peers"))
HOST = "127.0.0.1"
HARAKA_VERSION = "3.3.4"

sys.path.insert(0, str(ROOT / "tests/e2e"))


class Missing(Exception):
    """This contender can't be had here; the text says why."""


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


class Contender:
    """One server between load and sink. Subclasses write its configuration and give its command."""

    name = about = None
    idle = 2000  # connections to hold when what one costs is measured
    signed = False  # wants messages whose sender can be told: `sender` makes them, for all contenders
    names_port = 9  # where `sender` answers for its names; nobody, without

    def __init__(self, directory, sink_port, cpus):
        self.directory, self.sink_port, self.cpus = directory / self.name, sink_port, cpus
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        command = self.command()
        with open(self.directory / "output", "wb") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", ",".join(map(str, sorted(self.cpus))), *command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        self.await_greeting()

    def await_greeting(self, deadline_s=30):
        end = time.monotonic() + deadline_s
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with socket.create_connection((HOST, self.port), 2) as s:
                    if s.recv(512).startswith(b"220"):
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise Missing(f"it does not answer; it said:\n{(self.directory / 'output').read_text(errors='replace')}")

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        self.remove()

    def remove(self):
        pass

    def complaint(self):
        """What it did wrong since the last time, though all messages went through; None: nothing."""


class Direct(Contender):
    """Nobody in between: what load and sink can do by themselves."""

    name, about = "direct", "no proxy"

    def start(self):
        self.port = self.sink_port


class Postern(Contender):
    name, about = "postern", "one worker, no filters"
    rules = ""
    results = "on_demand"

    CONF = """
hostname "postern.example"
workers 1
state "{directory}/state"
{user}
listen "{host}:{port}" {{ tls none }}
backend "sink" {{ server "{host}:{sink_port}" client_info none }}
relay_domains {{ "example.com" }}
authentication_results {results}
limits {{ per_client 10000 connections 10000 }}
{rules}
admin {{ socket "{directory}/control.sock" }}
"""

    def command(self):
        program = Path(os.environ.get("POSTERN", ROOT / "build/release/postern"))
        if not program.exists():
            raise Missing(f"{program} is not built")
        state = self.directory / "state"
        state.mkdir(exist_ok=True)
        user = ""
        if os.geteuid() == 0:  # postern gives up root, so it needs somebody to be, who reaches its folder
            user = 'user "nobody"'
            shutil.chown(state, "nobody")
        file = self.directory / "postern.conf"
        file.write_text(self.CONF.format(directory=self.directory, host=HOST, port=self.port,
                                         sink_port=self.sink_port, user=user, results=self.results,
                                         rules=self.rules.format(host=HOST, names_port=self.names_port)))
        return [program, "run", "-c", file]


class Ruled(Postern):
    """The shipped rules, whose headers, content and attachments are looked at; a client on loopback is a local one, so
    that DNS is not measured."""

    name, about = "ruled", "postern, one worker, rules/default.rules"
    rules = f'rules "{ROOT}/rules/default.rules"\ndns {{{{ server "127.0.0.1:9" timeout 500ms }}}}'


class Authenticated(Postern):
    """SPF, DKIM, DMARC and ARC of each message, for Authentication-Results; no rules."""

    name, about = "authenticated", "postern, one worker, authentication_results always"
    signed = True
    results = "always"
    rules = 'dns {{ server "{host}:{names_port}" timeout 5s }}'
    read = 0  # of what it has logged

    def complaint(self):
        with open(self.directory / "output", "rb") as output:
            output.seek(self.read)
            lines = output.read()
        lines = lines[:lines.rfind(b"\n") + 1]
        self.read += len(lines)
        records = [json.loads(line) for line in lines.splitlines() if b'"event":"transaction"' in line]
        wrong = [r for r in records if (r.get("spf"), r.get("dkim"), r.get("dmarc")) != ("pass", "pass", "pass")]
        if wrong or not records:
            return f"{len(wrong)} of {len(records)} messages do not pass SPF, DKIM and DMARC"
        return None


class Unpacked(Contender):
    """A Debian server in a root folder of its own, as the end-to-end tests have them."""

    root = None

    def unpack(self):
        if os.geteuid() != 0:
            raise Missing("only root can unpack and start it (tests/e2e/peers/fetch)")
        from harness.peer import Root
        try:
            self.root = Root(self.name)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Missing(f"it can't be unpacked: {error}") from error
        return self.root

    def remove(self):
        if self.root:
            self.root.remove()


class HAProxy(Unpacked):
    name, about = "haproxy", "TCP mode, one thread"

    CONF = """
global
    nbthread 1
    maxconn 4500
defaults
    mode tcp
    timeout connect 5s
    timeout client 5m
    timeout server 5m
listen smtp
    bind {host}:{port}
    server sink {host}:{sink_port}
"""

    def command(self):
        root = self.unpack()
        root.write("/etc/bench.cfg", self.CONF.format(host=HOST, port=self.port, sink_port=self.sink_port))
        return root.command("/usr/sbin/haproxy", "-db", "-f", "/etc/bench.cfg")


class Postfix(Unpacked):
    name, about = "postfix", "smtpd_proxy_filter"
    idle = 100  # each is a process

    MAIN = """
compatibility_level = 3.7
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
shlib_directory = /usr/lib/postfix
maillog_file = /var/log/log
myhostname = postfix.example
mydestination =
alias_maps =
inet_interfaces = all
inet_protocols = ipv4
mynetworks =
relay_domains = example.com
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
default_process_limit = 250
message_size_limit = 104857600
"""

    MASTER = """
{host}:{port} inet n - n - - smtpd -o smtpd_proxy_filter={host}:{sink_port}
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""

    QUEUES = "active bounce corrupt defer deferred flush hold incoming private saved trace"

    def command(self):
        root = self.unpack()
        root.write("/etc/postfix/main.cf", self.MAIN)
        root.write("/etc/postfix/master.cf",
                   self.MASTER.format(host=HOST, port=self.port, sink_port=self.sink_port))
        owner = uid_in(root, "postfix")
        root.folder("/var/spool/postfix/pid")
        for queue in self.QUEUES.split():
            root.folder(f"/var/spool/postfix/{queue}", owner, 0o700)
        for queue in ("maildrop", "public"):
            root.folder(f"/var/spool/postfix/{queue}", owner, 0o730)
        root.folder("/var/lib/postfix", owner)
        return root.command("/usr/lib/postfix/sbin/master", "-s")


def uid_in(root, account):
    """An account's number in a root folder's own passwd."""
    lines = (root.path / "etc/passwd").read_text().splitlines()
    return next(int(line.split(":")[2]) for line in lines if line.startswith(account + ":"))


class Haraka(Contender):
    name, about = "haraka", f"{HARAKA_VERSION}, one process, queue/smtp_forward"
    idle = 500

    def install(self):
        home = PEERS / "haraka"
        program = home / "node_modules/Haraka/bin/haraka"
        if program.exists():
            return program
        if not shutil.which("npm"):
            raise Missing("npm is not installed")
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text("{}")
        result = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"Haraka@{HARAKA_VERSION}"],
                                cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode:
            raise Missing(f"npm can't install it:\n{result.stderr}")
        return program

    def command(self):
        program = self.install()
        config = self.directory / "config"
        config.mkdir(exist_ok=True)
        (self.directory / "queue").mkdir(exist_ok=True)
        for file, text in {
            "smtp.ini": f"listen={HOST}:{self.port}\nnodes=0\n",
            "connection.ini": (program.parents[1] / "config/connection.ini").read_text(),
            "me": "haraka.example\n",
            "host_list": "example.com\n",
            "loglevel": "WARN\n",
            "log.ini": "[main]\nlevel=WARN\n",
            "smtp_forward.ini": f"host={HOST}\nport={self.sink_port}\nenable_outbound=false\n",
            "plugins": "rcpt_to.in_host_list\nqueue/smtp_forward\n",
        }.items():
            (config / file).write_text(text)
        return ["node", program, "-c", self.directory]


ALL = {c.name: c for c in (Direct, HAProxy, Postern, Ruled, Authenticated, Postfix, Haraka)}
