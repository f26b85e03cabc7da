import pytest

from deepseek_messages.translation.answer.thinktags import ThinkTags

CASES = [
    # inside, text, reasoning, answer
    (False, "<think>hm</think>Hi", "hm", "Hi"),
    (False, "<think>\nhm\n</think>\n\nHi\n", "hm\n", "Hi\n"),
    (False, " \n<think>hm</think>Hi", "hm", "Hi"),
    (False, "<think></think>Hi", "", "Hi"),
    (False, "<think>\n\n</think>\n\nHi", "", "Hi"),
    (False, "<think>hm", "hm", ""),
    (False, "<think>hm</thi", "hm</thi", ""),
    (False, "<think>a</b></think>Hi", "a</b>", "Hi"),
    (False, "<think>a</think>b</think>", "a", "b</think>"),
    (False, "Hi <think>x</think>", "", "Hi <think>x</think>"),
    (False, "<thinking>x", "", "<thinking>x"),
    (False, "<thi", "", "<thi"),
    (False, "<", "", "<"),
    (False, "", "", ""),
    (False, "   ", "", "   "),
    (False, "\n" * 100 + "<think>", "", "\n" * 100 + "<think>"),
    (True, "hm</think>Hi", "hm", "Hi"),
    (True, "\nhm</think>\n\nHi", "hm", "Hi"),
    (True, "hm", "hm", ""),
]


@pytest.mark.parametrize(("inside", "text", "reasoning", "answer"), CASES)
def test_split(inside: bool, text: str, reasoning: str, answer: str) -> None:
    for n in range(len(text) + 1):
        assert split([text[:n], text[n:]], inside=inside) == (reasoning, answer)
    assert split(list(text), inside=inside) == (reasoning, answer)


def split(pieces: list[str], *, inside: bool) -> tuple[str, str]:
    tags = ThinkTags(inside=inside)
    found = [*map(tags.feed, pieces), tags.flush()]
    return "".join(r for r, _ in found), "".join(a for _, a in found)


def test_text_passes_once_the_answer_began() -> None:
    tags = ThinkTags()
    assert not tags.passing
    tags.feed("Hi")
    assert tags.passing


def test_reasoning_is_not_held_back() -> None:
    tags = ThinkTags()
    assert tags.feed("<think>hm <") == ("hm ", "")
    assert tags.feed("b") == ("<b", "")
