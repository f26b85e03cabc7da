"""One server for each dialect, shared by all regression cases."""

from collections.abc import Iterator

import pytest

from tests.conformance.rig import Rig, running_rig
from tests.regressions.stage import Stage, running_stage


@pytest.fixture(scope="session")
def _deepseek(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running_stage(tmp_path_factory.mktemp("deepseek"), "deepseek") as stage:
        yield stage


@pytest.fixture(scope="session")
def _vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running_stage(tmp_path_factory.mktemp("vllm"), "vllm", "deepseek-v4-pro") as stage:
        yield stage


@pytest.fixture(scope="session")
def _rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_rig(tmp_path_factory.mktemp("rig")) as rig:
        yield rig


@pytest.fixture
def deepseek(_deepseek: Stage) -> Stage:
    """A server that speaks DeepSeek's dialect and says what it is told."""
    _deepseek.clear()
    return _deepseek


@pytest.fixture
def vllm(_vllm: Stage) -> Stage:
    """The same, speaking vLLM's."""
    _vllm.clear()
    return _vllm


@pytest.fixture
def rig(_rig: Rig) -> Rig:
    """A double that refuses what DeepSeek refuses."""
    _rig.double.clear()
    return _rig
