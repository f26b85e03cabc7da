import pytest

from deepseek_messages.translation.answer.stops import StopWatch

CASES = [
    # sequences, text, what is shown, what matched
    (["END"], "abcENDdef", "abc", "END"),
    (["END"], "abcEN", "abcEN", None),
    (["END"], "ENEND", "EN", "END"),
    (["END"], "END", "", "END"),
    (["END"], "", "", None),
    (["\n\n"], "a\nb\n\nc", "a\nb", "\n\n"),
    (["aab"], "aaab", "a", "aab"),
    (["b", "abc"], "xabc", "x", "abc"),
    (["abc", "b"], "xabc", "x", "abc"),
    (["abc", "b"], "xabd", "xa", "b"),
    (["abc", "ab"], "xabc", "x", "abc"),
    (["abc", "ab"], "xabd", "x", "ab"),
    (["abc", "ab"], "xab", "x", "ab"),
    (["ab", "abc"], "xabc", "x", "ab"),
    (["", "END"], "aEND", "a", "END"),
    ([""], "a", "a", None),
    (["。"], "你好。吗", "你好", "。"),
    ([".*"], "ab.*", "ab", ".*"),
    (["abcd", "bc"], "abce", "a", "bc"),
    (["aba", "ab"], "xxab", "xx", "ab"),
    (["aba", "ab"], "abaab", "", "aba"),
    (["xab", "ab", "abc"], "abc", "", "ab"),
    (["abcd", "xyz", "ab"], "1ab", "1", "ab"),
    (["zz", "ab"], "xab", "x", "ab"),
    (["abc", "b", "bd"], "ab", "a", "b"),
]


@pytest.mark.parametrize(("sequences", "text", "shown", "matched"), CASES)
def test_match(sequences: list[str], text: str, shown: str, matched: str | None) -> None:
    for n in range(len(text) + 1):
        assert watch(sequences, [text[:n], text[n:]]) == (shown, matched)
    assert watch(sequences, list(text)) == (shown, matched)


def watch(sequences: list[str], pieces: list[str]) -> tuple[str, str | None]:
    stops = StopWatch(sequences)
    shown = "".join(map(stops.feed, pieces)) + stops.flush()
    return shown, stops.matched


def test_certain_text_is_not_held_back() -> None:
    stops = StopWatch(["END"])
    assert stops.feed("abcE") == "abc"
    assert stops.feed("x") == "Ex"
    assert stops.feed("abc") == "abc"


def test_text_in_which_no_match_can_begin_passes() -> None:
    stops = StopWatch(["END"])
    assert stops.passes("abc")
    assert not stops.passes("abE")
    stops.feed("abE")
    assert not stops.passes("abc")
    stops.feed("ND")
    assert not stops.passes("abc")


def test_nothing_comes_after_a_match() -> None:
    stops = StopWatch(["END"])
    stops.feed("END")
    assert stops.feed("more") == stops.flush() == ""


def test_without_sequences_everything_is_shown_at_once() -> None:
    stops = StopWatch([])
    assert stops.passes("abc")
    assert stops.feed("abc") == "abc"
    assert (stops.flush(), stops.matched) == ("", None)


def test_no_more_is_held_back_than_may_begin_a_match() -> None:
    stops = StopWatch(["abcd", "xy"])
    assert stops.feed("1abcx") == "1abc"
    assert stops.feed("abc") == "x"
    assert stops.feed("1") == "abc1"
