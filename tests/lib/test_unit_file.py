"""The systemd unit: with no system calls but those that it allows, the program as it is shipped starts and greets."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from test_house import RELEASE, ROOT, free_port, output_of

UNIT = ROOT / "packaging/postern.service"
DEADLINE_S = 30

# Argv: the names of calls with commas between, then a program and its arguments.
UNDER = """
import ctypes, os, sys
lib = ctypes.CDLL("libseccomp.so.2")
lib.seccomp_init.restype = ctypes.c_void_p
allow, refuse = 0x7FFF0000, 0x00050000 | 1  # EPERM, as SystemCallErrorNumber says
rules = ctypes.c_void_p(lib.seccomp_init(refuse))
for name in sys.argv[1].split(","):
    number = lib.seccomp_syscall_resolve_name(name.encode())
    if number != -1:
        lib.seccomp_rule_add(rules, allow, number, 0)
assert lib.seccomp_load(rules) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""


def calls_of(word):
    """What a word of SystemCallFilter= stands for."""
    if not word.startswith("@"):
        return {word}
    lines = output_of("systemd-analyze", "syscall-filter", word).splitlines()[1:]
    words = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return set().union(*map(calls_of, words))


def allowed():
    words = re.search(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.M)[1].split()
    return set().union(*map(calls_of, words))


@pytest.fixture
def site():
    """(configuration, port)"""
    folder, port = Path(tempfile.mkdtemp(prefix="postern-unit.")), free_port()
    state = folder / "state"
    state.mkdir()
    user = ""
    if os.getuid() == 0:
        user = 'user "nobody"'
        folder.chmod(0o755)
        shutil.chown(state, "nobody")
    conf = folder / "postern.conf"
    conf.write_text(f"""
        hostname "mx.example.net" workers 1 {user} state "{state}"
        listen "127.0.0.1:{port}" {{ tls none }}
        backend "b" {{ server "127.0.0.1:9" client_info none }}
        relay_domains {{ "example.com" }}
        admin {{ socket "{folder}/control.sock" }}
    """)
    yield conf, port
    shutil.rmtree(folder)


def run(calls, conf):
    return subprocess.Popen([sys.executable, "-c", UNDER, ",".join(calls), RELEASE / "postern", "run", "-c", conf],
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def greeting(process, port):
    end = time.monotonic() + DEADLINE_S
    while process.poll() is None and time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                return s.recv(512)
        except OSError:
            time.sleep(0.02)
    return b""


def test_it_starts_with_what_the_unit_allows(site):
    conf, port = site
    process = run(allowed(), conf)
    try:
        said = greeting(process, port)
    finally:
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=DEADLINE_S)[1]
    assert said.startswith(b"220"), errors
    assert process.returncode == 0, errors


def test_it_says_what_is_missing(site):
    """Without the call seccomp those who verify can't be shut in, so nobody does: better no start than that."""
    process = run(allowed() - {"seccomp"}, site[0])
    errors = process.communicate(timeout=DEADLINE_S)[1]
    assert process.returncode != 0 and "SystemCallFilter=@system-service seccomp" in errors
