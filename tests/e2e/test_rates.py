"""Rates over all workers of the running program."""

from harness.client import Client
from harness.process import until

PATIENT = "filter rate { patience 5s }\n"
BODY = b"Message-ID: <r@client.example>\r\nSubject: rate\r\n\r\nbody\r\n"


def start(postern, backend, rules):
    p = postern(backend, rules=rules, more=PATIENT, workers=2)
    until(lambda: p.status()["store"]["file_bytes"] > 0, "the store to be there")
    return p


def send(p, **envelope):
    with Client(p.port) as c:
        c.ehlo()
        sender = envelope.get("sender", "sender@client.example")
        assert c.command(f"MAIL FROM:<{sender}>")[0] == 250
        for to in envelope.get("recipients", ["alice@example.com"]):
            code, _ = c.command(f"RCPT TO:<{to}>")
            if code != 250:
                return code
        assert c.command("DATA")[0] == 354
        c.send(BODY + b".\r\n")
        return c.reply()[0]


def test_a_rate_holds_over_all_workers(sink, postern):
    backend = sink()
    p = start(postern, backend, 'rule flood { when rate(mail.from) > 5/1d then defer 451 4.7.1 "Slow down" }')
    codes = [send(p) for _ in range(8)]
    assert codes == [250] * 5 + [451] * 3
    assert send(p, sender="other@client.example") == 250
    assert sum(backend.count().values()) == 6
    until(lambda: len([a for a in p.audits() if a["to"][0].get("rule") == "flood"]) == 3, "three refusals in the log")


def test_recipients_are_counted(sink, postern):
    p = start(postern, sink(), 'rule flood { when rate(mail.from, recipients) > 5/1d then defer 451 4.7.1 "Slow down" }')
    assert send(p, recipients=[f"u{i}@example.com" for i in range(4)]) == 250
    assert send(p, recipients=[f"u{i}@example.com" for i in range(2)]) == 451, "the second would be the sixth"
    assert send(p) == 250, "that took nothing"
    assert send(p) == 451


def test_check_reads_rates(sink, postern):
    p = postern.configured(sink(), rules="rule flood { when rate(mail.from, recipients) > 5/1d then defer }\n"
                                         "rule slow { when rate(client.ip) > 5/1d then defer }\n")
    done = p.cli("check")
    assert done.returncode == 0 and "warning" not in done.stdout + done.stderr, (done.stdout, done.stderr)
    stages = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith(("flood", "slow"))}
    assert "rcpt" in stages["flood"] and "mail" in stages["slow"], done.stdout
    p.write("rules.d/test.rules", "rule flood { when rate(mail.from, sheep) > 5/1d then defer }\n")
    done = p.cli("check")
    assert done.returncode == 3 and "counts transactions, or recipients" in done.stdout + done.stderr
