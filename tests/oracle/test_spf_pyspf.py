"""postern's SPF beside pyspf's, over generated zones; where they differ, spf_rulings.py says who is right.

POSTERN_SPF_CASES=100000 asks about more of them.
"""

import os
import socket

import pytest
import spf

import spf_rulings
from spf_ask import TROUBLE, Evaluator
from spf_generate import Generator

CASES = int(os.environ.get("POSTERN_SPF_CASES", 3000))
CHUNK = 250
RECEIVER = "mx.example.net"


@pytest.fixture(scope="module")
def evaluator():
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()


def use(monkeypatch, zone):
    """Has pyspf ask this zone."""
    def look_up(name, type, *_):
        records = zone.find(name, type)
        if records == TROUBLE:
            raise spf.TempError("DNS does not answer")
        if type == "AAAA":
            records = [socket.inet_pton(socket.AF_INET6, r) for r in records]
        if type == "PTR":
            records = [r.lower() for r in records]  # as postern's DNS says it
        return [((name, type), (r,) if type == "TXT" else r) for r in records]
    monkeypatch.setattr(spf, "DNSLookup", look_up)


def theirs(query, case):
    """(result, explanation)"""
    query = query(i=case.client, s=case.sender, h=case.helo, receiver=RECEIVER)
    query.set_default_explanation("")
    result, _, explanation = query.check()
    return result, explanation if result == "fail" else ""


def ours(evaluator, case):
    evaluator.load(case.zone)
    result = evaluator.check(case.client, case.helo, case.sender, RECEIVER)
    return result.code, result.explanation


@pytest.mark.parametrize("start", range(0, CASES, CHUNK))
def test_as_pyspf_has_it(evaluator, monkeypatch, start):
    query = spf_rulings.ruled()
    differences = []
    for seed in range(start, min(start + CHUNK, CASES)):
        case = Generator(seed).case()
        use(monkeypatch, case.zone)
        if (us := ours(evaluator, case)) != (them := theirs(query, case)):
            differences.append(f"seed {seed}: ours {us}, pyspf's {them}: {case}")
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("name, seed", spf_rulings.EXAMPLES.items())
def test_ruling_is_needed(evaluator, monkeypatch, name, seed):
    case = Generator(seed).case()
    use(monkeypatch, case.zone)
    assert ours(evaluator, case) == theirs(spf_rulings.ruled(), case)
    assert ours(evaluator, case) != theirs(spf_rulings.ruled(without=name), case)


def test_each_ruling_has_an_example():
    assert {ruling.name for ruling in spf_rulings.RULINGS} == set(spf_rulings.EXAMPLES)
