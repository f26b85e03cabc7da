"""Decoding bodies that came compressed unasked."""

import gzip
import zlib

import pytest

from deepseek_messages.upstreams.http.coding import MAX_PIECE, Inflater

TEXT = b"data: one\n\ndata: two\n\n" * 50
RAW = zlib.compressobj(wbits=-15)
PACKED = {
    "gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "deflate without its wrapping": RAW.compress(TEXT) + RAW.flush(),
}


def inflate(*pieces: bytes) -> bytes:
    inflater = Inflater()
    done = b"".join(map(inflater.feed, pieces))
    while inflater.more:
        done += inflater.feed(b"")
    assert inflater.whole
    return done


@pytest.mark.parametrize("packed", PACKED.values(), ids=PACKED)
def test_each_coding_is_decoded_whole_and_byte_by_byte(packed: bytes) -> None:
    assert inflate(packed) == TEXT
    assert inflate(*(packed[at : at + 1] for at in range(len(packed)))) == TEXT


def test_what_is_not_compressed_is_refused() -> None:
    with pytest.raises(ValueError, match="not compressed"):
        Inflater().feed(b"plain text")


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_comes_before_bytes_that_do_not_fit_is_kept(size: int) -> None:
    """However the bytes are cut."""
    press = zlib.compressobj(wbits=31)
    data = press.compress(TEXT) + press.flush(zlib.Z_SYNC_FLUSH) + b"\xff" * 100
    inflater, done = Inflater(), b""
    with pytest.raises(ValueError, match="not compressed"):  # noqa: PT012 - in one of them
        for at in range(0, len(data), size):
            done += inflater.feed(data[at : at + size])
            while inflater.more:
                done += inflater.feed(b"")
    assert done == TEXT


def test_a_cut_body_is_not_whole() -> None:
    inflater = Inflater()
    inflater.feed(PACKED["gzip"][:-9])
    assert not inflater.whole


def test_an_empty_body_is_whole() -> None:
    assert inflate(b"") == b""


def test_a_bomb_is_decoded_in_bounded_pieces() -> None:
    inflater = Inflater()
    bomb = gzip.compress(b"\0" * (3 * MAX_PIECE))
    assert len(inflater.feed(bomb)) <= MAX_PIECE
    assert inflater.more
