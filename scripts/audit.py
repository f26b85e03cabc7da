"""What ``make audit`` checks: that the wheel holds only what is in git and nothing that runs by
itself, and that no locked dependency has a known vulnerability.

python scripts/audit.py [--wheel-only]
"""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "src/deepseek_messages/"

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


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        problems = strange(build(ROOT, Path(folder)))
    print("\n".join(problems) or "wheel: only files from git, and nothing that runs by itself")
    if "--wheel-only" in sys.argv[1:]:
        return bool(problems)
    command = [sys.executable, "-m", "pip_audit", "--requirement", "requirements.lock"]
    audited = subprocess.run([*command, "--disable-pip", "--no-deps"], cwd=ROOT, check=False)
    return bool(problems) or audited.returncode


if __name__ == "__main__":
    sys.exit(main())
