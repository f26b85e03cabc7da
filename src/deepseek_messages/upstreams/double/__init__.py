"""A strict stand-in for DeepSeek's chat API: for tests, and as a demo without model or network.

    double = Double([[Think("Hm."), Call("get_weather", '{"city": "Rome"}')], Text("Sunny.")])
    async with serve_double(double) as base_url: ...

It refuses what DeepSeek refuses, in DeepSeek's words, and answers what the script says; without a
script it echoes.
"""

from deepseek_messages.upstreams.double.double import Double, Seen
from deepseek_messages.upstreams.double.models import AUTUMN_2025, CURRENT, Hosted
from deepseek_messages.upstreams.double.script import (
    Answer,
    Call,
    Cut,
    CutAfterBytes,
    Delay,
    Finish,
    Frame,
    Garbage,
    KeepAlive,
    NoDone,
    Stall,
    Status,
    Step,
    Text,
    Think,
)
from deepseek_messages.upstreams.double.server import running_double, serve_double

__all__ = [
    "AUTUMN_2025",
    "CURRENT",
    "Answer",
    "Call",
    "Cut",
    "CutAfterBytes",
    "Delay",
    "Double",
    "Finish",
    "Frame",
    "Garbage",
    "Hosted",
    "KeepAlive",
    "NoDone",
    "Seen",
    "Stall",
    "Status",
    "Step",
    "Text",
    "Think",
    "running_double",
    "serve_double",
]
