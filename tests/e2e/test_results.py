"""Authentication-Results of a running postern, with a filter of our own that has results for each message: what the mail
server gets, what quarantine keeps and releases, what explain shows; and clients that try to write it themselves."""

import email
import email.policy
import json
import re
import shlex
import subprocess

import authres
import pytest

from harness.client import Client
from harness.postern import ROOT

ID = "site.example.com"
STAMP = r"""
#include "filters/filter.h"

enum { STAMP_RESULTS, STAMP_FIELD };

static const struct fact facts[] = {
	[STAMP_RESULTS] = {"stamp.results", TYPE_TEXT, STAGE_HELO,
		FACT_MANY | FACT_IN_TEXTS | FACT_AUTHRES, NULL, "the HELO name, as results"},
	[STAMP_FIELD] = {"stamp.field", TYPE_TEXT, STAGE_HELO,
		FACT_MANY | FACT_IN_TEXTS | FACT_TRACE, NULL, "the HELO name, as a field"},
	{.name = NULL},
};

/* Careless: the name stands where it may, and where it may not. */
static enum call_status run(struct call *call)
{
	struct span helo = call_view(call)->helo;
	struct arena *arena = call_arena(call);

	call_add_text(call, STAMP_RESULTS,
		span_text(arena_print(arena, "stamp=pass smtp.helo=%.*s", SPAN_ARGS(helo))));
	call_add_text(call, STAMP_RESULTS,
		span_text(arena_print(arena, "stamp=fail (%.*s)", SPAN_ARGS(helo))));
	call_add_text(call, STAMP_RESULTS,
		span_text(arena_print(arena, "stamp=neutral reason=\"%.*s\"", SPAN_ARGS(helo))));
	call_add_text(call, STAMP_RESULTS, SPAN("stamp=policy policy.always=here"));
	call_add_text(call, STAMP_FIELD,
		span_text(arena_print(arena, "Received-Stamp: pass (%.*s)", SPAN_ARGS(helo))));
	return CALL_DONE;
}

const struct filter filter_stamp = {.version = FILTER_VERSION,
	.name = "stamp",
	.facts = facts,
	.run = run};
"""
MORE = f'filter stamp {{ load "stamp.so" }}\nauthserv_id "{ID}"'
BODY = (b"Authentication-Results: site.example.com; stamp=pass smtp.helo=bank.example\r\n"
        b"Authentication-Results: =?utf-8?q?site.example.com?=; stamp=pass smtp.helo=bank.example\r\n"
        b"Authentication-Results: (x) SITE.example.com 1 ; stamp=pass smtp.helo=bank.example\r\n"
        b"Authentication-Results: other.example; stamp=pass smtp.helo=theirs.example\r\n"
        b"Subject: stamped\r\n\r\nbody\r\n")
NAMES = ("client.example", "[192.0.2.1]", "a;b", "x; dkim=pass header.d=bank.example", "(", ")", "a)b(c", '"', '\\"', "\\",
         '"; dkim=pass header.d=bank.example; x="', "a=b", "x) dkim=pass (y", "@", "%0d%0aX-Forged:%20yes", "<a@b>", "none",
         "x" * 250, "a b c d", "=?utf-8?q?x?=", "1/2", ". .", "(((((((((((((((((((", '" reason="x')


def build(directory):
    (directory / "filter_stamp.c").write_text(STAMP)
    subprocess.run(f"cc -std=c17 -D_GNU_SOURCE -Wall -Werror -shared -fPIC -Dfilter_stamp=postern_filter "
                   f"-I{shlex.quote(str(ROOT))} -o stamp.so filter_stamp.c", shell=True, check=True, cwd=directory)


@pytest.fixture
def stamped(sink, postern):
    """stamped(**options): (postern with that filter, its backend)."""
    def start(results="always", **options):
        backend = sink()
        p = postern.configured(backend, results=results, more=MORE, workers=1, **options)
        build(p.directory)
        return p.start().ready(), backend
    return start


def results_of(body):
    """What python3-authres reads in the fields under our name; there is one at most."""
    message = email.message_from_bytes(body, policy=email.policy.compat32)
    headers = [authres.AuthenticationResultsHeader.parse(re.sub(r"\r\n(?=[ \t])", "", f"Authentication-Results: {value}"))
               for value in message.get_all("Authentication-Results", [])]
    ours = [h for h in headers if h.authserv_id == ID]
    assert len(ours) <= 1, body
    return ours[0].results if ours else None


def stamps(results):
    return [(r.result, [(p.type, p.name, p.value) for p in r.properties]) for r in results if r.method == "stamp"]


HERE = ("policy", [("policy", "always", "here")])


def send(p, helo="client.example", body=BODY):
    with Client(p.port) as c:
        c.command(f"EHLO {helo}")
        return c.message(body)


def test_each_message_has_its_results(stamped):
    """Without any rule; the field stands below our Received, and what came in under our name is gone."""
    p, backend = stamped()
    assert send(p)[0] == 250
    body, = (m.body for m in backend.messages)
    assert re.match(rb"Received-Stamp: pass \(client\.example\)\r\nReceived: from client\.example .*?\r\n"
                    rb"Authentication-Results: site\.example\.com;\r\n\t", body, re.S)
    assert stamps(results_of(body)) == [("pass", [("smtp", "helo", "client.example")]), ("fail", []), ("neutral", []), HERE]
    assert b"bank.example" not in body
    assert body.count(b"\r\nAuthentication-Results: other.example; stamp=pass smtp.helo=theirs.example\r\n") == 1


def test_no_client_writes_them(stamped):
    """Whatever a client calls itself, python3-authres reads the field, and finds no method but what was measured."""
    p, backend = stamped()
    for name in NAMES:
        assert send(p, name)[0] == 250, name
    assert len(backend.messages) == len(NAMES)
    for name, message in zip(NAMES, backend.messages):
        results = results_of(message.body)
        assert HERE in stamps(results), name
        assert not [r for r in results if "bank" in str(r)] or "bank" in name, name
        assert "X-Forged" not in email.message_from_bytes(message.body), name
        assert [r for r in results if r.method == "dkim" and r.result == "pass"] == [], name


def test_on_demand_only_what_a_rule_reads(stamped):
    p, backend = stamped(results="on_demand", rules='rule h { when helo == "x.example" then header add "X" "{stamp.results}" }')
    assert send(p)[0] == send(p, "x.example")[0] == 250
    without, with_results = (m.body for m in backend.messages)
    assert results_of(without) is None and b"bank.example" not in without
    assert HERE in stamps(results_of(with_results))


def test_quarantine_keeps_them(stamped):
    """What is released has the results of the day on which it came."""
    p, backend = stamped(rules='rule q { when subject == "stamped" then quarantine "held" }')
    assert send(p)[0] == 250 and not backend.messages
    id, = (entry["id"] for entry in json.loads(p.cli("quarantine", "ls", "--json").stdout))
    assert p.cli("quarantine", "release", id).returncode == 0
    body, = (m.body for m in backend.messages)
    assert HERE in stamps(results_of(body)) and b"bank.example" not in body


def test_explain_shows_the_header(stamped, tmp_path):
    p, backend = stamped()
    (tmp_path / "m.eml").write_bytes(BODY)
    words = ["explain", "--no-dns", "--ip", "192.0.2.1", "--helo", "client.example", "--from", "a@client.example", "--to",
             "alice@example.com", tmp_path / "m.eml"]
    said = json.loads(p.cli(*words, "--json").stdout)
    assert "stamp.results" in [fact["fact"] for fact in said["facts"]]
    assert HERE in stamps(results_of(said["header"].encode() + b"\r\n"))
    assert said["header"].startswith("Received-Stamp: pass (client.example)\r\nAuthentication-Results: ")
    shown = p.cli(*words).stdout
    assert "\nHeader\n" in shown and "Authentication-Results: site.example.com;\n    stamp=pass" in shown
    words[words.index("alice@example.com")] = "alice@elsewhere.example"
    assert json.loads(p.cli(*words, "--json").stdout)["header"] is None, "nobody gets it"
