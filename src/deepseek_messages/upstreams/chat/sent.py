"""A chat request that went out on a kept connection, before anybody waited for its answer."""

from collections.abc import Awaitable, Callable

from deepseek_messages.translation.answer.chat_json import decode_answer
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.chat.stream import HttpChatStream
from deepseek_messages.upstreams.http.pooled_reply import PooledReply, StaleError
from deepseek_messages.wire.chat import ChatAnswer


class HttpSentCall:
    """A call under way. Either its whole answer is picked up without waiting, when
    ``when_ready`` tells, or it is awaited as an opened stream.
    """

    def __init__(
        self,
        reply: PooledReply,
        accept: Callable[[PooledReply], Awaitable[HttpChatStream]],
        again: Callable[[], Awaitable[HttpChatStream]],
    ) -> None:
        self._reply = reply
        self._accept = accept
        self._again = again

    def when_ready(self, tell: Callable[[], None] | None) -> None:
        """Call ``tell`` when there is content, or the end, or a failure (``None``: no longer)."""
        self._reply.when_ready(tell)

    def answer_now(self) -> ChatAnswer | None:
        """The whole answer, if all of it has come and it is one; else ``None``, and nothing has
        happened.
        """
        reply = self._reply
        body = reply.peek() if reply.ended and reply.status == 200 else b""
        if not body.startswith(b"{"):
            return None
        try:
            return decode_answer(body)
        except Fault:
            return None

    def stream_now(self) -> HttpChatStream | None:
        """As ``stream``, if the upstream has accepted; ``None``, and nothing happened, if not."""
        reply = self._reply
        return HttpChatStream(reply) if reply.has_head and reply.status == 200 else None

    async def stream(self) -> HttpChatStream:
        """As ``Upstream.open`` from here. Raises ``Fault``."""
        try:
            await self._reply.wait_head()
        except StaleError:
            return await self._again()
        except BaseException:
            self.close()
            raise
        return await self._accept(self._reply)

    def close(self) -> None:
        """Drop the connection at once unless the whole answer came. May be called again."""
        self._reply.close()
