"""What ``make audit`` checks: that the wheel holds only what is in git and nothing that runs by
itself, and that no locked dependency has a known vulnerability.

python scripts/audit.py [--wheel-only | --strict]

Where the service that knows vulnerabilities cannot be reached the last line says so; that is an
error with ``--strict`` only, as in pip-audit itself.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "src/deepseek_messages/"

Report = dict[str, Any]  # of pip-audit, in JSON

# What a wheel has besides the package: metadata, and no scripts, headers or data.
METADATA = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def build(source: Path, target: Path) -> Path:
    """The wheel of a source tree."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (wheel,) = target.glob("*.whl")
    return wheel


def export(target: Path) -> Path:
    """The tree of the last commit."""
    command = ["git", "archive", "--format=tar", "HEAD"]
    archive = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(target, filter="data")
    return target


def committed() -> dict[str, bytes]:
    """The package's files in the last commit, by their name inside a wheel."""
    command = ["git", "ls-tree", "-r", "--name-only", "HEAD", PACKAGE]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = {}
    for name in names.splitlines():
        shown = subprocess.run(
            ["git", "show", f"HEAD:{name}"], cwd=ROOT, check=True, capture_output=True
        )
        found[name.removeprefix("src/")] = shown.stdout
    return found


def strange(wheel: Path) -> list[str]:
    """What should not be in the wheel, and why."""
    known = committed()
    found = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            folder, _, rest = name.partition("/")
            if name.endswith(".pth"):
                found.append(f"{name}: runs at every start of Python")
            elif folder.endswith(".dist-info"):
                if rest not in METADATA:
                    found.append(f"{name}: no metadata of ours")
            elif name not in known:
                found.append(f"{name}: not in git")
            elif archive.read(name) != known[name]:
                found.append(f"{name}: not as in git")
    return found


def vulnerable(report: Report) -> list[str]:
    """The dependencies with known vulnerabilities, and where each is mended."""
    return [
        f"{found['name']} {found['version']}: {flaw['id']}, mended in"
        f" {', '.join(flaw['fix_versions']) or 'no version yet'}"
        for found in report["dependencies"]
        for flaw in found.get("vulns", ())
    ]


def unknown(report: Report) -> list[str]:
    """The names of dependencies that could not be looked up."""
    return [found["name"] for found in report["dependencies"] if "skip_reason" in found]


def dependencies(*, strict: bool) -> bool:
    """Look up what is locked and tell about it. Whether that is as it must be."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", "requirements.lock"]
    command += ["--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    try:
        report: Report = json.loads(done.stdout)
    except ValueError:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"dependencies: NOT CHECKED, pip-audit could not look them up: {why}")
        return not strict
    bad, missing = vulnerable(report), unknown(report)
    total = len(report["dependencies"])
    if bad or len(missing) < total:
        print("\n".join(bad) or f"dependencies: no known vulnerability in {total - len(missing)}")
    if missing:
        print(
            f"dependencies: NOT CHECKED are {len(missing)} of {total}, which could not be looked up"
            " from here (pip-audit asks pypi.org)"
            + (f": {', '.join(missing)}" if len(missing) < total else "")
        )
    return not bad and not (strict and missing)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        problems = strange(build(ROOT, Path(folder)))
    print("\n".join(problems) or "wheel: only files from git, and nothing that runs by itself")
    if "--wheel-only" in sys.argv[1:]:
        return bool(problems)
    return bool(problems) or not dependencies(strict="--strict" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
