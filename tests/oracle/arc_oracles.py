"""What postern, dkimpy and Mail::DKIM make of the same messages."""

import fnmatch
import os
import subprocess
import tempfile
import time
from pathlib import Path

import dkim

import arc_chains

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("POSTERN_BUILD", HERE.parents[1] / "build/asan"))


def written(messages):
    return b"".join(b"%d\n" % len(m) + m for m in messages)


def lines_of(command, messages):
    run = subprocess.run(command, input=written(messages), capture_output=True)
    lines = run.stdout.decode(errors="replace").splitlines()
    assert run.returncode == 0 and len(lines) == len(messages), run.stderr.decode(errors="replace")
    return [line.split("\t") for line in lines]


def dkimpy(message):
    """"pass", "fail" or "none"."""
    def lookup(name, timeout=5):
        text = arc_chains.RECORDS.get(name.decode().rstrip(".").lower(), (None,))[0]
        if text == "!":
            raise dkim.DnsTimeoutError("no answer")
        return text.encode() if text is not None else None
    try:
        outcome = dkim.ARC(message).verify(dnsfunc=lookup)[0]
    except Exception as error:  # it has several of its own, and lets Python's through
        return "fail" if isinstance(error, dkim.DKIMException) else f"raises {type(error).__name__}"
    return {dkim.CV_Pass: "pass", dkim.CV_Fail: "fail", dkim.CV_None: "none", None: "fail"}[outcome]


def verdicts(messages):
    """For each message: ((code, oldest, sealers, problem) of postern, dkimpy's, Mail::DKIM's, or "slow")."""
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
        keys.writelines(f"{name}\t{text}\n" for name, (text, _) in arc_chains.RECORDS.items())
        keys.flush()
        ours = lines_of([BUILD / "tests/oracle/arc_tool", keys.name, str(int(time.time()))], messages)
        perl = lines_of([HERE / "arc_mail_dkim.pl", keys.name], messages)
    perl = [line[0] if line[0] in ("pass", "none", "slow") else "fail" for line in perl]
    return list(zip(ours, (dkimpy(m) for m in messages), perl))


def rulings():
    """[(oracle, feature, postern's, its, why)] of arc_rulings.txt."""
    lines = (HERE / "arc_rulings.txt").read_text().splitlines()
    return [tuple(cell.strip() for cell in line.split("|")) for line in lines if line and not line.startswith("#")]


def differing(ours, theirs):
    """Which oracles say otherwise: [(name, verdict)]."""
    return [(name, code) for name, code in zip(("dkimpy", "Mail::DKIM"), theirs) if code not in (ours, "slow")]


def ruling_for(rows, oracle, found, ours, its):
    """The row about a message with these features, or None."""
    return next((row for row in rows if (row[0], row[2], row[3]) == (oracle, ours, its)
                 and any(fnmatch.fnmatchcase(feature, row[1]) for feature in found)), None)
