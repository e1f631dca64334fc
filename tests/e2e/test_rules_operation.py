"""Rules while postern runs: reload, mistakes, many rules, long lists, filters in shared objects, workers that die."""

import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import time

from harness.client import Client
from harness.postern import ROOT
from harness.process import until

BODY = b"Message-ID: <op@client.example>\r\nSubject: op\r\n\r\nbody\r\n"
OLD = 'rule one { when mail.local == "bad" then reject 550 5.7.1 "old" }\n'
NEW = 'rule one { when mail.local == "bad" then reject 550 5.7.1 "new" }\n'


def reload(p):
    done = p.cli("reload")
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)


def ask(c, sender="bad@client.example"):
    """What a session's RCPT hears, without the id."""
    c.command(f"MAIL FROM:<{sender}>")
    code, text = c.command("RCPT TO:<alice@example.com>")
    c.command("RSET")
    return f"{code} {text}".split(" (id ")[0]


def answer(p, sender="bad@client.example", source="127.0.0.1"):
    """The same of a new session."""
    with Client(p.port, source=source) as c:
        c.ehlo()
        return ask(c, sender)


# Reload.

def test_a_session_keeps_the_rules_that_it_began_with(sink, postern):
    backend = sink()
    p = postern(backend, rules=OLD + 'rule two { when subject == "op" then header add "X-Rules" "old" }')
    with Client(p.port) as old:
        old.ehlo()
        old.envelope()
        p.write("rules.d/test.rules", NEW + 'rule two { when subject == "op" then header add "X-Rules" "new" }')
        reload(p)
        assert answer(p) == "550 5.7.1 new"
        assert old.command("DATA")[0] == 354
        old.send(BODY + b".\r\n")
        assert old.reply()[0] == 250, "also in the middle of a message"
        assert ask(old) == "550 5.7.1 old"
        with Client(p.port) as c:
            c.ehlo()
            assert c.message(BODY)[0] == 250
    assert [re.search(rb"X-Rules: (\w+)", m.body)[1] for m in backend.messages] == [b"old", b"new"]


MISTAKES = {
    "a rule file": ("rules.d/b.rules", 'rule two {\n  when mial.local == "x" then reject\n}\n',
                    "rules.d/b.rules:2:8: error: ", "mail.local"),
    "a test that fails": ("rules.d/b.rules", 'test "it is new" {\n  given mail.local = "bad"\n  expect accept\n}\n',
                          "rules.d/b.rules:1:6: error: ", "it is new"),
    "a list file": ("rules.d/items", "192.0.2.0/24 fine\n192.0.2.0/33 too long\n",
                    "rules.d/items:2:1: error: ", "192.0.2.0/33"),
    "an included file": ("rules.d/c.inc", "rule three { }\n", "rules.d/c.inc:1:6: error: ", "then"),
    "a name taken twice": ("rules.d/b.rules", OLD, "rules.d/test.rules:1:6: error: ", "one"),
    "a missing list": ("rules.d/b.rules", 'list gone : cidr from file "nowhere.cidr"\nrule g { then accept }\n',
                       "rules.d/b.rules:1:", "nowhere.cidr"),
}


def test_a_reload_with_a_mistake_changes_nothing(sink, postern):
    """It says where, and the old rules stay: those of each file, not a mixture."""
    base = {"rules.d/items": "127.0.0.9\n", "rules.d/c.inc": "", "rules.d/b.rules": ""}
    p = postern.configured(sink(), rules=OLD + """
        list items : cidr from file "items"
        include "c.inc"
        rule listed { when client.ip in @items then reject "listed" }""")
    for name, text in base.items():
        p.write(name, text)
    p.start().ready()
    workers = p.wait_workers(2)
    p.write("rules.d/items", "127.0.0.8\n")  # sound, and in force only with the rest
    for what, (name, text, place, word) in MISTAKES.items():
        p.write(name, text)
        for verb in ("check", "reload"):
            done = p.cli(verb)
            said = done.stdout + done.stderr
            assert done.returncode == 3, (what, verb, said)
            assert f"{p.directory}/{place}" in said and word in said, (what, verb, said)
            line = text.split("\n")[int(place.split(":")[1]) - 1]
            assert line in said or what == "a name taken twice", (what, said)
        p.write(name, base[name] if name != "rules.d/items" else "127.0.0.8\n")
    assert p.workers() == workers and answer(p) == "550 5.7.1 old"
    assert answer(p, "good@client.example", source="127.0.0.9").startswith("550 5.7.1 listed")
    assert answer(p, "good@client.example", source="127.0.0.8").startswith("250")
    failed = until(lambda: [r for r in p.log if r.get("event") == "reload_failed"], "the log to say so")
    assert len(failed) == len(MISTAKES)
    reload(p)
    assert answer(p, "good@client.example", source="127.0.0.8").startswith("550 5.7.1 listed")


def test_lists_includes_and_the_order_of_files(sink, postern):
    """Files are read by name; includes stand where they are included; list files are read anew at each reload."""
    p = postern.configured(sink(), rules="")
    p.write("rules.d/20-second.rules", 'rule second { when mail.local == "bad" then reject 550 5.7.2 "second" }')
    p.write("rules.d/10-first.rules", 'include "../more/first.inc"\n'
                                      'rule last { when mail.local == "worse" then reject "after" }')
    p.write("more/first.inc", 'list senders : text from file "senders"\ninclude "nested.inc"\n')
    p.write("more/nested.inc",
            'rule first { when mail.local in @senders then reject 550 5.7.3 "first: {list.reason}" }')
    p.write("more/senders", "# none yet\n")
    p.write("rules.d/ignored.rules~", "this is no rule file")
    p.start().ready()
    assert answer(p) == "550 5.7.2 second"
    p.write("more/senders", "worse ; very bad\nbad ; it is bad\n")
    assert answer(p) == "550 5.7.2 second", "not before the reload"
    reload(p)
    assert answer(p) == "550 5.7.3 first: it is bad"
    assert answer(p, "worse@client.example") == "550 5.7.3 first: very bad"
    (p.directory / "rules.d/20-second.rules").unlink()
    p.write("more/senders", "")
    reload(p)
    assert answer(p).startswith("250") and answer(p, "worse@client.example") == "550 5.7.1 after"
    for rules in p.directory.glob("rules.d/*.rules"):
        rules.unlink()
    reload(p)
    assert answer(p, "worse@client.example").startswith("250"), "without rules all is accepted"


# The start.

def test_broken_rules_do_not_start(sink, postern):
    p = postern.configured(sink(), rules='rule a { when nothing == 1 then reject }\n'
                                         'rule b { when helo == 5 then accept }\n'
                                         'rule a { then discard }\nlist l : cidr { 1.2.3.4/40 }\n')
    p.start()
    p.ends_with = 3
    assert p.process.wait() == 3
    for place in ("1:15", "2:", "3:6", "4:17"):
        assert f"{p.directory}/rules.d/test.rules:{place}" in p.stderr, (place, p.stderr)
    assert p.stderr.count("^") >= 4


def test_a_rule_file_that_cannot_be_read(sink, postern):
    """A folder in its place: also root can't read that."""
    p = postern(sink(), rules=OLD)
    (p.directory / "rules.d/folder.rules").mkdir()
    done = p.cli("reload")
    assert done.returncode == 3 and "folder.rules" in done.stdout + done.stderr
    assert answer(p) == "550 5.7.1 old"
    (p.directory / "rules.d/folder.rules").rmdir()
    (p.directory / "rules.d/dangling.rules").symlink_to("nowhere")
    done = p.cli("reload")
    assert done.returncode == 3 and "dangling.rules" in done.stdout + done.stderr
    p2 = postern.configured(sink(), rules="")
    (p2.directory / "rules.d").mkdir()
    (p2.directory / "rules.d/folder.rules").mkdir()
    p2.start()
    p2.ends_with = 3
    assert p2.process.wait() == 3 and "folder.rules" in p2.stderr


def test_ten_thousand_rules_and_a_hundred_thousand_items(sink, postern):
    p = postern(sink())
    p.write("rules.d/blocked", "127.0.0.9 me\n" + "".join(
        f"10.{i >> 16}.{i >> 8 & 255}.{i & 255} item {i}\n" for i in range(100000)))
    p.write("rules.d/many.rules", 'list blocked : cidr from file "blocked"\n' + "".join(
        f'rule r{i} {{ when mail.local == "user{i}" and client.ip in @blocked '
        f'then reject 550 5.7.1 "rule {i}: {{list.reason}}" }}\n'
        for i in range(10000)))
    begin = time.monotonic()
    reload(p)
    print(f"reload with 10,000 rules and 100,000 items: {time.monotonic() - begin:.1f} s")
    assert answer(p, "user9999@client.example", source="127.0.0.9") == "550 5.7.1 rule 9999: me"
    assert answer(p, "user9999@client.example").startswith("250")
    begin = time.monotonic()
    with Client(p.port, source="127.0.0.9") as c:
        c.ehlo()
        for i in range(0, 10000, 500):
            assert ask(c, f"user{i}@client.example") == f"550 5.7.1 rule {i}: me"
    print(f"20 transactions: {time.monotonic() - begin:.2f} s")


# Filters.

def page(name):
    """The code of filters/NAME and the command that builds it, from docs/FILTERS.md."""
    text = (ROOT / "docs/FILTERS.md").read_text()
    code = re.search(rf"^`filters/{name}`:\n\n((?:    .*\n|\n)+)", text, re.M)[1]
    command = re.search(r"^    (cc .*)$", text, re.M)[1]
    return re.sub(r"^    ", "", code, flags=re.M), command


def build(directory, code, define=""):
    (directory / "filter_hello.c").write_text(code)
    command = page("filter_hello.c")[1].replace("/usr/include/postern", shlex.quote(str(ROOT)))
    subprocess.run(f"{command} {define}", shell=True, check=True, cwd=directory, capture_output=True)


HELLO_RULES = """
rule hello { then header add "X-Hello" "{hello.greeting} ({hello.length})" }
rule long  { when hello.length > 40 then reject 550 5.7.1 "{hello.greeting}" }
"""


def test_a_filter_in_a_shared_object(sink, postern):
    """That of docs/FILTERS.md, built as it says; an abort in it costs its worker, which is replaced."""
    backend = sink()
    p = postern.configured(backend, rules=HELLO_RULES, more='filter hello { load "hello.so" word "good day" }')
    code, _ = page("filter_hello.c")
    crash = '\tif (span_equal(helo, SPAN("crash.example")))\n\t\tabort();\n'
    code = "#include <stdlib.h>\n" + code.replace("\n\tcall_add_text", "\n" + crash + "\tcall_add_text", 1)
    build(p.directory, code)
    assert "hello.greeting" in p.cli("config", "doc", "facts").stdout
    assert re.search(r"^hello +word ", p.cli("config", "doc", "filters").stdout, re.M)
    p.start().ready()
    workers = p.wait_workers(2)
    with Client(p.port) as c:
        c.ehlo("joe.example")
        assert c.message(BODY)[0] == 250
        c.ehlo("x" * 41)
        assert ask(c) == f"550 5.7.1 good day, {'x' * 41}"
    assert b"\r\nX-Hello: good day, joe.example (11)\r\n" in backend.messages[0].body
    others = [Client(p.port) for _ in range(10)]
    owners = [p.owner(c) for c in others]
    with Client(p.port) as c:
        victim = p.owner(c)
        c.send(b"EHLO crash.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<alice@example.com>\r\n")
        assert 550 not in c.rest()
    new = p.wait_workers(2, without=[victim])
    assert set(workers) - {victim} <= set(new)
    for c, owner in zip(others, owners):
        assert c.command("NOOP")[0] == (None if owner == victim else 250)
        c.close()
    ended = until(lambda: [r for r in p.log if r.get("event") == "process_ended"], "a word in the log")
    assert [r["pid"] for r in ended] == [victim]
    until(lambda: answer(p).startswith("250"), "mail to flow on")


def test_a_shared_object_that_does_not_fit(sink, postern):
    p = postern(sink(), rules=OLD)
    p.configure(more='filter hello { load "hello.so" }')
    (p.directory / "hello.so").write_text("no object\n")
    done = p.cli("reload")
    assert done.returncode == 3 and "hello.so" in done.stdout + done.stderr
    build(p.directory, page("filter_hello.c")[0].replace(".version = FILTER_VERSION", ".version = FILTER_VERSION + 1"))
    done = p.cli("reload")
    assert done.returncode == 3 and "version" in done.stdout + done.stderr
    assert answer(p) == "550 5.7.1 old"


# Workers that die.

LINKS = """
list dbl : domain from dnsbl "dbl.example"
rule link { when any url.domain in @dbl then reject 550 5.7.1 "links to {url.domain}" }
"""


def test_a_worker_killed_while_a_message_waits_for_filters(sink, postern, dns):
    """Nothing was said, so nothing is anywhere; sent again it comes once. A client that leaves then is no different."""
    backend, message = sink(), BODY.replace(b"body", b"https://link.example/")
    p = postern(backend, rules=LINKS, dns=dns(None), more="timeouts { filter 2s }")
    def waiting():
        workers = (worker.get("status") or {} for worker in p.status()["workers"])
        return [s for status in workers for s in status.get("session_list", ()) if s["state"] == "judge"]
    def send(c):
        c.ehlo()
        c.envelope()
        assert c.command("DATA")[0] == 354
        c.send(message + b".\r\n")
        return until(waiting, "the session to wait for filters")[0]
    with Client(p.port) as c:
        assert send(c)["waits_for"] == "dnsbl"
        os.kill(p.owner(c), signal.SIGKILL)
        assert c.reply()[0] is None
    with Client(p.port) as c:
        send(c)
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no half-close
    until(lambda: not waiting(), "the session to end with its client")
    assert not backend.messages
    with Client(p.port) as c:
        send(c)
        assert c.reply()[0] == 250, "the lookup has failed, and the rule is skipped"
    assert backend.count() == {"op": 1}


def test_a_shared_object_is_replaced_by_a_reload(sink, postern):
    """The new one's facts are those that rules may name; sessions that go on keep the old one."""
    p = postern.configured(sink(), rules=HELLO_RULES, more='filter hello { load "hello.so" }')
    code, _ = page("filter_hello.c")
    build(p.directory, code)
    p.start().ready()
    with Client(p.port) as old:
        old.ehlo("x" * 41)
        build(p.directory, code.replace('"hello.length"', '"hello.size"').replace('"%s, %.*s"', '"%s again, %.*s"'))
        p.write("rules.d/test.rules", HELLO_RULES.replace("hello.length", "hello.size"))
        reload(p)
        assert ask(old) == f"550 5.7.1 hello, {'x' * 41}"
    with Client(p.port) as c:
        c.ehlo("x" * 41)
        assert ask(c) == f"550 5.7.1 hello again, {'x' * 41}"
