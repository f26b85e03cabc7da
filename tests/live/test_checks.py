"""``make live`` itself, on the strict double and on llama.cpp's server."""

import subprocess
from pathlib import Path

import pytest

from deepseek_messages.settings import load_settings
from deepseek_messages.store.models import DEFAULT, ModelStore
from deepseek_messages.upstreams.double import Double, Text, running_double
from tests.live import checks
from tests.support.llama_server import KEY, llama_server

ROOT = Path(__file__).resolve().parents[2]


def answer(seen: object) -> Text | None:
    """JSON where JSON is asked for; the echo otherwise."""
    body = getattr(seen, "body", None) or {}
    wanted = (body.get("response_format") or {}).get("type")
    return Text('{"city": "Oslo"}') if wanted else None


def test_on_the_double() -> None:
    double = Double(respond=answer)
    with running_double(double) as url:
        results, used = checks.run(url, "sk-live", None)
    assert [each for each in results if not each.ok] == []
    assert len(results) == len(checks.CHECKS)
    assert double.refusals == []
    assert used["in"] + used["out"] < checks.MOST_TOKENS
    assert {seen.key for seen in double.requests} == {"sk-live"}


def test_on_llama_cpp() -> None:
    pytest.importorskip("xllamacpp", reason="the embedded engine is not installed")
    path = ModelStore(load_settings(None, {}, {}).cache_dir).resolve(DEFAULT).fetch(lambda *_: None)
    with llama_server(path) as url:
        results, used = checks.run(url, KEY, None)
    assert [each for each in results if not each.ok] == []
    assert used["in"] + used["out"] < checks.MOST_TOKENS


def test_a_failure_is_shown_and_is_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with running_double(Double(respond=lambda _: Text(""))) as url:
        code = checks.main([url, "--key", "sk-live"])
    printed = capsys.readouterr().out
    assert code == 1
    assert "FAILED" in printed
    assert "of 10 checks passed" in printed


def test_make_takes_it_from_there() -> None:
    command = [
        "make",
        "--no-print-directory",
        "-n",
        "live",
        "UPSTREAM=http://127.0.0.1:1/v1",
        "KEY=sk-x",
        "MODEL=m",
    ]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    program = shown.partition("-m tests.live.checks ")[2]
    assert program.split() == [
        "'http://127.0.0.1:1/v1'",
        "--model",
        "'m'",
    ]  # the key is no argument
    assert "DEEPSEEK_MESSAGES_LIVE_KEY='sk-x'" in shown
