"""check, test, fmt and explain, as somebody runs them who writes rules."""

import json
import os
import stat
import subprocess

import pytest

from harness.postern import BINARY
from harness.process import free_port

CONFIG = """\
hostname "mx.example.net"
listen "127.0.0.1:{port}" {{ tls none }}
backend "main" {{ server "127.0.0.1:1" }}
relay_domains {{ "example.com" }}
{more}
"""

RULES = """\
list blocked : cidr from file "lists/blocked"
rule blocklist { when client.ip in @blocked then reject now 554 5.7.1 "Blocked: {list.reason}" }
rule pills { when subject contains "pills" then score 4.5 "pills", tag "pills" }
rule helo { when helo == "evil" then defer 451 4.7.1 "Not now, {helo}" }
rule spam { when score >= 4 then header add "X-Spam" "{score}", subject prefix "[spam] " }
test "blocked" { given client.ip = 192.0.2.66 expect reject 554 }
test "pills" { given subject = "PILLS!", client.ip = 192.0.2.1 expect score 4.5, subject prefix }
"""

MESSAGE = "From: a@b.example\nSubject: cheap pills\n\nbuy\n"


def run(*words, stdin=None):
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1"}
    done = subprocess.run([BINARY, *map(str, words)], input=stdin or "", capture_output=True, text=True, timeout=60,
                          env=env)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


@pytest.fixture
def site(tmp_path):
    """site(rules, more=""): a configuration with one rule file and a list; its path."""
    def make(rules=RULES, more=""):
        (tmp_path / "rules.d/lists").mkdir(parents=True, exist_ok=True)
        (tmp_path / "rules.d/lists/blocked").write_text("192.0.2.64/28 ; SBL1\n")
        (tmp_path / "rules.d/10-main.rules").write_text(rules)
        (tmp_path / "postern.conf").write_text(CONFIG.format(port=free_port(), more=more))
        return tmp_path / "postern.conf"
    return make


# --- check ---

def test_check_prints_when_each_rule_is_decided(site):
    done = run("check", "-c", site())
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["blocklist", "connect", "on"] in rows
    assert ["helo", "helo", "on"] in rows
    assert ["spam", "message", "on"] in rows
    assert "4 rules, 1 list, 2 tests passed" in done.stdout


@pytest.mark.parametrize("rules, said", [
    ("rule a { when spff == fail then reject }", ":1:15: error: `spff`"),
    ("rule a { when helo == \"x\" then route away }", "there is no backend `away`"),
    ("list a : cidr from file \"nowhere\"", "rules.d/nowhere: No such file or directory"),
    ("include \"nowhere.rules\"", "No such file or directory"),
    ("include \"10-main.rules\"", "includes itself"),
    ("rule a { when helo == \"x\" then reject }\ntest \"t\" { given helo = \"y\" expect reject }",
     ":2:6: error: the test `t` fails: expected is reject; what comes is accept"),
])
def test_check_tells_mistakes_where_they_are(site, rules, said):
    done = run("check", "-c", site(rules))
    assert done.returncode == 3
    assert said in done.stderr and "10-main.rules" in done.stderr
    assert done.stdout == ""


def test_a_mistake_in_a_list_is_told_with_its_line(site):
    config = site()
    (config.parent / "rules.d/lists/blocked").write_text("192.0.2.1\nnonsense\n")
    done = run("check", "-c", config)
    assert done.returncode == 3
    assert "lists/blocked:2:" in done.stderr


def test_warnings_leave_the_exit_status(site):
    done = run("check", "-c", site("rule boss { when mail.from == \"b@a.example\" then accept }\n"
                                   "rule auth { when virus then reject }"))
    assert done.returncode == 0
    assert "rule `boss` accepts without authentication" in done.stderr
    assert "no filter of this version measures `virus`: rule `auth` is skipped" in done.stderr
    assert "2 warnings" in done.stdout


def test_rules_that_match_no_file_are_warned_of_when_they_were_named(site):
    config = site(more='rules "none/*.rules"')
    done = run("check", "-c", config)
    assert done.returncode == 0 and "no file matches" in done.stderr
    for file in (config.parent / "rules.d").glob("*.rules"):
        file.unlink()
    config.write_text(CONFIG.format(port=free_port(), more=""))
    done = run("check", "-c", config)
    assert done.returncode == 0 and done.stderr == ""


def test_files_are_read_in_the_order_of_their_bytes(site):
    config = site("rule b { when helo == \"b\" then accept }")
    rules = config.parent / "rules.d"
    for name in ("9.rules", "Z.rules", "a.rules"):
        rule = name[0]
        (rules / name).write_text(f"rule x{rule} {{ when helo == \"{rule}\" then accept }}")
    done = run("check", "-c", config, "--json")
    assert [rule["rule"] for rule in json.loads(done.stdout)["rules"]] == ["b", "x9", "xZ", "xa"]


def test_check_of_files_alone_needs_no_configuration(tmp_path):
    file = tmp_path / "x.rules"
    file.write_text("rule a { when helo == \"x\" then route anywhere }")
    done = run("check", file)
    assert done.returncode == 0 and "1 rule, 0 lists, no tests" in done.stdout
    assert run("check", tmp_path / "none.rules").returncode == 3


# --- test ---

def test_test_counts(site):
    config = site()
    assert run("test", "-c", config).stdout == "2 tests passed\n"
    verbose = run("test", "-v", "-c", config).stdout
    assert "ok    blocked (rule blocklist)" in verbose and "ok    pills (no rule)" in verbose


def test_a_failing_test_is_status_1(site):
    config = site(RULES + "test \"wrong\" { given helo = \"evil\" expect reject by helo }\n")
    done = run("test", "-c", config)
    assert done.returncode == 1
    assert "2 tests passed, 1 failed" in done.stdout
    assert "what comes is defer 451 4.7.1 \"Not now, evil\" by `helo`" in done.stderr
    assert "rules are skipped for facts that are not given: client.ip" in done.stderr
    assert run("test", config.parent / "rules.d/10-main.rules").returncode == 1


def test_test_of_rules_with_mistakes_is_status_3(tmp_path):
    file = tmp_path / "x.rules"
    file.write_text("rule a { }")
    assert run("test", file).returncode == 3


# --- fmt ---

def test_fmt_rewrites_in_place_and_keeps_the_mode(tmp_path):
    file = tmp_path / "x.rules"
    file.write_text("rule   a{when helo==\"x\" then accept}# why\n")
    file.chmod(0o640)
    done = run("fmt", "--check", file)
    assert done.returncode == 1 and "would be laid out anew" in done.stdout
    assert file.read_text().startswith("rule   a{")
    assert run("fmt", file).returncode == 0
    assert file.read_text() == "rule a { when helo == \"x\" then accept }  # why\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    before = file.stat()
    done = run("fmt", file)
    assert done.returncode == 0 and done.stdout == ""
    assert file.stat().st_ino == before.st_ino and file.stat().st_mtime_ns == before.st_mtime_ns
    assert run("fmt", "--check", file).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["x.rules"]


def test_fmt_follows_a_link_that_stays_one(tmp_path):
    file, link = tmp_path / "real.rules", tmp_path / "link.rules"
    file.write_text("rule a{then accept}")
    link.symlink_to(file)
    assert run("fmt", link).returncode == 0
    assert link.is_symlink() and file.read_text() == "rule a { then accept }\n"


def test_fmt_leaves_what_it_cannot_read(tmp_path):
    good, bad = tmp_path / "good.rules", tmp_path / "bad.rules"
    good.write_text("rule a{then accept}")
    bad.write_text("rule a{then reject \"x}")
    done = run("fmt", bad, good)
    assert done.returncode == 3 and "bad.rules:1:20: error: this string has no closing quote" in done.stderr
    assert bad.read_text() == "rule a{then reject \"x}"
    assert good.read_text() == "rule a { then accept }\n"
    assert run("fmt", tmp_path / "none").returncode == 3


def test_fmt_is_a_filter_without_files():
    done = run("fmt", stdin="rule a{then accept}")
    assert (done.returncode, done.stdout) == (0, "rule a { then accept }\n")
    assert run("fmt", "--check", stdin="rule a{then accept}").returncode == 1
    assert run("fmt", stdin="rule {").returncode == 3


# --- explain ---

def explain(config, *words, stdin=None):
    done = run("explain", "-c", config, "--no-dns", "--json", *words, stdin=stdin)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_explain_a_refusal_at_connect(site):
    status, said = explain(site(), "--ip", "192.0.2.66", "--from", "a@b.example", "--to", "c@example.com")
    to, = said["recipients"]
    assert status == 1
    assert (to["verdict"], to["rule"], to["certain"]) == ("reject", "blocklist", "connect")
    assert to["reply"] == "554 5.7.1 Blocked: SBL1"
    assert [fact["fact"] for fact in said["facts"]] == ["client.ip"]


def test_explain_without_a_message_is_undecided(site):
    config = site(RULES + "rule last { when subject is none then reject }")
    status, said = explain(config, "--ip", "192.0.2.1", "--helo", "x", "--from", "", "--to", "c@example.com")
    to, = said["recipients"]
    assert (status, to["verdict"], to["certain"], to["score"]) == (0, "undecided", None, "0 to 4.5")
    assert {"rule": "last", "mode": "on", "true": "unknown", "open": "subject"} in to["rules"]


def test_explain_a_message(site, tmp_path):
    (tmp_path / "m.eml").write_text(MESSAGE)
    status, said = explain(site(), "--ip", "192.0.2.1", "--helo", "x", "--from", "a@b.example",
                           "--to", "c@example.com", "--to", "d@example.com", tmp_path / "m.eml")
    assert status == 0
    assert [to["to"] for to in said["recipients"]] == ["c@example.com", "d@example.com"]
    for to in said["recipients"]:
        assert (to["verdict"], to["score"]) == ("accept", "4.5")
        assert to["points"] == [{"rule": "pills", "points": "+4.5", "why": "pills"}]
        assert [effect["effect"] for effect in to["effects"]] == [
            'tag "pills"', 'header add "X-Spam" "4.5"', 'subject prefix "[spam] "']
    subject = next(fact for fact in said["facts"] if fact["fact"] == "subject")
    assert subject["value"] == "cheap pills" and subject["source"] == "headers" and subject["ms"] >= 0
    status, said = explain(site(), "--ip", "192.0.2.1", "--from", "", "--to", "c@example.com", "-", stdin=MESSAGE)
    assert status == 0 and said["recipients"][0]["score"] == "4.5"


def test_explain_with_facts_given(site):
    config = site("rule auth { when spf == fail and client.country == \"XX\" then reject }\n"
                  "rule dns { when client.fcrdns == fail then defer }")
    words = ["--ip", "192.0.2.1", "--from", "a@b.example", "--to", "c@example.com"]
    status, said = explain(config, *words, "--fact", "spf=fail", "--fact", "client.country=XX")
    assert status == 1 and said["recipients"][0]["rule"] == "auth"
    assert {"fact": "spf", "value": "fail", "source": "given"} in said["facts"]
    status, said = explain(config, *words, "--fact", "spf=fail")
    rules = {rule["rule"]: rule for rule in said["recipients"][0]["rules"]}
    assert status == 0 and rules["auth"]["true"] == rules["dns"]["true"] == "skipped"
    assert "there is no DNS here" in rules["dns"]["open"]


SCHOOL = """\
for rcpt.domain == "school.example" { rule exe { when any attachment.extension in { "exe" } then reject } }
rule gone { when rcpt.local == "gone" then reject }
rule third { when rcpt.count >= 3 then reject }
"""


@pytest.mark.parametrize("more, put_off", [
    ("", [None, "452 4.5.3 Other rules apply to this one, send it in another transaction", None, None]),
    ("conflict strictest", [None, None, None, None]),
    ("protocol", [None, *["452 4.5.3 One recipient at a time, send the others in another transaction"] * 2, None]),
])
def test_explain_says_who_needs_a_transaction_of_its_own(site, more, put_off):
    config = site(SCHOOL, more="" if more == "protocol" else more)
    text = config.read_text().replace('"example.com"', '"example.com" "school.example"')
    if more == "protocol":
        text = text.replace("127.0.0.1:1\"", "127.0.0.1:1\" protocol lmtp")
    config.write_text(text)
    words = [word for to in ("a@example.com", "a@school.example", "b@example.com", "gone@example.com")
             for word in ("--to", to)]
    words += ["--ip", "192.0.2.1", "--helo", "x", "--from", ""]
    said = explain(config, *words)[1]
    assert [to["put_off"] for to in said["recipients"]] == put_off
    if not more:
        assert [to["rule"] for to in said["recipients"]] == [None, None, None, "gone"]
        printed = run("explain", "-c", config, "--no-dns", *words).stdout
        assert f"{put_off[1]}\nthen, in a transaction of its own: undecided" in printed


def test_explain_relays_for_nobody_else(site):
    status, said = explain(site(), "--ip", "192.0.2.1", "--from", "", "--to", "c@other.example")
    assert status == 1 and said["recipients"][0]["reply"].startswith("550 5.7.1 Relaying denied")


def test_explain_needs_no_configuration_with_rules(tmp_path):
    file = tmp_path / "x.rules"
    file.write_text("rule a { when helo == \"x\" then reject }")
    done = run("explain", "--rules", file, "--no-dns", "--ip", "::1", "--helo", "x", "--from", "", "--to", "a@b.example")
    assert done.returncode == 1
    assert "reject by rule a, certain at helo" in done.stdout
    assert "reply: 550 5.7.1 Message refused" in done.stdout


@pytest.mark.parametrize("words, said", [
    ([], "--ip says which client comes"),
    (["--ip", "x"], "`x` is no IP address"),
    (["--ip", "::1"], "--from says who sends"),
    (["--ip", "::1", "--from", ""], "--to says to whom"),
    (["--ip", "::1", "--from", "a@", "--to", "b@c"], "`a@` is no mail address"),
    (["--ip", "::1", "--from", "", "--to", "b@c.example", "--fact", "spf"], "--fact wants NAME=VALUE"),
    (["--ip", "::1", "--from", "", "--to", "b@c.example", "--fact", "spff=fail"], "did you mean `spf`?"),
    (["--ip", "::1", "--from", "", "--to", "b@c.example", "--fact", "spf=maybe"], "--fact spf: "),
    (["--ip", "::1", "--from", "", "--to", "b@c.example", "none.eml"], "none.eml: No such file"),
])
def test_explain_says_what_it_needs(site, words, said):
    done = run("explain", "-c", site(), *words)
    assert done.returncode == 2 and said in done.stderr, done.stderr


def test_what_a_message_says_reaches_no_terminal_raw(site, tmp_path):
    (tmp_path / "m.eml").write_bytes(b"Subject: pills \x1b[31m\x07\r\n\r\n")
    done = run("explain", "-c", site(), "--no-dns", "--ip", "::1", "--from", "", "--to", "c@example.com",
               tmp_path / "m.eml")
    assert done.returncode == 0 and "\x1b" not in done.stdout and "\x07" not in done.stdout


# --- the daemon ---

def test_the_daemon_takes_rules_and_keeps_them_when_new_ones_fail(postern, sink):
    p = postern.configured(sink(), workers=1)
    rules = p.directory / "rules.d"
    (rules / "lists").mkdir(parents=True)
    (rules / "lists/blocked").write_text("192.0.2.64/28 ; SBL1\n")
    (rules / "a.rules").write_text(RULES)
    for path in (rules, rules / "lists"):
        path.chmod(0o755)
    p.start()
    p.ready()
    (rules / "a.rules").write_text(RULES + "test \"wrong\" { given client.ip = 192.0.2.66 expect accept }")
    done = run("reload", "-c", p.file)
    assert done.returncode == 3
    assert "the test `wrong` fails" in done.stdout + done.stderr
    (rules / "a.rules").write_text(RULES)
    assert run("reload", "--wait", "-c", p.file).returncode == 0
