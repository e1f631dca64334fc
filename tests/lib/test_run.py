"""The runner must not take for passed what has not passed."""

import sys
import time

import pytest

import run

TAP = "1..3\nok 1 - a\n{}\nok 3 - c\n"


@pytest.mark.parametrize("status, output, counts", [
    (0, TAP.format("ok 2 - b"), (3, 0, 0)),
    (1, TAP.format("not ok 2 - b\n# 0x1 != 0x2"), (2, 1, 0)),
    (0, TAP.format("not ok 2 # SKIP b"), (2, 0, 1)),
    (134, "1..3\nok 1 - a\n", (1, 2, 0)),  # it died: what was planned and never came has failed
    (23, TAP.format("ok 2 - b"), (3, 1, 0)),  # all passed, then a leak was found
    (0, TAP.format("ok 2 - b") + "1..2\nok 1 - d\nnot ok 2 - e Could not run test\n", (4, 1, 0)),
    (1, "1..2\nnot ok 0 - group [  FAILED  ] GROUP SETUP\n", (0, 2, 0)),
    (0, "", (0, 1, 0)),  # it ran nothing
])
def test_counts_of_a_cmocka_program(status, output, counts):
    assert run.tap(status, output) == counts


REPORT = """<testsuites><testsuite>
<testcase classname="t.m" name="good" time="1"/>
<testcase classname="t.m" name="bad" time="1"><failure>x</failure></testcase>
<testcase classname="t.m" name="bad" time="1"><error>teardown</error></testcase>
<testcase classname="t.m" name="good then bad" time="1"/>
<testcase classname="t.m" name="good then bad" time="1"><error>teardown</error></testcase>
<testcase classname="t.m" name="not here"><skipped/></testcase>
</testsuite></testsuites>"""


def test_counts_of_a_pytest_report(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    total = run.Sum()
    assert run.read_report(total, "e2e", report)
    assert (total.passed["e2e"], total.failed["e2e"], total.skipped["e2e"]) == (1, 2, 1)


def test_a_kind_that_ran_nothing_fails(capsys):
    total = run.Sum()
    for kind in run.KINDS:
        total.add(kind, "x", 0, passed=1)
    assert total.close(None)
    del total.passed["fuzz"]
    total.passed["fuzz"] = 0
    assert not total.close(None)
    assert capsys.readouterr().out.splitlines()[-1] == f"{len(run.KINDS) - 1} passed, 1 failed, 0 skipped"


def test_nothing_that_matches_is_no_success():
    assert not run.Sum().close("nonsense")


@pytest.mark.parametrize("kind, pattern, yes", [
    ("unit", None, True), ("unit", "unit", True), ("unit", "e2e", False), ("unit", "unit/reply", True),
    ("e2e", "unit/reply", False), ("e2e", "reply", True),
])
def test_patterns(kind, pattern, yes):
    assert run.wanted(kind, pattern) == yes


def test_a_program_that_hangs_is_ended():
    start = time.monotonic()
    status, output = run.run([sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"], 1)
    assert status != 0 and "begun" in output and "killed" in output
    assert time.monotonic() - start < 30


def is_gone(pid):
    """Whether it ends within 5 s. A zombie has ended: who adopted it has not fetched it yet."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rsplit(")", 1)[1].split()[0] in "ZX":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


LEAVES = "import subprocess; print(subprocess.Popen(['sleep', '60']{}).pid)"


def test_what_a_program_leaves_behind_is_ended():
    _, output = run.run([sys.executable, "-c", LEAVES.format(", stdout=-3, stderr=-3")], 10)
    assert is_gone(int(output))


def test_a_program_that_leaves_its_output_open_fails():
    status, output = run.run([sys.executable, "-c", LEAVES.format("")], 1)
    assert status != 0 and is_gone(int(output.split()[0]))
