"""docs/RULES.md says what the program says: its tables are those of `postern config doc`, and its examples are right.

    python3 tests/lib/test_manual.py      writes the tables anew and lays the examples out
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POSTERN = Path(os.environ.get("POSTERN", ROOT / "build/asan/postern"))
RULES = ROOT / "docs/RULES.md"
DEADLINE_S = 60

TABLE = re.compile(r"<!-- begin: postern (?P<command>[a-z ]+) -->\n(?P<table>.*?)<!-- end -->\n", re.S)
EXAMPLE = re.compile(r"^```rules\n(.*?)^```\n", re.S | re.M)


def postern(*words, **kwargs):
    return subprocess.run([str(POSTERN), *map(str, words)], capture_output=True, text=True, timeout=DEADLINE_S,
                          **{"input": "", **kwargs})


def table_of(command):
    """What the program prints, as it stands in the page."""
    result = postern(*command.split())
    assert result.returncode == 0, result.stderr
    return f"\n```text\n{result.stdout}```\n\n"


def examples():
    return EXAMPLE.findall(RULES.read_text())


def laid_out(example):
    result = postern("fmt", input=example)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("command", ["config doc language", "config doc facts", "config doc filters"])
def test_tables_are_those_of_the_program(command):
    tables = {m["command"]: m["table"] for m in TABLE.finditer(RULES.read_text())}
    assert tables.get(command) == table_of(command), "renew it: python3 tests/lib/test_manual.py"


def test_facts_for_programs():
    facts = {f["name"]: f for f in json.loads(postern("config", "doc", "facts", "--json").stdout)["facts"]}
    assert len(facts) == len(postern("config", "doc", "facts").stdout.splitlines()) - 1
    assert facts["client.fcrdns"] == {
        "name": "client.fcrdns", "type": "choice", "many": False, "known_at": "connect", "measured": True,
        "filter": "connection", "values": ["pass", "fail", "none"], "help": facts["client.fcrdns"]["help"]}
    assert not facts["virus"]["measured"] and facts["attachment.name"]["many"]


@pytest.mark.parametrize("words", [["show", "--json"], ["doc", "--json"], ["doc", "filters", "--json"]])
def test_what_is_not_for_programs_says_so(words):
    result = postern("config", *words)
    assert result.returncode == 2 and "--json" in result.stderr


def test_the_filters_page_names_every_flag():
    header = (ROOT / "policy/facts.h").read_text()
    flags = dict(re.findall(r"\b(FACT_[A-Z_]+) = (\d+)", header[header.index("enum fact_flags"):].split("};")[0]))
    assert [int(bit) for bit in flags.values()] == [1 << i for i in range(len(flags))]
    page = (ROOT / "docs/FILTERS.md").read_text()
    assert [flag for flag in flags if f"`{flag}`" not in page] == []


def test_page_has_no_other_table():
    assert [m["command"] for m in TABLE.finditer(RULES.read_text())] == [
        "config doc language", "config doc facts", "config doc filters"]


@pytest.mark.parametrize("number", range(len(examples())))
def test_examples_are_right(number, tmp_path):
    """Read without a mistake, in their layout, and their own tests pass."""
    shutil.copytree(ROOT / "rules/lists", tmp_path / "lists")
    file = tmp_path / "example.rules"
    file.write_text(examples()[number])
    for command in ("check", "test"):
        result = postern(command, file)
        assert result.returncode == 0, f"{examples()[number]}\n{result.stdout}{result.stderr}"
    assert laid_out(examples()[number]) == examples()[number], "renew it: python3 tests/lib/test_manual.py"


def test_a_wrong_example_is_noticed(tmp_path):
    file = tmp_path / "example.rules"
    file.write_text('rule a { when spf == hardfail then reject }\n')
    assert postern("check", file).returncode == 3


def renew():
    text = EXAMPLE.sub(lambda m: f"```rules\n{laid_out(m[1])}```\n", RULES.read_text())
    RULES.write_text(TABLE.sub(
        lambda m: f"<!-- begin: postern {m['command']} -->\n{table_of(m['command'])}<!-- end -->\n", text))


if __name__ == "__main__":
    sys.exit(renew())
