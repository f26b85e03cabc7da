import os

import pytest

from deepseek_messages.upstreams.embedded import engine
from deepseek_messages.upstreams.embedded.engine import Shape, choose_shape, default_threads
from deepseek_messages.upstreams.embedded.gguf import GgufInfo

GIB = 1 << 30


def info(context=8192, cache_bytes=1024):
    return GgufInfo(context=context, cache_bytes=cache_bytes, template="")


@pytest.mark.parametrize(
    ("model", "context", "slots", "budget", "expected"),
    [
        (info(), 0, 4, GIB, Shape(8192, 4)),
        (info(), 2000, 4, GIB, Shape(2000, 4)),
        (info(), 99_999, 4, GIB, Shape(8192, 4)),  # no longer than it was trained for
        (info(131072, 57344), 0, 4, 8 * GIB, Shape(131072, 1)),  # slots are given up first
        (info(131072, 57344), 0, 4, GIB, Shape(18724, 1)),  # then length
        (info(131072, 57344), 100_000, 4, GIB, Shape(100_000, 1)),  # not one that was asked for
        (info(0, 0), 0, 2, GIB, Shape(4096, 2)),
        (info(8192, GIB), 0, 4, GIB, Shape(2048, 1)),
    ],
)
def test_context_and_slots_fit_the_memory(model, context, slots, budget, expected):
    assert choose_shape(model, context, slots, budget) == expected


@pytest.mark.parametrize(("processors", "threads"), [(1, 1), (2, 1), (4, 3), (8, 4), (16, 8)])
def test_a_processor_is_left_to_the_server(monkeypatch, processors, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(processors)), raising=False)
    assert default_threads() == threads


def test_the_budget_is_at_least_one_gibibyte(monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: 1)
    assert engine.cache_budget() == GIB
