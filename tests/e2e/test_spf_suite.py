"""The RFC 7208 test suite (python3-spf ships it) over SMTP: each case is a session of a client at the address that the
case names, brought by a PROXY header, and postern says its result in the refusal.

Two of the 203 can't be said in SMTP, since the grammar of MAIL refuses their addresses: an empty label, and one of more
than 63 bytes. That it does is a case here too.
"""

import gzip
import re
from pathlib import Path

import pytest
import yaml

from harness import proxy_header
from harness.answers import Answers
from harness.client import Client
from harness.postern import Postern
from harness.sink import Sink

SUITE = Path("/usr/share/doc/python3-spf/rfc7208-tests.yml.gz")
NOT_IN_SMTP = ("toolonglabel", "emptylabel")
REFUSAL = re.compile(r"5\.7\.1 SPF=(?P<result>\w+) EXPLANATION=(?P<explanation>.*) \(id \w{12}\)")
RULES = """
rule none    { when spf == none then reject 550 5.7.1 "SPF=none EXPLANATION=" }
rule spf     { when spf is not none then reject 550 5.7.1 "SPF={spf} EXPLANATION={spf.explanation}" }
rule skipped { then reject 550 5.7.1 "SPF=skipped EXPLANATION=" }
"""
OPTIONS = "limits { errors 1000 junk 1000 per_client 1000 }"


def scenarios():
    with gzip.open(SUITE) as suite:
        return [part for part in yaml.safe_load_all(suite) if part]


SCENARIOS = scenarios()
CASES = [(part, name) for part, scenario in enumerate(SCENARIOS) for name in scenario["tests"]]


@pytest.fixture(scope="module")
def site():
    """site(part): a postern whose only DNS is that part's zone. The last one runs until another is asked for."""
    running = {}

    def stop():
        for server in running.pop("servers", ()):
            server.stop()

    def start(part):
        if running.get("part") != part:
            stop()
            backend, names = Sink(), Answers(SCENARIOS[part]["zonedata"])
            running.update(part=part, servers=[backend, names])
            p = Postern(backend, listen="tls none proxy_protocol from { 127.0.0.0/8 }", dns=names, rules=RULES,
                        more=OPTIONS, workers=1)
            running["servers"].insert(0, p)
            running["postern"] = p.start().ready(proxy_header.v2("192.0.2.1"))
        return running["postern"]

    yield start
    stop()


def path_of(mailbox):
    """As MAIL has it: a local part that is no dot-string in quotes."""
    if not mailbox:
        return ""
    local, domain = mailbox.rsplit("@", 1)
    plain = re.fullmatch(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*", local)
    return f"{local}@{domain}" if plain else f'"{local}"@{domain}'


def ask(p, case, header):
    """(the code of MAIL, the refusal of RCPT)."""
    client = Client(p.port, header=header(case["host"]))
    assert client.command(f"EHLO {case['helo']}")[0] == 250
    code, _ = client.command(f"MAIL FROM:<{path_of(case['mailfrom'])}>")
    said = client.command("RCPT TO:<alice@example.com>") if code == 250 else (None, "")
    client.socket.close()
    return code, said


def test_the_suite_is_whole():
    assert len(CASES) == 203
    assert sum(name in NOT_IN_SMTP for _, name in CASES) == 2


@pytest.mark.parametrize("part, name", CASES, ids=[name for _, name in CASES])
def test_case(site, part, name):
    case = SCENARIOS[part]["tests"][name]
    header = proxy_header.v1 if CASES.index((part, name)) % 2 else proxy_header.v2
    code, (refused, text) = ask(site(part), case, header)
    if name in NOT_IN_SMTP:
        assert code == 501
        return
    assert (code, refused) == (250, 550), text
    said = REFUSAL.fullmatch(text)
    assert said, text
    results = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert said["result"] in results, case.get("description")
    if said["result"] == "fail" and "explanation" in case:
        assert said["explanation"] == case["explanation"].replace("DEFAULT", "")
