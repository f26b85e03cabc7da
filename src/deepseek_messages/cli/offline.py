"""A request translated without any server, for the commands that show or count it."""

import asyncio
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from deepseek_messages.prompt.counting import measure_prompt
from deepseek_messages.service.callers import NOBODY, Caller
from deepseek_messages.service.counting import CountResult
from deepseek_messages.service.documents import DocumentReader
from deepseek_messages.service.editing import ContextEditor
from deepseek_messages.settings import Settings
from deepseek_messages.translation.catalogue import FLASH, PRO, Choice, Encoding, resolve
from deepseek_messages.translation.dialects import DIALECTS, Dialect
from deepseek_messages.translation.hosted.server_tools import Hosted
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.plan import Translation
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.translation.request.request import sees_images, to_chat
from deepseek_messages.translation.seal import Seal
from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.web.app import SEAL_BYTES, SEAL_FILE
from deepseek_messages.wire.messages import MessagesRequest


class Translated(Struct, frozen=True, kw_only=True):
    """A request as DeepSeek's hosted model would get it."""

    choice: Choice
    dialect: Dialect
    translation: Translation
    notes: Notes

    @property
    def encoding(self) -> Encoding:
        encoding = self.choice.model.encoding
        assert encoding is not None  # both hosted models have one
        return encoding


def translate(
    settings: Settings, body: bytes, model: str | None = None, *, compacts: bool = True
) -> Translated:
    """The request in ``body``, for ``model`` instead of its own if given, on a server that speaks
    the dialect of the settings (DeepSeek's unless they name one). The web tools that the settings
    allow are part of it; MCP servers are not asked. A summary that is due is asked for, unless
    ``compacts`` is false. Raises ``Refusal`` and ``NotEncodable``.
    """
    return asyncio.run(_translate(settings, body, model, compacts))


async def _translate(
    settings: Settings, body: bytes, model: str | None, compacts: bool
) -> Translated:
    request = parse_request(body, counting=True)
    names = settings.models
    choice = resolve(model or request.model, (FLASH, PRO), names.default, names.aliases)
    dialect = DIALECTS.get(settings.upstream.dialect, DIALECTS["deepseek"])
    notes = Notes(strict=settings.strict)
    seal = _seal(settings.state_dir)
    sees = sees_images(choice.model, dialect)
    request = await DocumentReader(settings.documents).prepare(request, sees=sees)
    editor = ContextEditor(_Encoder(dialect, seal))
    edits = await editor.edits(request, choice, notes, NOBODY)
    if not compacts:
        edits = replace(edits, compact=None)
    tools = settings.tools
    hosted = Hosted(web_search=tools.web_search != "off", web_fetch=tools.web_fetch != "off")
    translation = to_chat(request, choice, dialect, notes, seal, edits=edits, hosted=hosted)
    return Translated(choice=choice, dialect=dialect, translation=translation, notes=notes)


class _Encoder:
    """Counts with DeepSeek's own encoder."""

    def __init__(self, dialect: Dialect, seal: Seal) -> None:
        self._dialect = dialect
        self._seal = seal

    async def count(
        self,
        request: MessagesRequest,
        choice: Choice,
        *,
        caller: Caller = NOBODY,
        upstream: Upstream | None = None,
    ) -> CountResult:
        """The size of the request's prompt, the same for every caller and upstream."""
        notes = Notes()
        chat = to_chat(request, choice, self._dialect, notes, self._seal).chat
        assert choice.model.encoding is not None
        counted = measure_prompt(chat, choice.model.encoding)
        return CountResult(tokens=counted.tokens, exact=counted.exact, notes=notes)


def _seal(state_dir: Path) -> Seal:
    """The server's own seal, if it was ever started here; reasoning that it sealed is shown."""
    path = state_dir / SEAL_FILE
    return Seal(path.read_bytes() if path.is_file() else bytes(SEAL_BYTES))
