"""Settings that hold for every test."""

import gc
import os
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from deepseek_messages.service import counting
from deepseek_messages.upstreams.chat.upstream import ChatHttpUpstream
from deepseek_messages.upstreams.http import probe
from deepseek_messages.upstreams.http.client import HttpClient
from deepseek_messages.upstreams.http.probe import Probe
from tests.support.gates import WAIT_SECONDS

# Each row of the compatibility table has a test that proves it; no test lets a key or a prompt out;
# a soak runs beside the suite.
pytest_plugins = ["tests.rows", "tests.canary", "tests.soaking"]

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

# The same examples every time, whoever runs the suite; HYPOTHESIS_PROFILE=explore looks for new
# ones, fuzz for many (tests/README.md).
settings.register_profile("steady", derandomize=True, database=None, **_COMMON)
settings.register_profile("explore", max_examples=2_000, print_blob=True, **_COMMON)
settings.register_profile("fuzz", max_examples=100_000, print_blob=True, **_COMMON)
settings.register_profile("few", derandomize=True, database=None, max_examples=20, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture
def anyio_backend() -> str:
    """The one event loop we support; used by ``@pytest.mark.anyio``."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """Waits that no setting makes longer: a machine that is held up for seconds reaches none, but
    where a test sets its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COUNT_GRACE", "FIRST_COUNT_GRACE"):
            patch.setattr(counting, name, WAIT_SECONDS)
        patch.setitem(Probe.ask.__kwdefaults__, "within", 25.0)  # less than tests jump
        patch.setattr(probe, "CONNECT_TIMEOUT", WAIT_SECONDS)
        for owner in (ChatHttpUpstream, HttpClient):
            patch.setitem(owner.__init__.__kwdefaults__, "keepalive", WAIT_SECONDS)
        yield


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail the test if it leaves a thread running or a socket open."""
    threads = set(threading.enumerate())
    gc.freeze()  # what is there already is not looked at: it is a hundred times what comes
    yield
    gc.collect()
    left = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in left:
        thread.join(WAIT_SECONDS)
    sockets = _open_sockets()
    gc.unfreeze()
    assert not [thread for thread in left if thread.is_alive()], left
    assert not sockets


def _open_sockets() -> list[socket.socket]:
    return [
        found for found in gc.get_objects() if type(found) is socket.socket and found.fileno() >= 0
    ]
