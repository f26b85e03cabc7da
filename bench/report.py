"""The figures of a run as text, as JSON and inside a page of the documentation."""

import json
import pathlib
import platform
import subprocess
import time

from bench.figures import Section

# Part of the processors that may be busy with something else without being mentioned.
QUIET = 0.1


def machine() -> str:
    """The machine in words."""
    found = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    said = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in found.splitlines())
    }
    cores, name = said.get("CPU(s)", "?"), said.get("Model name", "unknown processor")
    return f"{cores} x {name}, {platform.system()}, Python {platform.python_version()}"


def other_work(seconds: float = 2.0) -> float:
    """Part of the processors that is busy while we do nothing (0 to 1); 0 where it is not told."""

    def looked() -> list[int]:
        line = pathlib.Path("/proc/stat").read_text().partition("\n")[0]
        return [int(each) for each in line.split()[1:9]]

    try:
        before = looked()
        time.sleep(seconds)
        spent = [now - was for now, was in zip(looked(), before, strict=True)]
    except OSError:
        return 0.0
    idle = spent[3] + spent[4]  # idle and waiting for disks (proc(5))
    return 1 - idle / max(1, sum(spent))


def head(started: float, other: float) -> str:
    """The machine, what else it did, and how long the run took. ``started`` is when it began, by
    ``time.monotonic``.
    """
    minutes = (time.monotonic() - started) / 60
    said = f"{machine()}; the run took {minutes:.1f} minutes."
    if other < QUIET:
        return said
    return (
        f"{said} When it began, other work kept {100 * other:.0f} % of the processors busy: times "
        "waited are too long, and ratios of times uncertain; CPU times are less affected."
    )


def text(sections: list[Section], head: str, remarks: list[str]) -> str:
    """All tables."""
    tables = [section.table() for section in sections if section.rows]
    return "\n\n".join([head, *tables, *remarks])


def missed(sections: list[Section]) -> list[str]:
    """Names of the targets that even the best round missed."""
    return [row.name for section in sections for row in section.rows if row.missed]


def write_json(file: pathlib.Path, sections: list[Section], remarks: list[str]) -> None:
    """Every round of every figure."""
    found = {section.title: [row.found() for row in section.rows] for section in sections}
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = {"machine": machine(), "sections": found, "remarks": remarks}
    file.write_text(json.dumps(whole, indent=2) + "\n")


def write_page(page: pathlib.Path, name: str, said: str) -> None:
    """Put ``said`` between the two marks of that name. Raises ``ValueError`` without them."""
    mark = f"<!-- {name} -->"
    parts = page.read_text().split(mark)
    if len(parts) != 3:
        raise ValueError(f"{page}: {mark} must stand there twice")
    page.write_text(f"{parts[0]}{mark}\n\n{said}\n\n{mark}{parts[2]}")
