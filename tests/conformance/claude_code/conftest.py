"""The real Claude Code between a user's folder and a server that stands on a strict DeepSeek."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.claude_code.stage import Stage, running_stage
from tests.support import toolchain
from tests.support.claude import ClaudeCode
from tests.support.network import Network, private_network

NEWEST, STRICT = toolchain.CLAUDE_CODE


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Loopback only, where the system allows it."""
    with private_network() as found:
        yield found


@pytest.fixture(scope="session")
def _stage(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running_stage(tmp_path_factory.mktemp("server"), network) as stage:
        yield stage


@pytest.fixture
def stage(_stage: Stage) -> Iterator[Stage]:
    """The shared server and its double, without a past. After the test the double must have
    refused nothing, played its script to the end, and met no trouble.
    """
    _stage.reset()
    yield _stage
    _stage.check()


@pytest.fixture
def claude(stage: Stage, tmp_path: Path) -> ClaudeCode:
    """A fresh user of the newest version."""
    return stage.user(tmp_path)


@pytest.fixture(params=[NEWEST, STRICT])
def either(request: pytest.FixtureRequest, stage: Stage, tmp_path: Path) -> ClaudeCode:
    """A fresh user of each version."""
    return stage.user(tmp_path, version=request.param)
