"""Reputation in the running program: who learns what from which verdict, and what admins see of it."""

import json

from harness import proxy_header
from harness.client import Client
from harness.process import until

LISTEN = "tls none proxy_protocol from { 127.0.0.1 }"
ZONE = 'good.example. TXT "v=spf1 ip4:192.0.2.0/24 -all"\nbad.example. TXT "v=spf1 -all"\n'
RULES = """
list seen : cidr from store "seen"
rule trap  { when rcpt.local == "trap" then add client.ip to @seen for 1h "trap", reject 550 5.1.1 "No such user" }
rule low   { when client.reputation < -0.5 then reject 550 5.7.1 "Your reputation is {client.reputation}" }
# Waits for SPF: a domain is blamed for what it has proved to have sent, if that is known by then.
rule junk  { when subject == "junk" and spf != temperror then reject 550 5.7.1 "junk" }
rule look  { when mail.reputation > 0 then header add "X-Known" "{mail.reputation}" }
"""


def start(postern, sink, dns, backend=None):
    p = postern(backend or sink(), hello=proxy_header.v1("192.0.2.1"), listen=LISTEN, rules=RULES, dns=dns(ZONE),
                results="always", more="filter reputation { patience 5s }\n")
    until(lambda: p.status()["store"]["file_bytes"] > 0, "the store to be there")
    return p


def send(p, client, sender="ann@good.example", to="alice@example.com", subject="hello"):
    with Client(p.port, header=proxy_header.v1(client)) as c:
        c.ehlo()
        code, text = c.command(f"MAIL FROM:<{sender}>")
        assert code == 250, text
        code, text = c.command(f"RCPT TO:<{to}>")
        if code == 250:
            assert c.command("DATA")[0] == 354
            c.send(f"From: <{sender}>\r\nMessage-ID: <m@x>\r\nSubject: {subject}\r\n\r\nbody\r\n.\r\n".encode())
            code, text = c.reply()
        c.command("QUIT")
        return code, text


def show(p, item):
    done = p.cli("reputation", "show", item, "--json")
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout) if done.returncode == 0 else None


def wait_counts(p, item, good, bad, traps):
    def there():
        found = show(p, item)
        return found and [round(found[k], 1) for k in ("good", "bad", "traps")] == [good, bad, traps] and found
    return until(there, f"{item} to be {good} {bad} {traps}; it is {show(p, item)}")


def test_verdicts_are_counted(sink, postern, dns):
    p = start(postern, sink, dns)
    for _ in range(2):
        assert send(p, "192.0.2.1")[0] == 250
    assert send(p, "192.0.2.2", subject="junk")[0] == 550
    wait_counts(p, "192.0.2.99", 2, 1, 0)
    wait_counts(p, "good.example", 2, 1, 0)
    assert send(p, "198.51.100.1", sender="eve@bad.example")[0] == 250
    wait_counts(p, "198.51.100.0/24", 1, 0, 0)
    assert show(p, "bad.example") is None, "nobody has proved to be that"
    done = p.cli("reputation", "show", "192.0.2.1")
    assert done.returncode == 0 and "net 192.0.2.0/24" in done.stdout and "good        2.00" in done.stdout
    assert p.cli("reputation", "reset", "192.0.2.1").returncode == 0
    assert p.cli("reputation", "show", "192.0.2.1").returncode == 1
    assert p.cli("reputation", "reset", "192.0.2.1").returncode == 1
    assert p.cli("reputation", "show", "ann@good.example").returncode == 0
    assert p.cli("reputation", "show", "no domain").returncode == 2
    assert p.cli("reputation", "drop", "good.example").returncode == 2


def test_a_bad_one_is_refused_and_does_not_feed_that(sink, postern, dns):
    p = start(postern, sink, dns)
    assert send(p, "203.0.113.1", to="trap@example.com")[0] == 550
    wait_counts(p, "203.0.113.1", 0, 0, 1)
    assert send(p, "203.0.113.1", to="trap@example.com")[0] == 550
    found = wait_counts(p, "203.0.113.1", 0, 0, 2)
    assert round(found["reputation"], 2) == -0.67
    for _ in range(3):
        code, text = send(p, "203.0.113.7")
        assert code == 550 and "Your reputation is -0.6" in text, text
    assert send(p, "192.0.2.1")[0] == 250
    wait_counts(p, "192.0.2.1", 1, 0, 0)  # told after those three
    wait_counts(p, "203.0.113.1", 0, 0, 2)


def test_rules_read_what_is_known(sink, postern, dns):
    p = start(postern, sink, dns)
    for _ in range(3):
        assert send(p, "192.0.2.1")[0] == 250
    wait_counts(p, "good.example", 3, 0, 0)
    assert send(p, "192.0.2.1")[0] == 250
    done = p.cli("explain", "--ip", "192.0.2.1", "--from", "a@good.example", "--to", "alice@example.com", "--no-dns")
    assert "there is no store here" in done.stdout, done.stdout


def items(p, name):
    done = p.cli("list", "show", name, "--json")
    return [json.loads(line)["item"] for line in done.stdout.splitlines()] if done.returncode == 0 else []


def test_who_is_good_for_long_is_known(sink, postern, dns):
    """The lists of known clients and senders grow by themselves, whether a rule reads them or not."""
    p = start(postern, sink, dns)
    for _ in range(21):
        assert send(p, "192.0.2.1")[0] == 250
    assert send(p, "198.51.100.1", sender="eve@bad.example")[0] == 250
    until(lambda: items(p, "known_clients") == ["192.0.2.0/24"], "the client to be known")
    until(lambda: items(p, "known_senders") == ["good.example"], "the sender to be known")
    assert "good so far" in p.cli("list", "search", "192.0.2.7").stdout
