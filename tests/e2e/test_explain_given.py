"""explain with facts of a message that is not there."""

import json

import pytest

from test_rule_commands import run

RULES = """\
rule hi { when subject == "hi" then reject 550 5.7.1 "hi" }
rule virus { when virus then reject 550 5.7.1 "virus" }
rule late { when body contains "x" then tag "late" }
"""


def explain(tmp_path, *words):
    (tmp_path / "t.rules").write_text(RULES)
    return run("explain", "--rules", tmp_path / "t.rules", "--no-dns", "--ip", "192.0.2.1", "--helo", "mx.a.example",
               "--from", "a@a.example", "--to", "b@b.example", "--json", *words)


@pytest.mark.parametrize("fact, verdict, rule", [
    ("subject=hi", "reject", "hi"),
    ("subject=other", "accept", None),  # nobody measures virus: that rule is skipped
    ("virus=yes", "undecided", None),   # `hi` above may still come true
])
def test_what_is_given_of_a_message_counts_without_one(tmp_path, fact, verdict, rule):
    done = explain(tmp_path, "--fact", fact)
    said = json.loads(done.stdout)
    to = said["recipients"][0]
    assert (to["verdict"], to["rule"]) == (verdict, rule), done.stdout
    assert done.returncode == (1 if verdict == "reject" else 0)
    name, value = fact.split("=")
    assert {"fact": name, "value": value, "source": "given"} in said["facts"]
    assert {"rule": "late", "mode": "on", "true": "unknown"}.items() <= to["rules"][2].items()


def test_what_is_not_given_stays_open(tmp_path):
    said = json.loads(explain(tmp_path, "--fact", "helo=x").stdout)
    assert said["recipients"][0]["verdict"] == "undecided"
    assert [rule["open"] for rule in said["recipients"][0]["rules"]] == ["subject", "virus", "body"]


@pytest.mark.parametrize("name", ["score", "tags"])
def test_what_follows_from_rules_cannot_be_given(tmp_path, name):
    done = explain(tmp_path, "--fact", f"{name}=1")
    assert done.returncode == 2
    assert done.stderr == (f"postern explain: `{name}` follows from the rules and can't be given: give the facts that "
                           "lead to it\n")


@pytest.mark.parametrize("words", [("--from", "a@bücher.example"), ("--from", "a@xn--bcher-kva.example"),
                                   ("--fact", "mail.domain=bücher.example")])
@pytest.mark.parametrize("rule", ['mail.domain == "bücher.example"', 'mail.domain == "xn--bcher-kva.example"',
                                  "mail.domain in @books"])
def test_a_domain_is_one_however_it_is_spelt(tmp_path, rule, words):
    (tmp_path / "books").write_text("bücher.example\n")
    (tmp_path / "i.rules").write_text(f'list books : domain from file "books"\nrule a {{ when {rule} then reject }}\n')
    if words[0] == "--fact":
        words += ("--from", "b@b.example")
    done = run("explain", "--rules", tmp_path / "i.rules", "--no-dns", "--ip", "192.0.2.1", "--helo", "mx.a.example",
               "--to", "b@b.example", "--json", *words)
    assert json.loads(done.stdout)["recipients"][0]["rule"] == "a", done.stdout + done.stderr


def test_a_given_domain_that_is_none_is_told(tmp_path):
    done = explain(tmp_path, "--fact", "mail.domain=bü%.example")
    assert done.returncode == 2
    assert "can't be written in ASCII" in done.stderr
