"""Programs on other people's libraries for the Messages API, one per library."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support import toolchain
from tests.support.programs import Program, running_program

DRIVERS = pathlib.Path(__file__).parent / "drivers"
KEY = "sk-client"

# Packages that can be installed together share an environment.
# LlamaIndex's adapter, instructor and llm-anthropic do not take the newest SDK.
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "agents": ("anthropic==2.12.0", "langchain-anthropic==1.7.7", "pydantic-ai-slim==2.68.0"),
    "extraction": (
        "anthropic==0.93.0",
        "instructor==1.17.0",
        "litellm==1.83.0",
        "llama-index-llms-anthropic==0.12.3",
    ),
    "lists": ("anthropic==1.17.0", "llm==0.36", "llm-anthropic==0.30", "openai==3.54.0"),
}


TALK = ("text", "stream", "tools", "tools_stream", "structured", "thinking", "error")


@dataclass(frozen=True)
class Library:
    """``package`` as its registry names it, ``driver`` the file that uses it, ``scenarios`` what
    the file does, ``environment`` the Python packages beside it (none: a Node package).
    """

    name: str
    package: str
    driver: str
    scenarios: tuple[str, ...]
    environment: str | None = None
    model: str = "deepseek-chat"
    native_schema: bool = False  # structured output is output_config.format, not a forced tool
    replays_thinking: bool = True

    @property
    def version(self) -> str:
        """What is installed here."""
        if self.environment is None:
            return toolchain.node_requirements()[self.package]
        pinned = dict(each.split("==") for each in ENVIRONMENTS[self.environment])
        return pinned[self.package]

    def command(self) -> list[str]:
        """How its driver is started."""
        if self.environment is None:
            toolchain.node_script(DRIVERS / "lines.mjs")  # which the driver imports
            return ["node", str(toolchain.node_script(DRIVERS / self.driver))]
        requirements = ENVIRONMENTS[self.environment]
        python = toolchain.python_env(f"clients-{self.environment}", *requirements)
        return [str(python), str(DRIVERS / self.driver)]


LIBRARIES = {
    "ai_sdk": Library(
        "Vercel AI SDK",
        "@ai-sdk/anthropic",
        "ai_sdk.mjs",
        (*TALK, "structured_output", "structured_stream", "stream_error"),
    ),
    "langchain": Library(
        "LangChain",
        "langchain-anthropic",
        "langchain_py.py",
        (*TALK, "structured_schema", "count", "stream_error"),
        "agents",
    ),
    "langchain_js": Library(
        "LangChain.js",
        "@langchain/anthropic",
        "langchain_js.mjs",
        (*TALK, "structured_schema", "stream_error"),
    ),
    "pydantic_ai": Library(
        "pydantic-ai",
        "pydantic-ai-slim",
        "pydantic_ai_py.py",
        (*TALK, "structured_prompted", "stream_error"),
        "agents",
    ),
    "llama_index": Library(
        "LlamaIndex",
        "llama-index-llms-anthropic",
        "llama_index_py.py",
        (*TALK, "stream_error"),
        "extraction",
        model="claude-sonnet-4-5",  # it takes no name that it does not know
        native_schema=True,
    ),
    "instructor": Library(
        "instructor",
        "instructor",
        "instructor_py.py",
        (
            "structured",
            "structured_json",
            "structured_stream",
            "structured_thinking",
            "structured_list",
            "retried",
            "error",
        ),
        "extraction",
    ),
    "litellm": Library(
        "LiteLLM", "litellm", "litellm_py.py", (*TALK, "stream_error"), "extraction"
    ),
    "llm": Library(
        "llm",
        "llm-anthropic",
        "llm_py.py",
        (*(each for each in TALK if each != "tools_stream"), "models", "count", "stream_error"),
        "lists",
        native_schema=True,
    ),
    "openai": Library(
        "OpenAI SDK (list of models)", "openai", "openai_py.py", ("models", "missing"), "lists"
    ),
}


class Client:
    """A running program on one library."""

    def __init__(self, library: Library, program: Program) -> None:
        self.package = library
        self.program = program

    def run(self, scenario: str, server: str) -> dict[str, Any]:
        """What the scenario gave. Raises ``AssertionError`` when the program failed in it."""
        model = self.package.model
        return self.program.run(scenario=scenario, server=server, key=KEY, model=model)


@contextmanager
def running_client(library: Library) -> Iterator[Client]:
    """The program, until the block ends."""
    # LiteLLM and LangChain call home unless told not to.
    quiet = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LANGSMITH_TRACING": "false",
        "LANGCHAIN_TRACING_V2": "false",
    }
    with running_program(library.command(), **quiet) as program:
        yield Client(library, program)
