"""The server that the tests of a module share, in front of a strict DeepSeek."""

from collections.abc import Iterator

import pytest

from tests.conformance.rig import Rig, running_rig


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """As it is; a module with settings of its own has its own."""
    with running_rig(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture
def rig(shared_rig: Rig) -> Rig:
    """With nothing scripted and nothing seen."""
    shared_rig.double.clear()
    return shared_rig
