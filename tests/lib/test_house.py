"""The house around the code: hardening, installation, manual page, packages, and ./dev itself."""

import os
import re
import signal
import smtplib
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POSTERN = Path(os.environ.get("POSTERN", ROOT / "build/asan/postern"))
RELEASE = Path(os.environ.get("POSTERN_RELEASE", ROOT / "build/release"))
DEADLINE_S = 60


def output_of(*command, **kwargs):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                            timeout=DEADLINE_S, **kwargs)
    assert result.returncode == 0, f"{command} ended with {result.returncode}:\n{result.stdout}{result.stderr}"
    return result.stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# --- what readelf must find in the release ---

HARDENING = {
    "position independent": ("-dW", r"FLAGS_1.*\bPIE\b"),
    "bound at start": ("-dW", r"FLAGS_1.*\bNOW\b"),
    "relocations read-only": ("-lW", r"GNU_RELRO"),
    "stack not executable": ("-lW", r"GNU_STACK\s+\S+\s+\S+\s+\S+\s+\S+\s+\S+\s+RW\s"),
    "stack protector": ("--dyn-syms -W", r"__stack_chk_fail"),
    "checked libc calls": ("--dyn-syms -W", r"__\w*(?:printf|mem\w+|str\w+|read|recv)_chk"),
    "shadow stack": ("-n", r"x86 feature:.*SHSTK"),
}


@pytest.mark.parametrize("what", HARDENING)
def test_release_is_hardened(what):
    if "feature" in HARDENING[what][1] and os.uname().machine != "x86_64":
        pytest.skip("x86 only")
    option, pattern = HARDENING[what]
    assert re.search(pattern, output_of("readelf", *option.split(), RELEASE / "postern"))


@pytest.mark.parametrize("what", HARDENING)
def test_hardening_is_missed_where_it_is_not(what, tmp_path):
    source, program = tmp_path / "a.c", tmp_path / "a"
    source.write_text("int main(void) { return 0; }\n")
    output_of("gcc", "-no-pie", "-U_FORTIFY_SOURCE", "-fno-stack-protector", "-fcf-protection=none",
              "-Wl,-z,norelro,-z,lazy,-z,execstack", source, "-o", program)
    option, pattern = HARDENING[what]
    assert not re.search(pattern, output_of("readelf", *option.split(), program))


def test_indirect_branches_have_landing_pads():
    if os.uname().machine != "x86_64":
        pytest.skip("x86 only")
    code = output_of("objdump", "-d", "--no-show-raw-insn", "--disassemble=main", RELEASE / "postern")
    assert "endbr64" in code


# --- what is installed ---


def test_install(tmp_path):
    output_of("cmake", "--install", RELEASE, env={**os.environ, "DESTDIR": str(tmp_path)})
    installed = {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()}
    for end in ("sbin/postern", "man/man5/postern.conf.5", "examples/postern.conf", "postern.service",
                "share/postern/rules/default.rules", "share/postern/rules/strict.rules",
                "share/postern/rules/lists/programs.extensions"):
        assert [name for name in installed if name.endswith(end)], f"{end} is not among {installed}"


def test_a_filter_is_built_against_what_is_installed(tmp_path):
    output_of("cmake", "--install", RELEASE, "--component", "dev", env={**os.environ, "DESTDIR": str(tmp_path)})
    include, = tmp_path.rglob("include/postern")
    source = tmp_path / "filter_x.c"
    source.write_text('#include "filters/filter.h"\n#include "filters/question.h"\n#include "lib/mail/mime_words.h"\n')
    output_of("cc", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Werror", "-fPIC", "-I", include, "-c", source, "-o", tmp_path / "x.o")


def test_example_configuration_is_accepted():
    output_of(POSTERN, "check", "-c", ROOT / "packaging/postern.conf")


def test_version_is_the_project_s():
    version = re.search(r"project\(postern VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
    assert version in output_of(POSTERN, "version")


# --- the manual page ---


@pytest.fixture(scope="module")
def manual(tmp_path_factory):
    file = tmp_path_factory.mktemp("manual") / "postern.conf.5"
    file.write_text(output_of(POSTERN, "config", "man"))
    return file


def test_manual_page_has_no_mistakes(manual):
    result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", manual], capture_output=True, text=True)
    said = [line for line in result.stdout.splitlines() if "missing date" not in line]  # a build has none: reproducible
    assert not said, "\n".join(said)


def test_manual_page_names_every_key(manual):
    text = re.sub(".\b", "", output_of("mandoc", "-T", "ascii", manual))  # overstruck bold and underline
    keys = set(re.findall(r"^([a-z_][a-z_. ]*?)  ", output_of(POSTERN, "config", "doc"), re.M))
    assert len(keys) > 40
    assert not {key for key in keys if key.split()[-1].split(".")[-1] not in text}


# --- the list of packages ---


def package_lines():
    lines = (ROOT / "packaging/debian-packages.txt").read_text().splitlines()
    return [line.split("#")[0].split() for line in lines if line.split("#")[0].strip()]


def test_package_list_reads_as_it_says():
    verbs = {"all", "run", "build", "test", "lint", "fuzz", "bench", "deb"}
    for words in package_lines():
        assert len(words) in (2, 3), words
        assert set(words[1].split(",")) <= verbs, words
    names = [words[0] for words in package_lines()]
    assert len(names) == len(set(names))


# --- ./dev ---


def dev(*arguments, **kwargs):
    return subprocess.run([ROOT / "dev", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=DEADLINE_S, **kwargs)


def test_dev_help_names_every_verb():
    said = dev("help").stdout
    for verb in ("run", "build", "test", "lint", "fuzz", "bench", "deb"):
        assert f"./dev {verb}" in said


@pytest.mark.parametrize("verb", ["nonsense", "deb"])
def test_dev_says_what_it_cannot(verb):
    result = dev(verb)
    assert result.returncode == 2 and result.stderr


class DevRun:
    """`./dev run` on ports of its own, with its folder elsewhere."""

    def __init__(self, folder):
        self.folder, self.port, self.backend_port = folder, free_port(), free_port()
        self.lines = []

    def __enter__(self):
        self.process = subprocess.Popen(
            [ROOT / "dev", "run"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, env={**os.environ, "PORT": str(self.port), "BACKEND_PORT": str(self.backend_port),
                                         "RUN_DIR": str(self.folder)})
        return self

    def until(self, pattern):
        """The first line that matches. Fails with all that was said when none comes."""
        for line in self.process.stdout:
            self.lines.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no {pattern} in:\n{''.join(self.lines)}")

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.stdout.close()
        self.process.wait()


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def folder(tmp_path_factory):
    """A folder that an account without privileges reaches: pytest's own are for their owner alone."""
    folder = tmp_path_factory.mktemp("run")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    return folder


def test_dev_run_carries_mail_into_a_maildir(folder):
    with DevRun(folder) as run:
        line = run.until("swaks --server")
        assert f"127.0.0.1:{run.port}" in line
        run.until("Ctrl-C")
        with smtplib.SMTP("127.0.0.1", run.port) as client:
            client.sendmail("you@example.org", ["alice@example.com"],
                            "From: you@example.org\r\nSubject: first\r\n\r\nHello.\r\n")
        message, = (folder / "Maildir/new").iterdir()
        text = message.read_text()
        assert text.startswith("Return-Path: <you@example.org>\nDelivered-To: alice@example.com\nReceived: ")
        assert "\nFrom: you@example.org\nSubject: first\nX-Spam-Score: " in text  # the default rules are in force
        assert text.endswith("\n\nHello.\n")
        run.process.send_signal(signal.SIGINT)
        run.until("stopped")
        run.process.wait(DEADLINE_S)
        assert not listens(run.port) and not listens(run.backend_port)


def test_dev_run_says_that_a_port_is_taken(folder):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        result = dev("run", env={**os.environ, "PORT": str(port), "RUN_DIR": str(folder)})
        assert result.returncode == 1
        assert f"port {port}" in result.stderr and "taken" in result.stderr
