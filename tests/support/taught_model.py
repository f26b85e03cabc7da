"""A tiny model that says what it was taught, with DeepSeek's vocabulary, for real engines.

    model = teach([(prompt_ids, answer_ids), ...])
    write_gguf(model, path)

After a prompt's end it writes the answer that was taught with it, and it knows where it is by the
last five tokens. One transformer block (Qwen2's: it has biases) does it:

- A token's embedding is a random vector of +1 and -1, whose root mean square is 1: normalising
  it changes nothing.
- Head ``h`` looks at the token ``h`` places back, whatever that is. Queries and keys are constants
  (biases), turned by the rotary embedding; they agree most at that distance.
- It adds its slice of that token's embedding to the present token's. The block's second half is
  zero. So the end of the text stands in the block's output.
- The output matrix is zero but for the tokens that were taught. Their rows are learned by the
  perceptron's rule: add what should have led to the token, take away what led to another one.

Greedy or at temperature 1, the taught token is as good as certain. Where nothing was taught, all
tokens of no answer are alike.
"""

import json
import math
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from deepseek_messages.prompt.tokenizer import _document

HEADS = 4
ROPE_BASE = 10000.0
AGREEMENT = 14.0  # of queries and keys, above the next best distance: e^-14 of its weight is lost
CERTAINTY = 40.0  # by how much the taught token's logit is above any other
ROUNDS = 2000
INNER = 32  # width of the block's second half, which is zero

Lesson = tuple[Sequence[int], Sequence[int]]
Vector = list[float]


@dataclass(frozen=True)
class TaughtModel:
    """Weights by row: ``signs`` of the embedding (a bit each), ``output`` of the taught tokens.
    ``query`` and ``key`` are biases.
    """

    width: int
    signs: bytes
    query: Vector
    key: Vector
    output: dict[int, Vector]

    @property
    def head_width(self) -> int:
        return self.width // HEADS


@cache
def spellings() -> list[str]:
    """The vocabulary's tokens as its file spells them, by id."""
    return sorted(_numbers(), key=_numbers().__getitem__)


@cache
def _numbers() -> dict[str, int]:
    found = document()
    added = {each["content"]: each["id"] for each in found["added_tokens"]}
    return found["model"]["vocab"] | added


@cache
def document() -> dict:
    """``tokenizer.json``, with V4.1's token."""
    return json.loads(_document())


def teach(lessons: Sequence[Lesson], width: int = 64) -> TaughtModel:
    """A model that has learned ``lessons``. Raises ``ValueError`` when they contradict each other
    or are too many for its width.
    """
    signs = random.Random(1).randbytes(len(spellings()) * width // 8)
    moments = [
        (_state(signs, width, [*prompt, *answer[:at]]), token)
        for prompt, answer in lessons
        for at, token in enumerate(answer)
    ]
    query, key = _places(width // HEADS)
    return TaughtModel(width, signs, query, key, _learned(moments))


def embedding(signs: bytes, width: int, token: int) -> Vector:
    row = int.from_bytes(signs[token * width // 8 : (token + 1) * width // 8], "little")
    return [1.0 if row >> at & 1 else -1.0 for at in range(width)]


def _state(signs: bytes, width: int, ids: Sequence[int]) -> Vector:
    """What the model makes of a text's end, normalised."""
    state = embedding(signs, width, ids[-1])
    part = width // HEADS
    for head in range(HEADS):
        before = embedding(signs, width, ids[-2 - head])
        for at in range(head * part, (head + 1) * part):
            state[at] += before[at]
    size = math.sqrt(sum(x * x for x in state) / width)
    return [x / size for x in state]


def _places(width: int) -> tuple[Vector, Vector]:
    """Biases of all heads' queries and keys, the halves of a pair ``width / 2`` apart."""
    turns = [ROPE_BASE ** (-2 * at / width) for at in range(width // 2)]
    nearest = sum(1 - math.cos(turn) for turn in turns)  # what one place more or less costs
    size = math.sqrt(AGREEMENT * math.sqrt(width) / nearest)
    query: Vector = []
    for head in range(HEADS):
        angles = [-(head + 1) * turn for turn in turns]
        query += [size * math.cos(a) for a in angles] + [size * math.sin(a) for a in angles]
    return query, ([size] * (width // 2) + [0.0] * (width // 2)) * HEADS


def _learned(moments: list[tuple[Vector, int]]) -> dict[int, Vector]:
    """The output's rows, of which the right one beats all others by ``CERTAINTY``."""
    width = len(moments[0][0])
    rows = {token: [0.0] * width for _, token in moments}
    for _ in range(ROUNDS):
        right = True
        for state, token in moments:
            scores = {each: _product(row, state) for each, row in rows.items()}
            mine = scores.pop(token)
            rival = max(scores, key=scores.__getitem__, default=token)
            best = scores.get(rival, 0.0)
            if mine - max(best, 0.0) >= CERTAINTY:
                continue
            right = False
            rows[token] = [w + x for w, x in zip(rows[token], state, strict=True)]
            if best > 0:
                rows[rival] = [w - x for w, x in zip(rows[rival], state, strict=True)]
        if right:
            return rows
    raise ValueError("this cannot be learned: the same words are to be followed by different ones")


def identity(width: int) -> Vector:
    """The matrix that changes nothing, row by row."""
    return [1.0 if row == column else 0.0 for row in range(width) for column in range(width)]


def signs_table() -> list[bytes]:
    """Eight 16-bit numbers for each byte of ``TaughtModel.signs``."""
    return [
        b"".join(struct.pack("<e", 1.0 if byte >> at & 1 else -1.0) for at in range(8))
        for byte in range(256)
    ]


def _product(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
