"""The map of the code names files that are there, and every package."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "src" / "deepseek_messages"
MAP = (ROOT / "docs" / "map.md").read_text()


def test_every_file_on_the_map_is_there() -> None:
    named = re.findall(r"`([\w/]+\.(?:py|toml))`", MAP)
    places = (CODE, *(CODE / "translation").glob("**/"))
    assert [name for name in named if not any((place / name).is_file() for place in places)] == []


def test_every_package_is_on_the_map() -> None:
    packages = {path.parent.name for path in CODE.glob("*/__init__.py")}
    assert packages == set(re.findall(r"^\| `(\w+)` \|", MAP, re.MULTILINE))
