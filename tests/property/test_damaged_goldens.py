"""25,000 damaged golden streams, each under the plan of its own request."""

from random import Random

import pytest

from tests.property.damage import PARTS, assert_only_faults, damaged, seeds
from tests.support.goldens import FOLDERS, Golden

STREAMED = [golden for golden in map(Golden, FOLDERS) if golden.streamed]


@pytest.mark.parametrize("part", PARTS)
def test_damaged_goldens_give_lawful_events_and_only_faults(part: int) -> None:
    for seed in seeds(part):
        dice = Random(seed)
        golden = dice.choice(STREAMED)
        raw = damaged(golden.upstream, dice)
        try:
            assert_only_faults(raw, golden.plan, dice)
        except BaseException as error:
            error.add_note(f"stream {seed} of {golden.folder.name}: {raw!r}")
            raise
