"""Generated upstream answers: what a model said, and the many ways in which servers send it."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.support.answers import call, delta, sse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.text(max_size=5), JSON, max_size=3)

# Text that tempts every stage: tags, mark-up, stop sequences, blanks, line ends of Unicode.
TEMPTING = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<",
        "\n",
        "\n\n",
        " ",
        "END",
        "EN",
        "｜DSML｜",
        "<｜DSML｜",
        "\u2028",
        "🐋",
        "\x85",
        '<｜DSML｜invoke name="f">',
        '<｜DSML｜parameter name="a" string="true">',
        "</｜DSML｜parameter>",
        "</｜DSML｜invoke>",
        "<｜DSML｜tool_calls>",
        "</｜DSML｜tool_calls>",
        "data: ",
        "\r\n\r\n",
    ]
)
TEXT = st.text(max_size=6) | TEMPTING

NAMES = st.sampled_from(["reasoning", "reasoning_content"])
FINISH = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "eos"])
COUNT = st.integers(0, 10_000) | st.none()


@st.composite
def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """A text in crumbs."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def call_chunks(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Calls as a well-meaning server streams them, in order or interleaved."""
    chunks: list[list[dict[str, Any]]] = []
    for index in range(draw(st.integers(1, 3))):
        arguments = json.dumps(draw(ARGUMENTS), ensure_ascii=draw(st.booleans()))
        crumbs = [call(index, arguments=crumb) for crumb in draw(pieces(arguments))]
        chunks.append([call(index, f"call_{index}", draw(st.sampled_from("fg")), ""), *crumbs])
    ordered = [entry for entries in chunks for entry in entries]
    if draw(st.booleans()):
        ordered = [chunks[n].pop(0) for n in draw(st.permutations(_turns(chunks)))]
    return [delta(tool_calls=[entry]) for entry in ordered]


def _turns(chunks: list[list[Any]]) -> list[int]:
    return [index for index, entries in enumerate(chunks) for _ in entries]


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    usage = {
        "prompt_tokens": draw(COUNT),
        "completion_tokens": draw(COUNT),
        "prompt_cache_hit_tokens": draw(COUNT),
        "prompt_tokens_details": draw(st.none() | st.fixed_dictionaries({"cached_tokens": COUNT})),
    }
    return {key: value for key, value in usage.items() if value is not None}


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A stream that a server may send and that has an end."""
    frames: list[Any] = []
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(
            st.sampled_from(["text", "reasoning", "calls", "both", "empty", "comment", "usage"])
        )
        match kind:
            case "text":
                frames.append(delta(content=draw(TEXT)))
            case "reasoning":
                frames.append(delta(**{draw(NAMES): draw(TEXT)}))
            case "calls":
                frames += draw(call_chunks())
            case "both":
                frames.append(delta(content=draw(TEXT), reasoning_content=draw(TEXT)))
            case "empty":
                frames.append(delta(role="assistant", content=""))
            case "comment":
                frames.append(b": keep-alive\n\n")
            case _:
                frames.append({"choices": [], "usage": draw(usages())})
    frames.append(delta(draw(FINISH)))
    if draw(st.booleans()):
        frames.append({"choices": [], "usage": draw(usages())})
    raw = sse(*frames, done=draw(st.booleans()))
    return raw.replace(b"\n", b"\r\n") if draw(st.booleans()) else raw


PLANS: list[dict[str, Any]] = [
    {},
    {"tools": frozenset({"f", "g"})},
    {"tools": frozenset({"f"}), "single_tool": True},
    {"watch_stops": ("END", "\n\n"), "stop_sequences": ("END", "\n\n")},
    {"display": "omitted"},
    {"tools": frozenset({"f", "g"}), "watch_stops": ("END",), "starts_thinking": True},
    {"prefill": "a", "prefill_echoed": True},
]
