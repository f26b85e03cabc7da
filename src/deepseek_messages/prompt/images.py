"""How many tokens an image takes in a prompt of DeepSeek V4.1.

Source: ``deepseek-recipe``, whose rule depends on an image's width and height alone: patches of
14 px, cells of 3 by 3 patches, at most 1024 tokens.
"""

import binascii
from base64 import b64decode
from io import BytesIO
from typing import TYPE_CHECKING

from msgspec import Struct

from deepseek_messages.prompt.estimate import MOST_IMAGE_TOKENS

if TYPE_CHECKING:
    import deepseek_recipe as recipe

# The formats DeepSeek takes, by their first bytes; no other parser is let near a client's data.
FORMATS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")

# Photographs keep their dimensions within the first bytes, after colour profile and previews.
HEADER_BYTES = 1024 * 1024


class ImageCount(Struct, frozen=True):
    """Tokens of an image; ``exact`` is false for one that only the upstream can look at."""

    tokens: int
    exact: bool


UNSEEN = ImageCount(MOST_IMAGE_TOKENS, exact=False)


def count_image(source: "recipe.ImageSource") -> ImageCount:
    """Tokens of an image given with a request. Nothing is fetched: an image named by URL or file
    id is counted at the largest size.
    """
    import deepseek_recipe as recipe  # noqa: PLC0415 - the library behind ``encoding``

    data = _bytes(source)
    size = None if data is None else dimensions(data)
    if size is None or source.detail == "low":
        return UNSEEN
    images = recipe.MultiModalData([recipe.ImageInfo(b"", *size)])
    try:
        return ImageCount(images.image_token_adjustment() + 1, exact=True)
    except recipe.CalcResizeError:
        return UNSEEN


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels from an image's header, as it is shown (a photograph's
    orientation applied); ``None`` when the header does not tell.
    """
    import imagesize  # noqa: PLC0415 - few requests have images

    if not data.startswith(FORMATS):
        return None
    try:
        width, height = imagesize.get(BytesIO(data[:HEADER_BYTES]), exif_rotation=True)
    except Exception:  # noqa: BLE001 - the parser meets hostile bytes; any failure is "unknown"
        return None
    return (int(width), int(height)) if width > 0 and height > 0 else None


def _bytes(source: "recipe.ImageSource") -> bytes | None:
    if source.data is not None:
        return source.data
    if source.data_url is None:
        return None
    head, _, body = source.data_url.partition(",")
    if not head.endswith(";base64"):
        return None
    whole = min(len(body), HEADER_BYTES * 4 // 3) // 4 * 4
    try:
        return b64decode(body[:whole])
    except (binascii.Error, ValueError):
        return None
