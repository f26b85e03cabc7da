"""Count the tokens of a request for a caller: the model it names, then its prompt's size."""

from collections.abc import Mapping

from msgspec.structs import replace

from deepseek_messages.service.callers import Caller
from deepseek_messages.service.counting import Counter, CountResult
from deepseek_messages.service.documents import DocumentReader
from deepseek_messages.service.editing import ContextEditor
from deepseek_messages.service.hosting import NO_HOSTING, Hosting
from deepseek_messages.telemetry.record import RequestRecord
from deepseek_messages.translation.catalogue import resolve
from deepseek_messages.translation.hosted.server_tools import Hosted
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.request.request import sees_images
from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.wire.messages import MessagesRequest


class CountTokens:
    """The use case behind ``count_tokens``."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        counter: Counter,
        documents: DocumentReader,
        editor: ContextEditor,
        default_model: str,
        aliases: Mapping[str, str] | None = None,
        strict: bool = False,
        hosting: Hosting = NO_HOSTING,
    ) -> None:
        self._upstream = upstream
        self._counter = counter
        self._documents = documents
        self._editor = editor
        self._default_model = default_model
        self._aliases = aliases or {}
        self._strict = strict
        self._hosting = hosting

    async def __call__(
        self, request: MessagesRequest, caller: Caller, record: RequestRecord
    ) -> CountResult:
        """Server tools count as the model would be told of them, and MCP servers are asked for
        theirs; no summary is made where one is due. Raises ``Refusal`` for a request that could
        not be served, ``Fault`` when the upstream cannot say what it serves.
        """
        record.requested_model = request.model[:100]
        record.upstream = self._upstream.name
        served = await self._upstream.models()
        choice = resolve(request.model, served, self._default_model, self._aliases)
        record.model = choice.model.id
        sees = sees_images(choice.model, self._upstream.dialect)
        request = await self._documents.prepare(request, sees=sees)
        edits = await self._editor.edits(request, choice, Notes(strict=self._strict), caller)
        edits = replace(edits, compact=None)
        hosted = await self._hosted(request, caller)
        counted = await self._counter.count(
            request, choice, caller=caller, strict=self._strict, edits=edits, hosted=hosted
        )
        if edits.applied:
            before = await self._counter.count(request, choice, caller=caller, hosted=hosted)
            counted = replace(counted, original_tokens=before.tokens)
        record.notes = tuple(str(note) for note in counted.notes.entries)
        return counted

    async def _hosted(self, request: MessagesRequest, caller: Caller) -> Hosted:
        """The server tools that an answer could run; none of them is run."""
        run = await self._hosting.prepare(request, caller)
        await run.tools.aclose()
        return run.hosted
