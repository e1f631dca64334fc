"""`postern quarantine` on files in the documented form (docs/OPERATING.md): list, show, delete, release to a backend."""

import fcntl
import json
import os
import pty
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness import fault
from harness.postern import BINARY

CONTENT = b"Received: from client.example\r\nMessage-ID: <held@client.example>\r\nSubject: held\r\n\r\n.dot\r\nbody\r\n"
HEAD = """\
X-Postern-Quarantine-Version: 1
X-Postern-Quarantine-ID: {id}
X-Postern-Quarantine-Time: {time}
X-Postern-Quarantine-Session: K7Q2M4T6A9ZC
X-Postern-Quarantine-Transaction: K7Q2M4T6A9ZC.1
X-Postern-Quarantine-Client: 192.0.2.7:4711
X-Postern-Quarantine-Client-Name: mail.client.example
X-Postern-Quarantine-Local: 192.0.2.1:25
X-Postern-Quarantine-Helo: {helo}
X-Postern-Quarantine-Protocol: ESMTP TLS
X-Postern-Quarantine-From: {mail}
{rcpts}
{backend}X-Postern-Quarantine-Rule: exe
X-Postern-Quarantine-Why: {why}
X-Postern-Quarantine-Score: 7.5
X-Postern-Quarantine-Size: {size}
"""


class Held:
    """The quarantine of a Postern that need not run."""

    def __init__(self, postern):
        self.postern = postern
        self.folder = postern.directory / "state" / "quarantine" / "new"
        self.folder.mkdir(parents=True)

    def put(self, id, content=CONTENT, time="2026-11-23T16:00:00.000Z", helo="client.example", mail="<a@client.example>",
            to=("<b@example.com>",), backend="", why="executable attached", size=None):
        rcpts = "\n".join(f"X-Postern-Quarantine-To: {t}" for t in to)
        backend = backend and f"X-Postern-Quarantine-Backend: {backend}\n"
        head = HEAD.format(id=id, time=time, helo=helo, mail=mail, rcpts=rcpts, backend=backend, why=why,
                           size=len(content) if size is None else size)
        (self.folder / id).write_bytes(head.replace("\n", "\r\n").encode() + content)
        return id

    def cli(self, *args):
        return self.postern.cli("quarantine", *args)

    @property
    def ids(self):
        return sorted(p.name for p in self.folder.iterdir())


@pytest.fixture
def held(postern, sink):
    """held(backend, **options): a quarantine in front of a backend; without one in front of a sink of its own."""
    def start(backend=None, **options):
        return Held(postern.configured(backend or sink(), **options))
    return start


# ls.

def test_ls_has_the_newest_last(held):
    h = held()
    h.put("B.1", time="2026-11-23T17:00:00.000Z", why="100%25 %1B[31m red%0A")
    h.put("A.1", time="2026-11-24T17:00:00.000Z", to=["<b@example.com>", "<c@example.com>", "<d@example.com>"])
    h.put("C.1", time="2026-11-22T17:00:00.000Z", mail="<>")
    done = h.cli("ls")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "C.1", "B.1", "A.1"]
    assert "2026-11-22 17:00:00  <>" in lines[1]
    assert "100% ?[31m red?" in lines[2] and "\x1b" not in done.stdout
    assert "<b@example.com> and 2 more" in lines[3] and " exe " in lines[3]


def test_ls_json(held):
    h = held()
    assert json.loads(h.cli("ls", "--json").stdout) == []
    h.put("B.1", time="2026-11-23T17:00:00.000Z", to=["<b@example.com>", "<c@example.com>"])
    h.put("A.1", time="2026-11-23T18:00:00.000Z", why="%1B x")
    first, second = json.loads(h.cli("ls", "--json").stdout)
    assert (first["id"], second["id"]) == ("B.1", "A.1")
    assert first["time"] == "2026-11-23T17:00:00.000Z"
    assert first["client"] == {"ip": "192.0.2.7", "port": 4711, "rdns": "mail.client.example"}
    assert first["from"] == "a@client.example" and first["to"] == ["b@example.com", "c@example.com"]
    assert first["size"] == len(CONTENT) and first["rule"] == "exe" and first["score"] == 7.5
    assert second["why"] == "\x1b x"


def test_an_empty_and_a_missing_quarantine(held):
    h = held()
    assert "empty" in h.cli("ls").stdout
    h.folder.rmdir()
    done = h.cli("ls")
    assert (done.returncode, "empty" in done.stdout) == (0, True), done.stderr
    assert h.cli("show", "A.1").returncode == 1


def test_damaged_files_are_listed_and_not_believed(held):
    h = held()
    h.put("GOOD.1")
    h.put("SHORT.1", size=len(CONTENT) + 1)
    h.put("EVIL.1", mail="<a%0D%0AQUIT@client.example>")
    (h.folder / "EMPTY.1").write_bytes(b"")
    (h.folder / "link.1").symlink_to("/etc/passwd")
    (h.folder / "folder.1").mkdir()
    os.mkfifo(h.folder / "fifo.1")
    done = h.cli("ls")
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if "damaged:" in line]) == 6, done.stdout
    assert "root:" not in done.stdout
    for id in ("SHORT.1", "EVIL.1", "EMPTY.1", "link.1", "folder.1", "fifo.1"):
        assert h.cli("show", id).returncode == 1
        assert h.cli("release", id).returncode == 1
    entries = {e["id"]: e for e in json.loads(h.cli("ls", "--json").stdout)}
    assert "damaged" in entries["SHORT.1"] and "damaged" not in entries["GOOD.1"]


# show.

def test_show(held):
    h = held()
    h.put("A.1", helo="%1B]0;x%07")
    done = h.cli("show", "A.1")
    assert done.returncode == 0, done.stderr
    for said in ("192.0.2.7:4711 mail.client.example", "<a@client.example>", "<b@example.com>", "executable attached",
                 "Subject: held", "?]0;x?"):
        assert said in done.stdout
    raw = subprocess.run([BINARY, "quarantine", "-c", h.postern.file, "show", "A.1", "--raw"], capture_output=True)
    assert raw.stdout == CONTENT
    assert json.loads(h.cli("show", "A.1", "--json").stdout)["helo"] == "\x1b]0;x\x07"


def test_show_makes_controls_visible_on_a_terminal(held):
    h = held()
    h.put("A.1", content=b"Subject: \x1b[2Jx\xc2\x9b\xff\r\n\r\n\xc3\xbc\tbody\r\n")
    ours, theirs = pty.openpty()
    subprocess.run([BINARY, "quarantine", "-c", h.postern.file, "show", "A.1"], stdout=theirs, check=True)
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 65536):
            text += part
    except OSError:
        pass  # the end of a terminal
    os.close(ours)
    assert b"Subject: ?[2Jx??\r\n\r\n\xc3\xbc" in text and b"\x1b" not in text


def test_an_unknown_id_is_told_with_the_nearest(held):
    h = held()
    h.put("K7Q2M4T6A9ZC.1")
    for verb in ("show", "release", "delete"):
        done = h.cli(verb, "K7Q2M4T6A9ZD.1")
        assert done.returncode == 1
        assert "did you mean `K7Q2M4T6A9ZC.1`" in done.stderr, (verb, done.stderr)
    for id in ("../../postern.conf", "", ".", "..", "a/b"):
        assert h.cli("show", id).returncode == 1
        assert h.cli("delete", id).returncode == 1
    assert h.postern.file.exists()


# delete.

def test_delete(held):
    h = held()
    for id in ("A.1", "B.1", "C.1"):
        h.put(id)
    assert h.cli("delete", "A.1").returncode == 0
    assert h.ids == ["B.1", "C.1"]
    done = h.cli("delete", "A.1", "B.1")
    assert done.returncode == 5 and "1 message deleted" in done.stdout
    assert h.ids == ["C.1"]


def test_delete_older(held):
    h = held()
    for id, days in (("OLD.1", 8), ("YOUNG.1", 6)):
        h.put(id)
        os.utime(h.folder / id, (time.time() - days * 86400,) * 2)
    assert h.cli("delete", "--older", "7d", "YOUNG.1").returncode == 2
    assert h.cli("delete", "--older", "soon").returncode == 2
    assert h.cli("delete").returncode == 2
    assert h.cli("delete", "--older", "7d").returncode == 0
    assert h.ids == ["YOUNG.1"]


def test_options_that_do_not_belong(held):
    h = held()
    h.put("A.1")
    for args in (["ls", "--raw"], ["ls", "A.1"], ["show"], ["show", "A.1", "B.1"], ["delete", "A.1", "--keep"], ["release"],
                 ["release", "A.1", "--older", "1d"], ["eat"]):
        done = h.cli(*args)
        assert done.returncode == 2, (args, done.stdout, done.stderr)
    assert h.ids == ["A.1"]


def test_a_mistake_elsewhere_in_the_configuration_disables_release_only(held):
    h = held(more="nonsense yes")
    h.put("A.1")
    assert h.cli("ls").returncode == 0
    assert h.cli("show", "A.1").returncode == 0
    assert h.cli("release", "A.1").returncode == 3
    assert h.cli("delete", "A.1").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
def test_a_stranger_is_told_what_to_do(held):
    h = held()
    h.put("A.1")
    os.chmod(h.folder.parent, 0o700)
    program = shutil.copy(BINARY, Path(h.postern.file).parent)  # the tree may lie where only root gets
    done = subprocess.run([program, "quarantine", "-c", h.postern.file, "ls"], capture_output=True, text=True, user=12345)
    assert done.returncode == 1 and "run this as root" in done.stderr, done.stderr


# release.

def test_release_hands_it_over_and_deletes_it(held, sink):
    backend = sink()
    h = held(backend)
    h.put("A.1", mail="<a@client.example> BODY=8BITMIME RET=HDRS ENVID=x+2By",
          to=["<b@example.com> NOTIFY=NEVER ORCPT=rfc822;o+40x", "<c@example.com>"])
    done = h.cli("release", "A.1")
    assert done.returncode == 0, done.stderr
    assert "A.1: released: 250" in done.stdout
    message, = backend.messages
    assert message.body == CONTENT
    commands = b"".join(message.connection.commands)
    for said in (b"MAIL FROM:<a@client.example>", b"RET=HDRS", b"ENVID=x+2By", b"RCPT TO:<c@example.com>",
                 b"RCPT TO:<b@example.com> NOTIFY=NEVER ORCPT=rfc822;o+40x"):
        assert said in commands, commands
    assert h.ids == []
    assert h.cli("release", "A.1").returncode == 1
    assert len(backend.messages) == 1


def test_release_shows_the_backend_the_client_that_brought_it(held, sink):
    backend = sink(proxy=True)
    h = held(backend, backend_options="client_info proxy_v2")
    h.put("A.1")
    assert h.cli("release", "A.1").returncode == 0
    assert backend.messages[0].connection.proxied == ("192.0.2.7", 4711)


def test_release_of_a_large_message(held, sink):
    content = b"Subject: large\r\n\r\n" + b".stuffed line of the body\r\n" * 400000
    backend = sink(extensions=["PIPELINING", "8BITMIME"])
    h = held(backend)
    h.put("A.1", content=content)
    assert h.cli("release", "A.1").returncode == 0
    assert backend.messages[0].body == content


def test_release_to_another_and_keep(held, sink):
    backend = sink()
    h = held(backend)
    h.put("A.1", to=["<b@example.com>", "<c@example.com>"])
    assert h.cli("release", "A.1", "--to", "no address").returncode == 2
    done = h.cli("release", "A.1", "--to", "admin@example.com", "--keep")
    assert done.returncode == 0, done.stderr
    commands = b"".join(backend.messages[0].connection.commands)
    assert b"RCPT TO:<admin@example.com>" in commands and b"b@example.com" not in commands
    assert h.ids == ["A.1"]


@pytest.mark.parametrize("stage, answer, status, said", [
    ("rcpt", "550 5.1.1 No such user here", 1, "No such user here"),
    ("dot", "451 4.3.0 Not now", 1, "Not now"),
    ("stored", None, 5, "may have arrived"),
])
def test_what_the_backend_does_not_take_stays(held, sink, stage, answer, status, said):
    backend = sink()
    h = held(backend)
    h.put("A.1")
    backend.fail(stage, fault.reply(answer) if answer else fault.close())
    done = h.cli("release", "A.1")
    assert done.returncode == status, (done.stdout, done.stderr)
    assert said in done.stderr and "A.1: kept" in done.stderr
    assert h.ids == ["A.1"]
    assert h.cli("release", "A.1").returncode == 0, "the next try"
    assert h.ids == []


def test_one_refused_recipient_holds_back_all_and_is_named(held, sink):
    backend = sink(users=["b@example.com"])
    h = held(backend)
    h.put("A.1", to=["<b@example.com>", "<nobody@example.com>"])
    done = h.cli("release", "A.1")
    assert done.returncode == 1
    assert "<nobody@example.com>: 5" in done.stderr and "<b@example.com>: 5" not in done.stderr
    assert backend.messages == [] and h.ids == ["A.1"]


def test_lmtp_gets_one_recipient_at_a_time(held, sink):
    backend = sink(protocol="lmtp", users=["b@example.com", "c@example.com"])
    h = held(backend)
    h.put("A.1", to=["<b@example.com>", "<nobody@example.com>", "<c@example.com>"])
    h.put("B.1", to=["<b@example.com>", "<c@example.com>"])
    done = h.cli("release", "A.1")
    assert done.returncode == 5, done.stderr
    assert "2 of 3 recipients have it" in done.stderr
    assert [m.recipients for m in backend.messages] == [[b"TO:<b@example.com>"], [b"TO:<c@example.com>"]]
    assert h.cli("release", "B.1").returncode == 0
    assert h.ids == ["A.1"]


def test_an_unreachable_backend(held, sink):
    backend = sink()
    h = held(backend)
    h.put("A.1")
    backend.refuse()
    done = h.cli("release", "A.1")
    assert done.returncode == 4 and "not reachable" in done.stderr, done.stderr
    assert h.ids == ["A.1"]


def test_a_route_that_is_gone(held):
    h = held()
    h.put("A.1", backend="elsewhere")
    h.put("B.1", backend="main")
    done = h.cli("release", "A.1", "B.1")
    assert done.returncode == 5 and "not configured" in done.stderr
    assert h.ids == ["A.1"]


def test_one_that_is_being_released_is_left_alone(held, sink):
    backend = sink()
    h = held(backend)
    h.put("A.1")
    with open(h.folder / "A.1", "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for verb in ("release", "delete"):
            done = h.cli(verb, "A.1")
            assert done.returncode == 1 and "another command" in done.stderr
    assert backend.messages == []
    assert h.cli("release", "A.1").returncode == 0


def test_the_daemon_makes_the_folders_for_its_account(sink, postern):
    p = postern(sink())
    folder = p.directory / "state" / "quarantine"
    for name in ("", "tmp", "new"):
        info = (folder / name).stat()
        assert info.st_mode & 0o777 == 0o700
        assert info.st_uid == (p.directory / "state").stat().st_uid
    assert p.cli("quarantine", "ls").returncode == 0
