import struct
import zlib
from base64 import b64encode

import deepseek_recipe as recipe
import pytest

from deepseek_messages.prompt.estimate import MOST_IMAGE_TOKENS
from deepseek_messages.prompt.images import count_image, dimensions


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = b"".join(b"\0" + b"\x7f" * (width * 3) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def jpeg(width: int, height: int, *, orientation: int | None = None) -> bytes:
    """The header of a photograph, as far as its frame."""
    exif = b""
    if orientation is not None:
        tiff = b"MM\0*" + struct.pack(">I", 8)
        tiff += struct.pack(">HHHIHH", 1, 0x0112, 3, 1, orientation, 0)
        tiff += struct.pack(">I", 0)
        body = b"Exif\0\0" + tiff
        exif = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"
    return (
        b"\xff\xd8" + exif + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xd9"
    )


def webp(width: int, height: int) -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


def data_url(data: bytes, media_type: str = "image/png") -> recipe.ImageSource:
    return recipe.DataUrlImageSource(f"data:{media_type};base64,{b64encode(data).decode()}")


@pytest.mark.parametrize("data", [png(30, 20), gif(30, 20), jpeg(30, 20), webp(30, 20)])
def test_dimensions_of_each_format(data: bytes) -> None:
    assert dimensions(data) == (30, 20)


def test_dimensions_of_a_turned_photograph() -> None:
    assert dimensions(jpeg(30, 20, orientation=6)) == (20, 30)
    assert dimensions(jpeg(30, 20, orientation=1)) == (30, 20)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"\xff\xd8\xff",
        b"<svg width='9' height='9'/>",
        b"x" * 99,
    ],
)
def test_unreadable_header_is_unknown(data: bytes) -> None:
    assert dimensions(data) is None


@pytest.mark.parametrize(
    ("width", "height"),
    [(10, 10), (544, 544), (1000, 700), (700, 1000), (1500, 1100), (2000, 150)],
)
def test_count_is_that_of_the_preprocessed_image(width: int, height: int) -> None:
    data = png(width, height)
    resolver = recipe.ImageResolver(recipe.ReqwestImageFetcher(), recipe.OpenCvImagePreprocessor())
    seen = resolver.resolve([recipe.BytesImageSource(data)], recipe.ImageQuota())
    expected = seen.image_token_adjustment() + 1
    for source in (data_url(data), recipe.BytesImageSource(data)):
        count = count_image(source)
        assert (count.tokens, count.exact) == (expected, True)


def test_small_and_huge_images_have_their_bounds() -> None:
    assert count_image(data_url(gif(1, 1))).tokens == 13 * 14 + 2
    assert count_image(data_url(gif(8000, 8000))).tokens <= MOST_IMAGE_TOKENS


@pytest.mark.parametrize(
    "source",
    [
        recipe.UrlImageSource("https://example.com/a.png"),
        recipe.DataUrlImageSource("data:image/png;base64,!!!!"),
        recipe.DataUrlImageSource("data:image/png,%89PNG"),
        data_url(b"not an image"),
        recipe.BytesImageSource(gif(9, 9), "low"),
    ],
)
def test_image_that_cannot_be_measured_counts_the_most(source: recipe.ImageSource) -> None:
    count = count_image(source)
    assert (count.tokens, count.exact) == (MOST_IMAGE_TOKENS, False)


def test_a_large_image_is_measured_by_its_beginning() -> None:
    assert count_image(data_url(gif(100, 100) + b"\0" * 5_000_000)).exact
