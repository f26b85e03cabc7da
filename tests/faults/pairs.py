"""The server on two upstreams that break, for the matrices of pools."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from deepseek_messages.settings import MemberSettings, PoolSettings, Secret
from deepseek_messages.translation.faults import FaultKind
from deepseek_messages.upstreams.pool.retries import RetryBudget
from tests.faults.cells import STAGES, WAYS, at_once
from tests.faults.rig import DEADLINES, Rig, serving_rig
from tests.support.servers import Cut, RawUpstream, ReadRequest, Step, answer, raw_upstream

MODELS = answer(b'{"object": "list", "data": [{"id": "deepseek-v4-flash", "object": "model"}]}')
LISTED = [ReadRequest(), MODELS, Cut()]

# Where the model has begun to speak.
SPEAKS = [stage for stage, (_, text, _) in STAGES.items() if text]


@dataclass
class Two:
    """The server on two upstreams; ``first`` is asked first."""

    rig: Rig
    first: RawUpstream
    second: RawUpstream

    def ask(
        self, first: Sequence[Step], second: Sequence[Step], way: str, fault: FaultKind | None
    ) -> tuple[Any, int]:
        """The answer, and how many connections were made to the second one. ``fault`` is what the
        first one's script comes to.
        """
        self.second.scripts = [list(second)]
        before = len(self.second.connections)
        reply = self.rig.ask(at_once(first, fault), WAYS[way])
        asked = self.second.connections[before:]
        for connection in asked:
            connection.done.require("the end of the second upstream's connection")
        return reply, len(asked)


@contextmanager
def two(**options: Any) -> Iterator[Two]:
    """Nobody is left out for its failures, and each takes one request at a time."""
    with (
        pytest.MonkeyPatch.context() as patch,
        raw_upstream(LISTED) as first,
        raw_upstream(LISTED) as second,
    ):
        patch.setattr(RetryBudget, "spend", lambda _: True)
        patch.setattr("deepseek_messages.upstreams.pool.pool.choose", lambda seats, *_: seats[0])
        members = tuple(
            MemberSettings(
                name=name,
                kind="chat",
                base_url=upstream.url,
                dialect="deepseek",
                api_key=Secret(f"sk-{name}"),
                proxy_from_env=False,
                max_concurrency=1,
                **DEADLINES,
            )
            for name, upstream in (("first", first), ("second", second))
        )
        pool = PoolSettings(
            attempts=2, failures=1_000_000, probe_interval=1e6, silence_after=0, **options
        )
        with serving_rig(first, upstreams=members, pool=pool) as rig:
            second.on_silence = first.on_silence
            yield Two(rig, first, second)
