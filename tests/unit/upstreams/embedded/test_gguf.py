import struct

import pytest

from deepseek_messages.upstreams.embedded.gguf import GgufError, GgufInfo, read_info


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key, kind, payload):
    return text(key) + struct.pack("<I", kind) + payload


def number(key, value):
    return pair(key, 4, struct.pack("<I", value))


def words(key, *values):
    array = struct.pack("<IQ", 8, len(values)) + b"".join(text(value) for value in values)
    return pair(key, 9, array)


def numbers(key, *values):
    return pair(key, 9, struct.pack(f"<IQ{len(values)}I", 4, len(values), *values))


def gguf(*pairs, version=3, count=None):
    head = struct.pack("<4sIQQ", b"GGUF", version, 0, len(pairs) if count is None else count)
    return head + b"".join(pairs)


def info(tmp_path, raw):
    path = tmp_path / "m.gguf"
    path.write_bytes(raw)
    return read_info(path)


BASE = [
    pair("general.architecture", 8, text("llama")),
    words("tokenizer.ggml.tokens", "a", "bc", ""),
    pair("tokenizer.ggml.scores", 9, struct.pack("<IQ2f", 6, 2, 0.5, 1.5)),
    pair("x.flag", 7, b"\x01"),
    number("llama.context_length", 8192),
    number("llama.block_count", 30),
    number("llama.embedding_length", 576),
    number("llama.attention.head_count", 9),
    number("llama.attention.head_count_kv", 3),
    pair("tokenizer.chat_template", 8, text("{{ messages }}")),
]


def test_figures_and_template_are_read_past_other_values(tmp_path):
    found = info(tmp_path, gguf(*BASE))
    assert found == GgufInfo(
        context=8192, cache_bytes=30 * 3 * (64 + 64) * 2, template="{{ messages }}"
    )


def test_heads_given_by_layer_count_as_the_largest(tmp_path):
    pairs = [entry for entry in BASE if b"head_count_kv" not in entry]
    found = info(tmp_path, gguf(*pairs, numbers("llama.attention.head_count_kv", 0, 3, 2)))
    assert found.cache_bytes == 30 * 3 * 128 * 2


def test_key_and_value_widths_may_be_given(tmp_path):
    widths = [number("llama.attention.key_length", 128), number("llama.attention.value_length", 32)]
    assert info(tmp_path, gguf(*BASE, *widths)).cache_bytes == 30 * 3 * 160 * 2


def test_a_file_that_says_little_gives_zeros(tmp_path):
    assert info(tmp_path, gguf(BASE[0])) == GgufInfo(context=0, cache_bytes=0, template="")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "too short"),
        (b"PK\x03\x04" + bytes(40), "does not begin with GGUF"),
        (gguf(*BASE, version=9), "version 9"),
        (gguf(*BASE, count=10**6), "header entries"),
        (gguf(*BASE, count=len(BASE) + 1), "cut off"),
        (gguf(*BASE)[:80], "cut off"),
        (gguf(pair("a", 99, b"")), "value type 99"),
        (gguf(pair("a", 8, struct.pack("<Q", 1 << 40))), "a text of"),
        (gguf(pair("a", 9, struct.pack("<IQ", 4, 1 << 60))), "cut off"),
        (gguf(pair("a", 9, struct.pack("<IQQ", 8, 1, 1 << 60))), "cut off"),
    ],
)
def test_what_is_no_whole_file_is_refused_with_a_reason(tmp_path, raw, said):
    with pytest.raises(GgufError, match=said):
        info(tmp_path, raw)


def test_every_cut_of_a_file_is_refused(tmp_path):
    raw = gguf(*BASE)
    for end in range(len(raw)):
        with pytest.raises(GgufError):
            info(tmp_path, raw[:end])
