"""Real engines with a model that was taught what to say: llama.cpp's server, and vLLM.

    with running_engine("llama.cpp", tmp_path) as engine: ... engine.url, engine.key ...

vLLM is no package of this project's: ``VLLM_PYTHON`` names the Python of an environment that has
it. It has DeepSeek's chat encoding, too, so that the chat route can be tried on it. Both have a
window of ``WINDOW`` tokens and keys of their own, and count what they take from their caches.
"""

import json
import os
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from deepseek_messages.prompt.tokenizer import TOKENIZER
from deepseek_messages.prompt.tokens import to_tokens
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatRequest,
    FunctionCall,
    ToolCall,
    UserMessage,
)
from tests.support.gguf_file import write_gguf
from tests.support.huggingface_folder import write_folder
from tests.support.llama_server import llama_server
from tests.support.taught_model import Lesson, teach
from tests.support.token_route import OFF, ON, chat, tools, written

MODEL = "DeepSeek-V4.1-Flash"
KEY = "sk-engine"
WINDOW = 8192  # long to fill: who watches an answer of that length has time
VLLM_PYTHON = os.environ.get("VLLM_PYTHON")
ENGINES = ("llama.cpp", "vllm") if VLLM_PYTHON else ("llama.cpp",)
ROUTES = ("tokens", "chat") if VLLM_PYTHON else ("tokens",)
END = 1  # <｜end▁of▁sentence｜>

TOOLS = tools("get_weather")
CALL = ToolCall("c", FunctionCall("get_weather", '{"city": "Paris"}'))

# What a user says last, and what the model answers. Reasoning ends with </think>.
THOUGHTFUL = "Think about bread and butter"
PLAIN = "Say hello to everyone here"
AGAIN = "Now say it once more"
COUNT = "Count from one to nine"
CONTINUED = "Name four of the seasons"
BEGUN = "Spring, summer,"
DRAWING = "Draw a parrot and a house"
ENDLESS = "Sing until I have left"
CALLED = "How warm is it in Paris"
FORCED = "What about the weather there"
TALKATIVE = "Name a city as JSON"

SAID = {
    THOUGHTFUL: "Bread comes first, I suppose.</think>Butter is second.",
    PLAIN: "Good morning to all of you!",
    AGAIN: "Once more, with pleasure.",
    COUNT: "one two three four five six seven eight nine",
    CONTINUED: " autumn and winter",
    DRAWING: "A parrot 🦜 and 𠮷, a house 🏠.",
    ENDLESS: " la" * 8,
    TALKATIVE: '{"city": "Oslo"} is one of them.',
}


@dataclass(frozen=True)
class Engine:
    """A running one. ``url`` is its base URL, without ``/v1``."""

    name: str
    url: str
    key: str = KEY

    def get(self, path: str) -> str:
        request = urllib.request.Request(
            self.url + path, headers={"authorization": f"Bearer {self.key}"}
        )
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()

    def busy(self) -> bool:
        """Whether it works on an answer."""
        if self.name == "llama.cpp":
            return any(slot["is_processing"] for slot in json.loads(self.get("/slots")))
        return self._metric("num_requests_running") > 0

    def written(self) -> int:
        """A figure that grows by the tokens of an answer: all that were made; of llama.cpp, those
        in its slots.
        """
        if self.name == "llama.cpp":
            return sum(slot.get("n_prompt_tokens", 0) for slot in json.loads(self.get("/slots")))
        return int(self._metric("generation_tokens_total"))

    def _metric(self, name: str) -> float:
        found = re.findall(rf"^vllm:{name}{{.*}} (\S+)", self.get("/metrics"), re.MULTILINE)
        return sum(map(float, found))


@contextmanager
def running_engine(name: str, folder: Path) -> Iterator[Engine]:
    """The engine, until the block ends; its model is written to ``folder``."""
    if name == "llama.cpp":
        path = folder / "taught.gguf"
        write_gguf(teach(lessons()), path)
        with llama_server(path, key=KEY, alias=MODEL, context=WINDOW) as url:
            yield Engine(name, url)
        return
    write_folder(teach(lessons(), width=128), folder, WINDOW)  # it has no heads below 32
    with _vllm(folder) as url:
        yield Engine(name, url)


@contextmanager
def _vllm(folder: Path) -> Iterator[str]:
    assert VLLM_PYTHON is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [VLLM_PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--api-key", KEY, "--max-model-len", str(WINDOW), "--enable-prompt-tokens-details"]
    # For the chat route: vLLM's own copy of DeepSeek's encoder, and its parsers.
    command += ["--tokenizer-mode", "deepseek_v41", "--reasoning-parser", "deepseek_v41"]
    command += ["--enable-auto-tool-choice", "--tool-call-parser", "deepseek_v41"]
    command += ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", "4"]
    given = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | given,
    )
    with process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if "Application startup complete" in line:
                    break
            else:
                raise AssertionError("".join(said[-30:]))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()  # it ends its own processes
            process.communicate()


def lessons() -> list[Lesson]:
    """What the model is taught. Its prompts are those of our own encoder."""
    learned = [
        (to_tokens(asked(words), "v4.1").ids, answer_ids(words))
        for words in SAID
        if words != CONTINUED
    ]
    begun = asked(CONTINUED, AssistantMessage(content=BEGUN, prefix=True))
    learned.append((to_tokens(begun, "v4.1").ids, answer_ids(CONTINUED)))
    for request, answer in (calling(), forcing()):
        learned.append((to_tokens(request, "v4.1").ids, _ids(answer)))
    return learned


def asked(words: str, *begun: AssistantMessage) -> ChatRequest:
    thinking = ON if "</think>" in SAID[words] else OFF
    return chat(MODEL, messages=[UserMessage(words), *begun], thinking=thinking)


def answer_ids(words: str) -> list[int]:
    """The tokens of the answer, and the end of the sentence where it has one."""
    ids = _ids(SAID[words])
    return ids[:-1] if words == ENDLESS else ids


def calling() -> tuple[ChatRequest, str]:
    """A request with a tool, and the answer that calls it."""
    request = chat(MODEL, messages=[UserMessage(CALLED)], thinking=ON, tools=TOOLS)
    answer = AssistantMessage(content="", reasoning_content="I look.", tool_calls=[CALL])
    return request, written(request, answer, "v4.1")


def forcing() -> tuple[ChatRequest, str]:
    """A request that wants a call, and the answer, which begins inside it."""
    free = chat(MODEL, messages=[UserMessage(FORCED)], tools=TOOLS)
    text = written(free, AssistantMessage(content="", tool_calls=[CALL]), "v4.1")
    return replace(free, tool_choice="required"), text.partition(" calls>\n")[2]


def _ids(text: str) -> list[int]:
    return [*TOKENIZER.full.encode(text), END]
