"""A pool of fakes, whose time and chance are the test's."""

from typing import Any

from deepseek_messages.service.answer import Answer
from deepseek_messages.service.callers import Caller
from deepseek_messages.telemetry.record import RequestRecord
from deepseek_messages.translation import faults
from deepseek_messages.translation.catalogue import describe
from deepseek_messages.translation.faults import Fault, from_status
from deepseek_messages.upstreams.pool.member import Place
from deepseek_messages.upstreams.pool.pool import Pool, PoolOptions
from deepseek_messages.wire.messages import InputMessage, MessagesRequest
from tests.support.answering import answerer_on, events_of
from tests.support.fake import FINISH, OPEN, FakeUpstream, text

BOOM = faults.connect("no connection")
OVERFLOW = Fault(faults.FaultKind.REFUSED, "prompt is too long: 20 tokens > 10 maximum", status=400,
                 upstream_status=400, transient=False)  # fmt: skip
BAD = from_status(400, {}, b'{"error":{"message":"bad tool"}}')
SMALL = describe("small", context_window=1000)
LARGE = describe("large", context_window=100_000)


DEFAULTS = PoolOptions()


class Clock:
    """Seconds that pass only when somebody sleeps or the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class World:
    """A pool of fakes, and what a request came to."""

    def __init__(
        self, places: dict[str, tuple[FakeUpstream, Place]], options: PoolOptions = DEFAULTS
    ) -> None:
        self.clock = Clock()
        self.attempts: list[tuple[str, str]] = []
        self.fakes = {name: fake for name, (fake, _) in places.items()}
        members = [(name, fake, place) for name, (fake, place) in places.items()]
        self.pool = Pool(
            members, options, clock=self.clock, sleep=self.clock.sleep, draw=lambda: 0.0
        )
        self.answerer = answerer_on(self.pool)
        self.pool.on_attempt = lambda who, outcome: self.attempts.append((who, outcome))
        self.record = RequestRecord("req_1")

    async def answer(self, asked: MessagesRequest, session: str | None = None) -> Answer:
        return await self.answerer.answer(asked, Caller("key-1"), self.record, session)

    async def ask(
        self, words: str = "Hello", *, session: str | None = None, **more: Any
    ) -> list[Any]:
        return await events_of(await self.answer(request(words, **more), session))

    async def whole(self, asked: MessagesRequest | None = None) -> Any:
        """The message of a request that is not streamed."""
        answer = await self.answer(asked or request(stream=False))
        try:
            await answer.opened()
            return await answer.whole()
        finally:
            await answer.aclose()

    def calls(self) -> dict[str, int]:
        return {name: len(fake.played) for name, fake in self.fakes.items()}

    def loads(self) -> dict[str, int]:
        return {state.name: state.load for state in self.pool.states()}


def request(words: str = "Hello", **more: Any) -> MessagesRequest:
    given = {"model": "deepseek-chat", "max_tokens": 10, "stream": True} | more
    return MessagesRequest(messages=[InputMessage(role="user", content=words)], **given)


def fake(*steps: Any, **more: Any) -> FakeUpstream:
    return FakeUpstream(list(steps) or [text("Hello"), FINISH], **more)


def failing(fault: Fault, **more: Any) -> FakeUpstream:
    return FakeUpstream([fault, OPEN], **more)


def pair(first: FakeUpstream, second: FakeUpstream, **options: Any) -> World:
    """Two upstreams, the first before the second."""
    places = {"first": (first, Place()), "second": (second, Place(priority=1))}
    return World(places, PoolOptions(**options))


HELLO = [text("Hello"), FINISH]


def said(events: list[Any]) -> str:
    return "".join(e.delta.text for e in events if getattr(getattr(e, "delta", None), "text", None))


def sized() -> World:
    return pair(fake(models=[SMALL]), fake(models=[LARGE]))


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
# DeepSeek takes no prefill beside tools, so there the text is all the model's and can be checked.
PREFILLED = {
    "model": "deepseek-chat",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "{"}],
    "tools": [{"name": "t", "input_schema": {"type": "object"}}],
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
}
