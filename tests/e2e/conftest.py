"""Fixtures: each starts what a test asks for on loopback, and ends it by itself, also when the test fails."""

import contextlib
import signal
import threading

import pytest

from harness.certificate import Authority
from harness.load import Load
from harness.nsd import Nsd, Silence
from harness.postern import Postern
from harness.redis import Redis
from harness.sink import Sink


def pytest_configure(config):
    """SIGTERM unwinds like ^C, so that fixtures still end what they started.

    xdist may run a worker in a thread, where no signal can be caught: there its parent ends it.
    """
    def interrupt(signum, frame):
        raise KeyboardInterrupt
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)


def pytest_collection_modifyitems(config, items):
    """No test hangs for ever (python3-pytest-timeout, where it is installed)."""
    if config.pluginmanager.hasplugin("timeout"):
        for item in items:
            item.add_marker(pytest.mark.timeout(900 if item.path.name == "test_loss.py" else 240))


@pytest.fixture
def stack():
    """What is entered here is left in reverse order at the end of the test, each even if another fails."""
    with contextlib.ExitStack() as s:
        yield s


@pytest.fixture
def peer(stack, tmp_path):
    """peer(Postfix, **options): a mail server that is ready."""
    return lambda kind, *args, **options: stack.enter_context(kind(tmp_path, *args, **options))


@pytest.fixture
def sink(stack):
    """sink(**options): a scriptable backend that is ready."""
    def start(**options):
        s = Sink(**options)
        stack.callback(s.stop)
        return s
    return start


@pytest.fixture
def dns(stack, tmp_path):
    """dns(zone): a DNS server that is ready; dns(None): one that never answers."""
    def start(zone=""):
        server = Silence() if zone is None else Nsd(tmp_path, zone)
        stack.callback(server.stop)
        return server
    return start


@pytest.fixture
def redis(stack, tmp_path):
    """redis(*options): a redis-server that is ready."""
    def start(*options):
        server = Redis(tmp_path, *options)
        stack.callback(server.stop)
        return server
    return start


@pytest.fixture
def postern(stack, request):
    """postern(backend, **options): postern in front of it, ready. `hello`: see Postern.ready. postern.unready(...)
    only starts it; postern.configured(...) only writes its configuration."""
    def configured(backend, **options):
        p = Postern(backend, **options)
        stack.callback(p.stop)
        request.node.user_properties.append(("postern", p))
        return p

    def unready(backend, **options):
        return configured(backend, **options).start()

    def start(backend, hello=b"", **options):
        return unready(backend, **options).ready(hello)

    start.configured, start.unready = configured, unready
    return start


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what postern wrote."""
    report = (yield).get_result()
    posterns = [p for name, p in item.user_properties if name == "postern"]
    if report.failed:
        report.sections += [("postern's standard error", p.stderr[-20000:]) for p in posterns]
    report.user_properties = []


@pytest.fixture
def load(stack, tmp_path):
    """load(port=..., messages=...): the load client, running."""
    def start(**options):
        running = Load(tmp_path, **options)
        stack.callback(running.process.stop)
        return running
    return start


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority):
    return authority.issue("mx.example.com", "localhost", "127.0.0.1")
