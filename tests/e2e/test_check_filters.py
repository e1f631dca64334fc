"""check: what is wrong with the options of filters, and where."""

import pytest

from harness.process import free_port
from test_rule_commands import run

CONFIG = """\
hostname "mx.example.net"
listen "127.0.0.1:2525" { tls none }
backend "main" { server "127.0.0.1:1" client_info none }
relay_domains { "example.com" }
"""


def check(tmp_path, blocks, rules="rule de { when client.country == \"DE\" then tag \"de\" }\n"):
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d/a.rules").write_text(rules)
    (tmp_path / "postern.conf").write_text(CONFIG + blocks)
    return run("check", "-c", tmp_path / "postern.conf")


@pytest.mark.parametrize("blocks, said", [
    ("filter greeting { wiat 3s }", ["5:19: error: filter greeting has no option `wiat`: did you mean `wait`?"]),
    ("filter greeting {\n  wait 3\n}\nfilter dnsbl { timeout 1s probe \"x\" }\nfilter greetng { }\n",
     ["6:8: error: filter greeting: `wait` takes a duration such as 30s or 5m, not `3`",
      "8:33: error: filter dnsbl: `probe` takes a duration such as 30s or 5m, not `x`",
      "9:8: error: there is no filter `greetng`: did you mean `greeting`?"]),
    ("filter greeting { wait 1s wait 2s }", ["5:27: error: filter greeting: `wait` is given twice"]),
    ("filter greeting { wait 99h }", ["5:24: error: filter greeting: `wait` must lie between 0ms and 9s"]),
    ("filter geoip { timeout 1s database }", ["5:27: error: filter geoip: `database` takes the path of a file"]),
    ("filter mine { load \"mine.so\" }", ["5:8: error: filter mine: "]),
])
def test_each_mistake_is_told_at_its_place(tmp_path, blocks, said):
    done = check(tmp_path, blocks)
    assert done.returncode == 3
    errors = [line.partition("postern.conf:")[2] for line in done.stderr.splitlines() if ": error: " in line]
    assert len(errors) == len(said), done.stderr
    for error, start in zip(errors, said):
        assert error.startswith(start), done.stderr
    assert done.stderr.count("    ^") + done.stderr.count(" ^") >= len(said)
    assert done.stderr.endswith(f"{len(said)} mistake{'s' if len(said) > 1 else ''}\n")


def test_a_database_that_a_rule_needs_must_be_there(tmp_path):
    (tmp_path / "text.mmdb").write_text("no database\n")
    done = check(tmp_path, 'filter geoip { database "text.mmdb" }\n')
    assert done.returncode == 3
    assert "text.mmdb: The MaxMind DB file contains invalid metadata" in done.stderr
    assert done.stderr.endswith("1 mistake\n")


def test_one_that_no_rule_needs_is_not_opened(tmp_path):
    done = check(tmp_path, 'filter geoip { database "nowhere.mmdb" }\n', "rule a { then tag \"x\" }\n")
    assert done.returncode == 0, done.stderr


def test_mistakes_of_the_configuration_do_not_hide_those_of_rules(tmp_path):
    done = check(tmp_path, "hostnam \"x\"\nlimits { messge 5MB }\n", "rule a { when helo = \"x\" then reject }\nrule b { }\n")
    assert done.returncode == 3
    lines = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert [name for line in lines for name in ("postern.conf", "a.rules") if name in line] == \
        ["postern.conf", "postern.conf", "a.rules", "a.rules"], done.stderr
    assert done.stderr.endswith("4 mistakes\n")


def test_workers_that_cannot_start_say_why_and_end(tmp_path):
    """The supervisor ends them all at the first that fails: what it tells the others then finds no worker."""
    (tmp_path / "text.mmdb").write_text("no database\n")
    (tmp_path / "state").mkdir()
    check(tmp_path, f'filter geoip {{ database "text.mmdb" }}\nstate "{tmp_path}/state"\nworkers 3\nuser "nobody"\n'
          f'admin {{ socket "{tmp_path}/control.sock" }}\n')
    text = (tmp_path / "postern.conf").read_text().replace("127.0.0.1:2525", f"127.0.0.1:{free_port()}")
    (tmp_path / "postern.conf").write_text(text)
    for _ in range(3):
        done = run("run", "-c", tmp_path / "postern.conf")
        assert done.returncode == 1
        assert "the workers did not start: worker" in done.stderr, done.stderr
        assert "text.mmdb" in done.stderr
        assert "bug at" not in done.stderr and "Aborted" not in done.stderr, done.stderr
