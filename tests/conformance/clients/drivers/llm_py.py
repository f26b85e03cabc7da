"""The ``llm`` command with its plug-in ``llm-anthropic``.

The command runs in this process, as ``click`` runs it for tests: starting Python and its imports
anew for each would take seconds; ``models`` does start it as a user does.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click.testing
from lines import Order, drive
from llm.cli import cli

HOME = Path(tempfile.mkdtemp())
WEATHER = 'def get_weather(city: str) -> str:\n    "The weather in a city."\n    return "18 C"\n'


def variables(order: Order) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(HOME),
        "LLM_USER_PATH": str(HOME),
        "ANTHROPIC_BASE_URL": f"{order.server}/anthropic",
        "ANTHROPIC_API_KEY": order.key,
    }


def llm(order: Order, *words: str) -> click.testing.Result:
    """Run the command. It learns the server's models once, by ``llm anthropic refresh``."""
    runner = click.testing.CliRunner(env=variables(order))
    if not (HOME / "anthropic_models.json").exists():
        said(runner.invoke(cli, ["anthropic", "refresh"]))
    return runner.invoke(cli, words)


def said(done: click.testing.Result) -> str:
    assert done.exit_code == 0, done.output
    return done.stdout


def models(order):
    command = [sys.executable, "-m", "llm", "anthropic", "refresh"]
    env = variables(order)
    subprocess.run(command, env=env, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    listed = said(llm(order, "models")).splitlines()
    return {
        "ids": [line.partition("anthropic/")[2].split()[0] for line in listed if "deepseek" in line]
    }


def text(order):
    got = llm(order, "-m", order.model, "--no-stream", "--usage", "-s", "Be brief.", "Say hello.")
    usage = got.stderr.partition("Token usage: ")[2].split()[0]
    return {"text": said(got).strip(), "tokens": int(usage.replace(",", ""))}


def stream(order):
    return {"pieces": [said(llm(order, "-m", order.model, "Say hello.")).rstrip("\n")]}


def tools(order):
    got = llm(order, "-m", order.model, "--functions", WEATHER, "--td", "Weather in Hangzhou?")
    called = [{"city": "Hangzhou"}] if "get_weather({'city': 'Hangzhou'})" in got.stderr else []
    return {"called": called, "text": said(got).strip()}


def structured(order):
    return json.loads(said(llm(order, "-m", order.model, "--schema", "name, age int", "Who?")))


def thinking(order):
    options = ["-o", "thinking", "1"]
    first = llm(order, "-m", order.model, *options, "Say hello.")
    second = llm(order, "-c", *options, "And again.")
    return {
        "thoughts": [first.stderr.strip()],
        "texts": [said(first).strip(), said(second).strip()],
    }


def count(order):
    words = ["anthropic", "count", "-m", order.model, "-s", "Be brief.", "Say hello."]
    return {"tokens": int(said(llm(order, *words)))}


def error(order):
    """Of an error that the SDK below does not try again."""
    got = llm(order, "-m", order.model, "Say hello.")
    return {"status": int(got.stderr.partition("Error code: ")[2][:3]), "said": got.stderr}


def stream_error(order):
    got = llm(order, "-m", order.model, "Say hello.")
    return {"text": got.stdout.strip(), "said": got.stderr}


drive(models, text, stream, tools, structured, thinking, count, error, stream_error)
