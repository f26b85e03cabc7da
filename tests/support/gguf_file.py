"""Writes a ``TaughtModel`` as a GGUF file, for llama.cpp.

Source: the GGUF specification (ggml, ``docs/gguf.md``), version 3; names of llama.cpp's Qwen2 and
of its tokenizers.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support.taught_model import (
    HEADS,
    INNER,
    ROPE_BASE,
    TaughtModel,
    Vector,
    document,
    identity,
    signs_table,
    spellings,
)

ALIGNMENT = 32
U32, INT32, FLOAT, STRING, ARRAY = 4, 5, 6, 8, 9  # kinds of values
F32, F16 = 0, 1  # kinds of tensors
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # kinds of tokens

Tensor = tuple[str, tuple[int, ...], int, bytes]


def write_gguf(model: TaughtModel, path: Path, context: int = 1 << 20) -> None:
    """Write ``path``. ``context`` is what the file says the model was trained for."""
    pairs = [_text(key) + value for key, value in _pairs(model, context)]
    tensors = list(_tensors(model))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs)
    at = 0
    for name, shape, kind, data in tensors:
        head += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", kind, at)
        at += len(_padded(data))
    with path.open("wb") as file:
        file.write(_padded(head))
        file.writelines(_padded(data) for *_, data in tensors)


def _pairs(model: TaughtModel, context: int) -> Iterator[tuple[str, bytes]]:
    added = {each["id"]: each["special"] for each in document()["added_tokens"]}
    kinds = [NORMAL] * len(spellings())
    for token, special in added.items():
        kinds[token] = CONTROL if special else USER_DEFINED
    merges = document()["model"]["merges"]
    yield "general.architecture", _string("qwen2")
    for name, number in {
        "context_length": context,
        "embedding_length": model.width,
        "block_count": 1,
        "feed_forward_length": INNER,
        "attention.head_count": HEADS,
        "attention.head_count_kv": HEADS,
    }.items():
        yield f"qwen2.{name}", struct.pack("<II", U32, number)
    yield "qwen2.attention.layer_norm_rms_epsilon", struct.pack("<If", FLOAT, 1e-6)
    yield "qwen2.rope.freq_base", struct.pack("<If", FLOAT, ROPE_BASE)
    yield "tokenizer.ggml.model", _string("gpt2")
    yield "tokenizer.ggml.pre", _string("deepseek-v3")
    yield "tokenizer.ggml.tokens", _array(STRING, map(_text, spellings()))
    yield "tokenizer.ggml.token_type", _array(INT32, (struct.pack("<i", kind) for kind in kinds))
    yield "tokenizer.ggml.merges", _array(STRING, map(_text, merges))
    yield "tokenizer.ggml.bos_token_id", struct.pack("<II", U32, 0)
    yield "tokenizer.ggml.eos_token_id", struct.pack("<II", U32, 1)


def _tensors(model: TaughtModel) -> Iterator[Tensor]:
    """Shapes have the input's width first."""
    width, words = model.width, len(spellings())
    signs, nothing, same = signs_table(), bytes(2 * width), _halves(identity(width))
    output = {token: _halves(row) for token, row in model.output.items()}
    yield "token_embd.weight", (width, words), F16, b"".join(map(signs.__getitem__, model.signs))
    yield (
        "output.weight",
        (width, words),
        F16,
        b"".join(output.get(token, nothing) for token in range(words)),
    )
    yield "output_norm.weight", (width,), F32, _floats([1.0] * width)
    for name, data in {
        "attn_q.weight": nothing * width,
        "attn_k.weight": nothing * width,
        "attn_v.weight": same,
        "attn_output.weight": same,
    }.items():
        yield f"blk.0.{name}", (width, width), F16, data
    for name, row in {
        "attn_norm.weight": [1.0] * width,
        "ffn_norm.weight": [1.0] * width,
        "attn_q.bias": model.query,
        "attn_k.bias": model.key,
        "attn_v.bias": [0.0] * width,
    }.items():
        yield f"blk.0.{name}", (width,), F32, _floats(row)
    for name, shape in {
        "ffn_gate": (width, INNER),
        "ffn_up": (width, INNER),
        "ffn_down": (INNER, width),
    }.items():
        yield f"blk.0.{name}.weight", shape, F16, nothing * INNER


def _halves(numbers: Vector) -> bytes:
    return struct.pack(f"<{len(numbers)}e", *numbers)


def _floats(numbers: Vector) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _string(text: str) -> bytes:
    return struct.pack("<I", STRING) + _text(text)


def _array(kind: int, values: Iterable[bytes]) -> bytes:
    found = list(values)
    return struct.pack("<IIQ", ARRAY, kind, len(found)) + b"".join(found)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)
