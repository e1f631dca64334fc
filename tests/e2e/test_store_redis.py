"""The store on Redis in the running program: it is there, it is away, it hangs; mail flows on, and no password is shown."""

import pytest

from harness.client import Client
from harness.process import free_port, until

BODY = b"Message-ID: <redis@client.example>\r\nSubject: redis\r\n\r\nbody\r\n"


def states(p):
    """Of the keeper's and the workers' connections."""
    status = p.status()
    workers = [w["status"]["store"]["state"] for w in status["workers"] if w["answered"]]
    return [status["store"]["redis"]["state"], *workers]


def wait_states(p, state):
    until(lambda: states(p) == [state] * 3, f"the store to be {state}: {p.stderr[-2000:]}")


def carry(p, messages=5):
    with Client(p.port) as c:
        c.ehlo()
        assert all(c.message(BODY)[0] == 250 for _ in range(messages))


@pytest.fixture
def on_redis(sink, postern):
    return lambda redis, before="": postern(sink(), more=f'store "redis://{before}127.0.0.1:{redis.port}/0"\n')


def test_it_is_there(redis, on_redis):
    r = redis()
    p = on_redis(r)
    wait_states(p, "there")
    store = p.status()["store"]
    assert store["kind"] == "redis"
    assert [(s["server"], s["state"]) for s in store["redis"]["servers"]] == [(f"127.0.0.1:{r.port}", "ready")]
    carry(p)
    # Results of DMARC are in the file all the same.
    assert p.cli("dmarc-report", "--day", "today").returncode == 0


def test_it_is_away_at_start_and_comes(redis, on_redis):
    r = redis()
    r.kill()
    p = on_redis(r)
    wait_states(p, "away")
    carry(p)
    r.start()
    wait_states(p, "there")
    carry(p)


def test_it_dies_and_comes_back(redis, on_redis):
    r = redis()
    p = on_redis(r)
    wait_states(p, "there")
    r.kill()
    carry(p)
    wait_states(p, "away")
    done = p.cli("status")
    assert done.returncode == 0, done.stderr
    r.start()
    wait_states(p, "there")


def test_it_hangs(redis, on_redis):
    r = redis()
    p = on_redis(r)
    wait_states(p, "there")
    r.hang()
    carry(p, 20)
    r.go_on()
    wait_states(p, "there")


def test_no_password_is_shown(redis, on_redis):
    p = on_redis(redis("--requirepass", "sesame"), ":sesame@")
    wait_states(p, "there")
    shown = p.cli("config", "show")
    assert shown.returncode == 0 and ":***@127.0.0.1" in shown.stdout, shown.stdout
    everything = shown.stdout + p.stderr + str(p.log) + p.cli("status", "--json").stdout + p.cli("check").stdout
    assert "sesame" not in everything


def test_a_wrong_password_is_told(redis, on_redis):
    p = on_redis(redis("--requirepass", "sesame"), ":other@")
    until(lambda: any("WRONGPASS" in line.get("text", "") for line in p.log), "the log to tell")
    carry(p)
    assert "WRONGPASS" in str(p.status()["store"]["redis"]["servers"])


def test_mistakes_in_the_address(sink, postern):
    p = postern.configured(sink(), more=f'store "redis://ann:sesame@127.0.0.1:{free_port()}/x"\n')
    done = p.cli("check")
    assert done.returncode == 3
    assert "a database is a number" in done.stdout + done.stderr
    assert "sesame" not in done.stdout + done.stderr
