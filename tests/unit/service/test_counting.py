import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from msgspec.structs import replace

from deepseek_messages.prompt.counting import count_prompt
from deepseek_messages.prompt.grown import GrownPrompt
from deepseek_messages.prompt.tokenizer import DeepSeekTokenizer
from deepseek_messages.service import counting
from deepseek_messages.service.callers import NOBODY, Caller
from deepseek_messages.service.counting import (
    Counter,
    TranslatedPrompt,
)
from deepseek_messages.translation.catalogue import FLASH, PRO, Choice, Model, describe
from deepseek_messages.translation.dialects import DEEPSEEK, GENERIC, VLLM, Dialect
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.translation.seal import Seal
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.wire.chat import (
    ChatRequest,
    Function,
    FunctionTool,
    ThinkingSwitch,
    UserMessage,
)
from tests.support.gates import WAIT_SECONDS

T = TypeVar("T")
REQUEST = parse_request(
    b'{"model":"m","messages":[{"role":"user","content":"Say hi briefly."}]}', counting=True
)
LONG = parse_request(
    b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % (b"A long story. " * 500),
    counting=True,
)
IMAGE = parse_request(
    b'{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":'
    b'{"type":"url","url":"https://example.com/a.png"}}]}]}',
    counting=True,
)
SMALL = describe("mystery", context_window=8192)
HI = ChatRequest(
    model="m", messages=[UserMessage("Say hi briefly.")], thinking=ThinkingSwitch("disabled")
)


class Upstream:
    """Says how many tokens a prompt is, or cannot."""

    def __init__(self, dialect: Dialect, answer: int | Fault | None = None) -> None:
        self.dialect = dialect
        self.answer = answer
        self.asked: list[UpstreamCall] = []

    async def count_tokens(self, call: UpstreamCall) -> int | None:
        self.asked.append(call)
        if isinstance(self.answer, Fault):
            raise self.answer
        return self.answer


def run(upstream: Upstream, work: Callable[[Counter], Awaitable[T]]) -> T:
    async def main() -> T:
        made = Counter(seal=Seal(bytes(64)), upstream=upstream)  # type: ignore[arg-type]
        try:
            return await work(made)
        finally:
            await made.aclose()

    return asyncio.run(main())


def choice(model: Model) -> Choice:
    return Choice(model=model, requested="m")


@pytest.mark.parametrize("model", [FLASH, PRO])
def test_deepseek_is_counted_here_exactly(model: Model) -> None:
    upstream = Upstream(DEEPSEEK, 999)
    counted = run(upstream, lambda made: made.count(REQUEST, choice(model)))
    assert (counted.tokens, counted.exact) == (8, True)
    assert counted.notes.entries == []
    assert upstream.asked == []


def test_server_with_a_tokenizer_is_asked_with_the_callers_key() -> None:
    upstream = Upstream(VLLM, 123)
    counted = run(
        upstream,
        lambda made: made.count(
            REQUEST, choice(SMALL), caller=Caller("key-1", credential="sk-mine")
        ),
    )
    assert (counted.tokens, counted.exact) == (123, True)
    assert upstream.asked[0].credential == "sk-mine"


@pytest.mark.parametrize("answer", [None, Fault(FaultKind.CONNECT, "gone")], ids=["none", "fault"])
def test_without_a_tokenizer_the_count_is_a_marked_estimate(answer: Fault | None) -> None:
    upstream = Upstream(GENERIC, answer)
    counted = run(upstream, lambda made: made.count(REQUEST, choice(SMALL)))
    assert not counted.exact
    assert 4 <= counted.tokens <= 16
    assert [str(note) for note in counted.notes.entries] == ["estimated=input_tokens"]


def test_known_weights_on_a_server_that_cannot_count_are_counted_here() -> None:
    weights = describe("deepseek-ai/DeepSeek-V4-Pro")
    counted = run(Upstream(VLLM), lambda made: made.count(REQUEST, choice(weights)))
    assert (counted.tokens, counted.exact) == (8, True)


def test_image_that_only_the_upstream_can_see_makes_an_estimate() -> None:
    counted = run(Upstream(DEEPSEEK), lambda made: made.count(IMAGE, choice(FLASH)))
    assert not counted.exact
    assert counted.tokens > 1000


def test_request_that_cannot_be_served_is_refused() -> None:
    bad = parse_request(
        b'{"model":"m","messages":[{"role":"user","content":"x"}],'
        b'"tool_choice":{"type":"tool","name":"gone"}}',
        counting=True,
    )
    with pytest.raises(Refusal, match="tool_choice"):
        run(Upstream(DEEPSEEK), lambda made: made.count(bad, choice(FLASH)))


def test_strict_counts_refuse_what_would_be_replaced() -> None:
    with pytest.raises(Refusal, match="image"):
        run(Upstream(DEEPSEEK), lambda made: made.count(IMAGE, choice(PRO), strict=True))


# --- for a request that is being answered ---------------------------------------------------------


@pytest.mark.parametrize(
    ("upstream", "model", "tokens"),
    [
        (Upstream(DEEPSEEK), FLASH, 8),
        (Upstream(VLLM, 5), SMALL, 5),
        (Upstream(GENERIC), SMALL, None),
        (Upstream(GENERIC, Fault(FaultKind.CONNECT, "gone")), SMALL, None),
    ],
    ids=["encoder", "upstream", "nobody", "fault"],
)
def test_translated_prompt(upstream: Upstream, model: Model, tokens: int | None) -> None:
    call = UpstreamCall(request=HI)
    assert run(upstream, lambda made: made.prompt(call, model, NOBODY).count()) == tokens


def test_prompt_that_deepseek_refuses_has_no_count() -> None:
    call = UpstreamCall(request=ChatRequest(model="m", messages=[]))
    assert run(Upstream(DEEPSEEK), lambda made: made.prompt(call, FLASH, NOBODY).count()) is None


def test_a_prompt_is_known_the_second_time_to_whoever_asked() -> None:
    call = UpstreamCall(request=replace(HI, tools=[FunctionTool(Function(name="f"))]))
    one, other = Caller("one", identity="1"), Caller("other", identity="2")

    async def asked(made: Counter) -> list[int | None]:
        first = made.prompt(call, FLASH, one)
        found = [first.known(), await first.count(), made.prompt(call, FLASH, one).known()]
        return [*found, made.prompt(call, FLASH, other).known()]

    tokens = count_prompt(call.request, "v4.1")
    assert run(Upstream(DEEPSEEK), asked) == [None, tokens, tokens, None]


def test_what_the_upstream_counts_is_never_known() -> None:
    call = UpstreamCall(request=HI)
    known = run(Upstream(VLLM, 5), lambda made: both(made.prompt(call, SMALL, NOBODY)))
    assert known == (5, None)


async def both(prompt: TranslatedPrompt) -> tuple[int | None, int | None]:
    return await prompt.count(), prompt.known()


# --- threads --------------------------------------------------------------------------------------


def test_what_is_long_is_not_counted_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[threading.Thread] = set()
    measure, translate = GrownPrompt.whole, counting.to_chat

    def measured(size: GrownPrompt) -> object:
        threads.add(threading.current_thread())
        return measure(size)

    def translated(*args: object, **more: object) -> object:
        threads.add(threading.current_thread())
        return translate(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(GrownPrompt, "whole", measured)
    monkeypatch.setattr(counting, "to_chat", translated)
    run(Upstream(DEEPSEEK), lambda made: made.count(LONG, choice(FLASH)))
    assert threading.main_thread() not in threads
    assert len(threads) >= 1


def test_many_counts_at_once_share_the_threads() -> None:
    async def many(made: Counter) -> list[int]:
        found = await asyncio.gather(*(made.count(REQUEST, choice(FLASH)) for _ in range(25)))
        return [each.tokens for each in found]

    before = threading.active_count()
    assert run(Upstream(DEEPSEEK), many) == [8] * 25
    assert threading.active_count() <= before + counting.THREADS


def test_too_many_waiting_counts_are_refused_as_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_WAITING", 3)
    gate = threading.Event()
    translate = counting.to_chat

    def held(*args: object, **more: object) -> object:
        assert gate.wait(WAIT_SECONDS)
        return translate(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(counting, "to_chat", held)

    async def crowd(made: Counter) -> None:
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(made.count(REQUEST, choice(FLASH))) for _ in range(3)]
            await asyncio.sleep(0)
            try:
                with pytest.raises(Refusal) as refusal:
                    await made.count(REQUEST, choice(FLASH))
                assert refusal.value.error_type == "overloaded_error"
            finally:
                gate.set()
        assert [each.result().tokens for each in waiting] == [8, 8, 8]

    run(Upstream(DEEPSEEK), crowd)


@pytest.mark.parametrize(("loaded", "grace"), [(True, 0.25), (False, 2.5)])
def test_the_first_count_is_worth_a_longer_wait(
    monkeypatch: pytest.MonkeyPatch, loaded: bool, grace: float
) -> None:
    monkeypatch.setattr(counting, "COUNT_GRACE", 0.25)
    monkeypatch.setattr(counting, "FIRST_COUNT_GRACE", 2.5)
    monkeypatch.setattr(DeepSeekTokenizer, "is_loaded", loaded)
    assert Counter(seal=Seal(b"key"), upstream=Upstream(DEEPSEEK)).grace == grace
