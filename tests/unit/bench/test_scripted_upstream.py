import pytest

from bench import upstream
from bench.bodies import chat_request, messages_request, script


@pytest.mark.parametrize("interval", [0, 0.5, 500])
def test_a_request_tells_the_upstream_how_to_answer(interval: float) -> None:
    for request in (chat_request, messages_request):
        found = upstream.SCRIPT.search(request(True, told=script(12, interval)))
        assert found is not None
        assert (int(found[1]), float(found[2])) == (12, interval)


def test_a_flood_has_as_many_chunks_as_were_asked_for() -> None:
    assert upstream.flood(7).count(b'"content":" word"') == 7
    assert upstream.flood(7).endswith(b"0\r\n\r\n")


def test_only_a_request_for_a_stream_is_one() -> None:
    assert upstream.STREAMS.search(chat_request(True))
    assert not upstream.STREAMS.search(chat_request(False))
