"""The user's turn: what stands between two answers, in the order every chat server takes.

Directly after an assistant message with calls come their results, one tool message per call, in
the order of the calls, before anything else ("insufficient tool messages following tool_calls
message" is DeepSeek's refusal otherwise). Then what the user said, and system messages where the
upstream takes them. Clients send results in any order, split over messages, twice, or not at all.
"""

from collections.abc import Sequence

from msgspec import Struct

from deepseek_messages.translation.notes import Action
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.blocks import (
    At,
    Context,
    content_of,
    parts_of,
    result_parts,
)
from deepseek_messages.translation.request.system import JOINT, reminder
from deepseek_messages.wire.chat import (
    ChatMessage,
    ContentPart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from deepseek_messages.wire.content import (
    ContentBlock,
    TextBlock,
    ToolResultBlock,
    ToolResultContent,
    UnknownBlock,
)
from deepseek_messages.wire.messages import InputMessage

INTERRUPTED = "[no result: the tool call was interrupted]"


class PendingCall(Struct, frozen=True):
    """A call of the last answer that waits for its result. ``id`` is the client's."""

    id: str
    sent_id: str
    name: str
    message: int  # where it stands: the message, and the block in it
    block: int

    @property
    def at(self) -> At:
        return At(self.message, self.block)


class _Said(Struct):
    """A stretch of the turn: the user's parts, or one system text."""

    parts: list[ContentPart]
    system: bool = False


class Turn:
    """Collects one user's turn; ``close`` gives its chat messages."""

    def __init__(self, context: Context, calls: Sequence[PendingCall]) -> None:
        self._context = context
        self._calls = calls
        self._open = {call.id for call in calls}
        self._results: dict[str, tuple[ToolResultBlock, list[ContentPart]]] = {}
        self._said: list[_Said] = []

    def user(self, message: InputMessage, index: int) -> None:
        """A message of the user: results go to their calls, the rest is said in order."""
        if isinstance(message.content, str):
            self._say(TextPart(message.content))
            return
        context = self._context
        for position, block in enumerate(message.content or ()):
            at = At(index, position)
            if isinstance(block, ToolResultBlock):
                self._result(block, at)
            elif isinstance(block, UnknownBlock):
                raise Refusal(
                    f"Input tag {block.original_type!r} found using 'type' does not match any"
                    " expected tag",
                    path=str(at),
                )
            else:
                self._say(*parts_of(block, at, context))
        self._show_references()

    def system(self, message: InputMessage, index: int) -> None:
        """A system message inside the conversation."""
        context = self._context
        if isinstance(message.content, str):
            texts = [message.content]
        else:
            parts: list[ContentPart] = []
            for position, block in enumerate(message.content or ()):
                parts.extend(parts_of(block, At(index, position), context))
            texts = [part.text for part in parts if isinstance(part, TextPart)]
        text = JOINT.join(texts) + self._references()
        if text:
            self._said.append(_Said([TextPart(text)], system=True))

    def _say(self, *parts: ContentPart) -> None:
        if self._said and not self._said[-1].system:
            self._said[-1].parts.extend(parts)
        elif parts:
            self._said.append(_Said(list(parts)))

    def _result(self, block: ToolResultBlock, at: At) -> None:
        context = self._context
        parts = result_parts(block, at, context)
        earlier = self._results.get(block.tool_use_id)
        if block.tool_use_id in self._open and earlier is None:
            self._results[block.tool_use_id] = (block, parts)
        elif earlier is not None and earlier[1] == parts:
            context.notes.add(Action.REPAIRED, "tool_result.duplicate", str(at))
        else:
            self._orphan(parts, at)

    def _orphan(self, parts: list[ContentPart], at: At) -> None:
        """A result whose call is gone (compacted away, or answered before)."""
        if self._context.notes.strict:
            raise Refusal(
                "unexpected `tool_use_id` found in `tool_result` blocks. Each `tool_result` block"
                " must have a corresponding `tool_use` block in the previous message.",
                path=str(at),
            )
        self._context.notes.add(Action.REPAIRED, "tool_result.orphan", str(at))
        self._say(TextPart("[result of an earlier tool call]"), *parts)

    # --- tools referred to

    def _references(self) -> str:
        """DeepSeek's V4.1 form of tools that were loaded in mid-conversation."""
        lines, self._context.references = self._context.references, []
        return "\n\n### Updated Tool Schemas\n\n" + "\n".join(lines) if lines else ""

    def _show_references(self) -> None:
        if self._context.references and (update := self._references()):
            self._said.append(_Said([TextPart(update)], system=True))

    # --- the end of the turn

    def close(self) -> list[ChatMessage]:
        """The turn's messages. Raises ``Refusal`` in strict mode when a result is missing."""
        messages: list[ChatMessage] = []
        shown: list[ContentPart] = []
        for call in self._calls:
            found = self._results.get(call.id)
            parts = found[1] if found else self._interrupted(call)
            messages.append(self._tool_message(call, parts, shown))
        if shown:
            self._said.insert(0, _Said(shown))
        self._speak(messages)
        return messages

    def _interrupted(self, call: PendingCall) -> list[ContentPart]:
        if self._context.notes.strict:
            raise Refusal(
                "`tool_use` ids were found without `tool_result` blocks immediately after:"
                f" {call.id}. Each `tool_use` block must have a corresponding `tool_result` block"
                " in the next message.",
                path=f"messages.{call.message}",
            )
        self._context.notes.add(Action.REPAIRED, "tool_result.missing", str(call.at))
        return [TextPart(INTERRUPTED)]

    def _tool_message(
        self, call: PendingCall, parts: list[ContentPart], shown: list[ContentPart]
    ) -> ToolMessage:
        """A tool message; images move into the user's turn where tool messages cannot hold them."""
        dialect = self._context.dialect
        images = [part for part in parts if not isinstance(part, TextPart)]
        if images and not (dialect.image_in_tool_result and dialect.tool_content_parts):
            shown += [TextPart(f"Image from the result of {call.name}:"), *images]
            self._context.notes.add(Action.EMULATED, "tool_result.image", str(call.at))
            parts = [part for part in parts if isinstance(part, TextPart)]
            parts = parts or [TextPart("[the image follows]")]
        return ToolMessage(tool_call_id=call.sent_id, content=content_of(parts))

    def _speak(self, messages: list[ChatMessage]) -> None:
        """Append what was said; system texts stand where the upstream takes them."""
        begun = bool(messages)
        ahead = any(not said.system for said in self._said)
        pending: list[ContentPart] = []
        for said in self._said:
            if not said.system:
                pending += said.parts
                begun = True
            elif self._stands_alone(begun=begun, followed=ahead):
                self._flush(pending, messages)
                messages.append(SystemMessage(content=content_of(said.parts)))
            else:
                pending += [
                    TextPart(reminder(p.text)) for p in said.parts if isinstance(p, TextPart)
                ]
                begun = True
        self._flush(pending, messages)

    def _stands_alone(self, *, begun: bool, followed: bool) -> bool:
        """Whether a system text is a message of its own here (see ``system.system_place``)."""
        match self._context.place:
            case "in_place":
                return True
            case "before_turn":
                return followed and not begun
            case "reminder":
                return False

    def _flush(self, parts: list[ContentPart], messages: list[ChatMessage]) -> None:
        if not parts:
            return
        spoken = parts
        if self._context.place == "reminder":
            # DeepSeek's V4 conversion, which this place follows, skips empty texts of the user.
            spoken = [part for part in parts if not (isinstance(part, TextPart) and not part.text)]
        messages.append(UserMessage(content=content_of(spoken)))
        parts.clear()


# --- plain turns ----------------------------------------------------------------------------------


def plain_turn(
    message: InputMessage, calls: Sequence[PendingCall], context: Context
) -> list[ChatMessage] | None:
    """What a ``Turn`` comes to when it is one message: a text, or the results of all calls in
    their order and texts behind them, as nearly all are. ``None``, and nothing done, for others,
    and when there is nothing to say.

    With the plain answers this is the inner loop of a long history. A test compares the two ways.
    """
    content = message.content
    if content is None or message.role == "system" or context.references:
        return None
    if isinstance(content, str):
        return None if calls else [UserMessage(content)]
    told: list[ChatMessage] = []
    for call, block in zip(calls, content, strict=False):
        if type(block) is not ToolResultBlock or block.tool_use_id != call.id or block.is_error:
            return None
        text = block.content
        if not isinstance(text, str):
            texts = _texts(text or ())
            if texts is None:
                return None
            text = JOINT.join(texts)
        told.append(ToolMessage(tool_call_id=call.sent_id, content=text))
    if len(content) > len(calls):
        texts = _texts(content[len(calls) :])
        if texts is None:
            return None
        spoken = filter(None, texts) if context.place == "reminder" else texts  # as in ``_flush``
        told.append(UserMessage(JOINT.join(spoken)))
    return told if len(content) >= len(calls) else None


def with_system(
    told: list[ChatMessage], messages: Sequence[InputMessage], context: Context
) -> list[ChatMessage] | None:
    """A plain turn with the system messages behind it, as Claude Code sends them, where they keep
    their place; ``None`` for others.
    """
    if context.place != "in_place":
        return None
    for message in messages:
        content = message.content
        texts = [content] if isinstance(content, str) else _texts(content or ())
        if texts is None or message.role != "system":
            return None
        if text := JOINT.join(texts):
            told.append(SystemMessage(text))
    return told


def _texts(blocks: Sequence[ContentBlock] | Sequence[ToolResultContent]) -> list[str] | None:
    """Their texts, if they are nothing else."""
    texts = []
    for block in blocks:
        if type(block) is not TextBlock:
            return None
        texts.append(block.text)
    return texts
