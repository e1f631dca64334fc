#!/usr/bin/python3
"""Builds postern with sanitizers and runs every test; the work behind `./dev test`.

    run.py [PATTERN]    only tests whose name (kind/name, as printed) contains PATTERN; the name of a kind takes all of it

Kinds: build (each compiler and configuration), unit (cmocka, each case counts), talk (each conversation), fuzz (each
target over its corpus), house (layers, hardening, manual page, ./dev itself) and e2e, both by pytest. What passes says
one line; what fails shows all that it printed. The last line is the sum. A kind of which nothing ran counts as failed,
and so does a program that ends badly although all its cases passed.
"""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
KINDS = ("build", "unit", "talk", "fuzz", "house", "oracle", "e2e")
PYTEST = {"house": ["tests/layers", "tests/lib"], "oracle": ["tests/oracle"], "e2e": ["tests/e2e"]}
PYTEST_LIMIT_S = 20 * 60
JOBS = os.cpu_count() or 1
START = time.monotonic()
PRINTING = threading.Lock()

ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "CMOCKA_MESSAGE_OUTPUT": "TAP",
    "PYTHONDONTWRITEBYTECODE": "1",
    "POSTERN": str(BUILD / "asan/postern"),
    "POSTERN_BUILD": str(BUILD / "asan"),
    "POSTERN_RELEASE": str(BUILD / "release"),
}


def say(text, output=""):
    """A line of progress, behind the output of what failed."""
    with PRINTING:
        print(f"{output}[{time.monotonic() - START:6.1f} s] {text}", flush=True)


def wanted(kind, pattern):
    """Whether tests of this kind may match."""
    if pattern is None or pattern in KINDS:
        return pattern in (None, kind)
    return "/" not in pattern or pattern.startswith(kind + "/")


class Sum:
    """What came of the tests: counts for each kind, and how long each part took."""

    def __init__(self):
        self.passed, self.failed, self.skipped = (dict.fromkeys(KINDS, 0) for _ in range(3))
        self.parts = []

    def add(self, kind, name, seconds, passed=0, failed=0, skipped=0):
        for counts, n in ((self.passed, passed), (self.failed, failed), (self.skipped, skipped)):
            counts[kind] += n
        self.parts.append((seconds, f"{kind}/{name}"))

    def ran(self, kind):
        return self.passed[kind] + self.failed[kind] + self.skipped[kind]

    def close(self, pattern):
        """Prints the slowest parts, the kinds and the sum. True: all is well."""
        for kind in KINDS:
            if not pattern and not self.ran(kind):
                say(f"FAILED: of {kind} no test ran")
                self.failed[kind] += 1
        print("\nslowest:")
        for seconds, name in sorted(self.parts, reverse=True)[:12]:
            print(f"{seconds:8.1f} s  {name}")
        print("\n" + ", ".join(f"{kind} {self.ran(kind)}" for kind in KINDS))
        passed, failed, skipped = (sum(c.values()) for c in (self.passed, self.failed, self.skipped))
        print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
        return failed == 0 and passed > 0


def kill_group(child):
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(command, limit_s, on_line=None):
    """Runs a program in a process group of its own, at most `limit_s` long. Returns (exit status, output)."""
    child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **ENVIRONMENT})
    timer = threading.Timer(limit_s, kill_group, [child])
    timer.start()
    lines = []
    try:
        for line in child.stdout:
            lines.append(line.decode(errors="replace"))
            if on_line:
                on_line(lines[-1])
        status = child.wait()
    finally:
        late = not timer.is_alive()
        timer.cancel()
        kill_group(child)
        child.wait()
    if late:
        status = status or -signal.SIGKILL  # it may have ended well and left somebody behind who holds its output
        lines.append(f"\nstill running after {limit_s:.0f} s: killed\n")
    return status, "".join(lines)


# --- builds ---


def progress(preset):
    """A line of ninja's own progress every few seconds."""
    last = [time.monotonic()]

    def on_line(line):
        step = re.match(r"\[(\d+)/(\d+)\]", line)
        if step and time.monotonic() - last[0] > 5:
            last[0] = time.monotonic()
            say(f"  {preset}: {step[1]} of {step[2]}")
    return on_line


def build(total, preset, counts):
    """Configures and builds a preset. False: it does not compile."""
    start = time.monotonic()
    status, output = run(["cmake", "--preset", preset], 120)
    if status == 0:
        say(f"building {preset}")
        status, more = run(["cmake", "--build", "--preset", preset], 1800, on_line=progress(preset))
        output += more
    seconds = time.monotonic() - start
    say(f"build/{preset} {'FAILED' if status else 'ok'} in {seconds:.0f} s", output if status else "")
    if counts or status:
        total.add("build", preset, seconds, passed=int(not status), failed=int(bool(status)))
    return status == 0


# --- programs that ctest knows ---


def tap(status, output):
    """(passed, failed, skipped) of a cmocka program. A case that was planned and never reported has failed."""
    planned = sum(int(n) for n in re.findall(r"^1\.\.(\d+)", output, re.M))
    skipped = len(re.findall(r"^(?:not )?ok \d+ # SKIP", output, re.M))
    passed = len(re.findall(r"^ok \d+ - ", output, re.M))
    failed = len(re.findall(r"^not ok \d+ - ", output, re.M))
    failed += max(0, planned - passed - failed - skipped)
    if not failed and (status or not planned):
        failed = 1
    return passed, failed, skipped


def ctest_list():
    """[(kind, name, command, time limit)]"""
    listing = subprocess.run(["ctest", "--test-dir", BUILD / "asan", "--show-only=json-v1"], capture_output=True,
                             text=True, check=True).stdout
    tests = []
    for test in json.loads(listing)["tests"]:
        properties = {p["name"]: p["value"] for p in test["properties"]}
        kind, name = test["name"].split("/", 1)
        tests.append((kind, name, test.get("command", ["false", "(not built)"]), float(properties.get("TIMEOUT", 120))))
    return tests


def run_program(total, kind, name, command, limit_s):
    start = time.monotonic()
    status, output = run(command, limit_s)
    seconds = time.monotonic() - start
    passed, failed, skipped = tap(status, output) if kind == "unit" else (int(not status), int(bool(status)), 0)
    total.add(kind, name, seconds, passed, failed, skipped)
    if failed:
        said = f"--- {' '.join(command)}: exit status {status}\n{output}\n"
        say(f"{kind}/{name} FAILED ({failed} of {passed + failed + skipped})", said)
    else:
        say(f"{kind}/{name} ok" + (f" ({passed})" if kind == "unit" else ""))


def run_programs(total, pattern):
    tests = [t for t in ctest_list()
             if wanted(t[0], pattern) and (pattern in (None, t[0]) or pattern in f"{t[0]}/{t[1]}")]
    with ThreadPoolExecutor(JOBS) as pool:
        for future in [pool.submit(run_program, total, *test) for test in tests]:
            future.result()


# --- pytest ---


def pytest_command(kind, report, pattern):
    command = ["/usr/bin/python3", "-m", "pytest", "-vv", "-p", "no:cacheprovider", f"--junitxml={report}"]
    if importlib.util.find_spec("pytest_timeout"):
        command.append("--timeout=300")
    jobs = int(os.environ.get("POSTERN_E2E_JOBS", JOBS))
    if kind == "e2e" and jobs > 1 and importlib.util.find_spec("xdist"):
        command += ["-n", str(jobs), "--dist", "load"]
    if pattern and pattern != kind:
        command += ["-k", pattern.removeprefix(kind + "/")]
    return command + [d for d in PYTEST[kind] if (ROOT / d).is_dir()]


def outcome(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def read_report(total, kind, report):
    """Counts the cases of a JUnit report. One that fails and then can't clean up stands there twice and counts once."""
    outcomes, seconds = {}, {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname', '').split('.')[-1]}::{case.get('name')}"
        if outcomes.get(name) != "failed":
            outcomes[name] = outcome(case)
        seconds[name] = seconds.get(name, 0) + float(case.get("time", 0))
    for name, what in outcomes.items():
        total.add(kind, name, seconds[name], **{what: 1})
    return "failed" in outcomes.values()


def fetch_peers(total):
    """Unpacks the mail servers that the end-to-end tests need, before several of these ask for them at once."""
    say("unpacking mail servers")
    status, output = run([str(ROOT / "tests/e2e/peers/fetch")], 600)
    if status:
        total.add("e2e", "peers/fetch", 0, failed=1)
        say("FAILED: tests/e2e/peers/fetch", output)


def run_pytest(total, kind, pattern):
    if kind == "e2e":
        fetch_peers(total)
    say(f"{kind}: pytest")
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        status, _ = run(pytest_command(kind, report, pattern), PYTEST_LIMIT_S,
                        on_line=lambda line: print(line, end="", flush=True))
        failed = read_report(total, kind, report) if report.exists() else False
    if status not in (0, 5) and not failed:  # 5: nothing collected, which Sum.close judges
        say(f"FAILED: pytest ended with {status}")
        total.add(kind, "pytest", 0, failed=1)
    say(f"{kind}: done")


def main():
    pattern = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] else None
    total = Sum()
    os.chdir(ROOT)
    for preset in ("asan", "release", "clang"):
        named = wanted("build", pattern) and (pattern in (None, "build") or pattern in f"build/{preset}")
        if preset == "clang" and not named:
            continue
        if not build(total, preset, counts=named) and preset == "asan":
            total.close(pattern="there is nothing to run")
            sys.exit(1)
    run_programs(total, pattern)
    for kind in PYTEST:
        if wanted(kind, pattern):
            run_pytest(total, kind, pattern)
    sys.exit(0 if total.close(pattern) else 1)


if __name__ == "__main__":
    main()
