"""What postern, dkimpy and Mail::DKIM make of the same messages."""

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
    """For each message: ((code, oldest, sealers, problem) of postern, dkimpy's, Mail::DKIM's)."""
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
        keys.writelines(f"{name}\t{text}\n" for name, (text, _) in arc_chains.RECORDS.items())
        keys.flush()
        ours = lines_of([BUILD / "tests/oracle/arc_tool", keys.name, str(int(time.time()))], messages)
        perl = lines_of([HERE / "arc_mail_dkim.pl", keys.name], messages)
    perl = [{"pass": "pass", "none": "none"}.get(line[0], "fail") for line in perl]
    return list(zip(ours, (dkimpy(m) for m in messages), perl))
