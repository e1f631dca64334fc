"""The test suite of RFC 7208, as python3-spf ships it: each of its cases is a test."""

import gzip
from pathlib import Path

import pytest
import yaml

from spf_ask import TYPES, Evaluator, Zone

SUITE = Path("/usr/share/doc/python3-spf/rfc7208-tests.yml.gz")
CASES = 203
NO_EXPLANATION = "DEFAULT"  # the suite's word for what the receiver says if the domain says nothing


def entries(records):
    """[(type, value)] of a name, "TIMEOUT" among them. SPF stands for TXT where no TXT is given."""
    pairs = [("TIMEOUT", None) if r == "TIMEOUT" else next(iter(r.items())) for r in records]
    has_txt = any(type == "TXT" for type, _ in pairs)
    return [("TXT" if type == "SPF" and not has_txt else type, value) for type, value in pairs
            if value != "NONE"]


def text(value):
    return "".join([value] if isinstance(value, str) else value).encode("latin-1")


def fill(zone, name, type, pairs, of):
    """The records of a type at a name, through aliases; in trouble where the suite says so, or they go in circles."""
    seen = set()
    while [v for t, v in pairs if t == "CNAME"] and not any(t == type for t, _ in pairs):
        alias = next(v for t, v in pairs if t == "CNAME").lower().rstrip(".")
        if alias in seen:
            zone.break_down(name, type)
            return
        seen.add(alias)
        pairs = of.get(alias, [])
    values = [v for t, v in pairs if t == type]
    for value in values:
        zone.add(name, type, text(value) if type == "TXT" else tuple(value) if type == "MX" else value)
    if not values and ("TIMEOUT", None) in pairs:
        zone.break_down(name, type)


def zone_of(data):
    of = {name.lower(): entries(records) for name, records in data.items()}
    zone = Zone()
    for name, pairs in of.items():
        for type in TYPES:
            fill(zone, name, type, pairs, of)
    return zone


def scenarios():
    with gzip.open(SUITE) as file:
        return list(yaml.safe_load_all(file.read()))


def cases():
    return [pytest.param(scenario, case, id=name) for scenario in scenarios()
            for name, case in scenario["tests"].items()]


@pytest.fixture(scope="module")
def evaluator():
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()


def test_the_suite_is_whole():
    assert len(cases()) == CASES


@pytest.mark.parametrize("scenario, case", cases())
def test_rfc7208(evaluator, scenario, case):
    evaluator.load(zone_of(scenario["zonedata"]))
    result = evaluator.check(str(case["host"]), case["helo"], case["mailfrom"])
    wanted = [case["result"]] if isinstance(case["result"], str) else case["result"]
    assert result.code == wanted[0] or result.code in wanted, result
    if "explanation" in case:
        assert (result.explanation or NO_EXPLANATION) == case["explanation"]
