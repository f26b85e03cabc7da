"""What a test can ask a double."""

import threading

import pytest

from deepseek_messages.upstreams.double import Double, Text
from deepseek_messages.upstreams.double.double import Seen


def seen(path="/chat/completions"):
    return Seen("POST", path, {})


def test_waits_for_a_request_of_another_thread():
    double, first = Double(), seen()
    threading.Timer(0, double.saw, [first]).start()
    assert double.request() is first


def test_a_request_that_never_comes_is_an_error():
    with pytest.raises(TimeoutError, match="chat request 0"):
        Double().request(seconds=0)


def test_requests_are_the_chat_requests():
    double, chat, models = Double(), seen(), seen("/models")
    double.saw(models)
    double.saw(chat)
    assert double.requests == [chat]
    assert double.everything == [models, chat]


def test_clear_forgets_requests_and_script():
    double = Double([Text("a")])
    double.saw(seen())
    double.clear()
    assert (double.requests, double.pending) == ([], 0)
