"""The golden conversations, read for tests (tests/golden/test_golden.py tells their form)."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.events import StreamEvent
from tests.support.answers import FakeSeal, translate, translate_whole

HERE = Path(__file__).parents[1] / "golden"
FOLDERS = sorted(path.parent for path in HERE.glob("*/about.txt"))


class Golden:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "plan.json"
        given: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.prompt_tokens: int | None = given.pop("prompt_tokens", 20)
        self.plan = msgspec.convert({"model": "deepseek-chat", **given}, ReplyPlan)
        self.streamed = (folder / "upstream.sse").exists()
        name = "upstream.sse" if self.streamed else "upstream.json"
        self.upstream = (folder / name).read_bytes()

    def events(self, pieces: Iterable[bytes]) -> list[StreamEvent]:
        if self.streamed:
            return translate(pieces, self.plan, prompt_tokens=self.prompt_tokens, seal=FakeSeal())
        return translate_whole(
            b"".join(pieces), self.plan, prompt_tokens=self.prompt_tokens, seal=FakeSeal()
        )

    def expect(self, name: str, found: bytes) -> None:
        path = self.folder / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_bytes(found)
        assert path.read_bytes().decode() == found.decode()
