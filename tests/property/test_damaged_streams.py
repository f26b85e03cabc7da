"""25,000 damaged streams that hold everything at once (the other 25,000: test_damaged_goldens)."""

from random import Random

import pytest

from deepseek_messages.translation.plan import ReplyPlan
from tests.property.answers import PLANS
from tests.property.damage import PARTS, assert_only_faults, damaged, seeds
from tests.support.answers import call, delta, sse

SEED_STREAMS = [
    sse(
        delta(role="assistant", content=""),
        delta(reasoning_content="Hm."),
        delta(content="<think>x</think>Hi \U0001f40b"),
        delta(tool_calls=[call(0, "c", "f", ""), call(1, "d", "g", "{")]),
        delta(tool_calls=[call(0, arguments='{"a": [1, "x"]}')]),
        delta(tool_calls=[call(1, arguments="}")]),
        delta("tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
    ),
    sse(
        delta(content='<｜DSML｜tool_calls>\n<｜DSML｜invoke name="f">\n'),
        delta(content='<｜DSML｜parameter name="a" string="true">x END</｜DSML｜parameter>'),
        delta(content="</｜DSML｜invoke>\n</｜DSML｜tool_calls>"),
        delta("stop"),
    ),
]


@pytest.mark.parametrize("part", PARTS)
def test_damaged_streams_give_lawful_events_and_only_faults(part: int) -> None:
    for seed in seeds(part):
        dice = Random(seed)
        raw = damaged(dice.choice(SEED_STREAMS), dice)
        try:
            assert_only_faults(raw, ReplyPlan(model="m", **dice.choice(PLANS)), dice)
        except BaseException as error:
            error.add_note(f"stream {seed}: {raw!r}")
            raise
