"""Check that every pinned dependency has a wheel for every supported Python.

`python -m development.wheels` asks the package index, and installs nothing. A dependency without a
wheel would need a compiler on the machine of whoever tries the project.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import click

from app.environment import PROJECT_ROOT

SUPPORTED = "Programming Language :: Python :: 3."

# A machine's platform tags, the oldest systems first: what a wheel may be named for.
MACHINES = {
    "Linux on x86-64": ("manylinux2014_x86_64", "manylinux_2_28_x86_64"),
    "Linux on ARM": ("manylinux2014_aarch64", "manylinux_2_28_aarch64"),
    "macOS on ARM": ("macosx_11_0_arm64", "macosx_14_0_arm64"),
}


@click.command()
@click.option("--python", "chosen", multiple=True, help="A version [default: all supported].")
@click.option("--machine", "named", multiple=True, help="A machine [default: all known].")
def check(chosen: tuple[str, ...], named: tuple[str, ...]) -> None:
    """Check that every pinned dependency has a wheel for every supported Python."""
    failures = 0
    for version in chosen or supported():
        for machine in named or MACHINES:
            complaint = missing(version, MACHINES[machine])
            click.echo(f"Python {version}, {machine}: {complaint or 'every wheel is there'}")
            failures += bool(complaint)
    if failures:
        raise click.ClickException("Choose versions that have wheels in constraints.txt.")


def supported() -> list[str]:
    """Return the versions of Python that pyproject.toml declares."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    return [f"3.{c.removeprefix(SUPPORTED)}" for c in project["classifiers"] if SUPPORTED in c]


def missing(version: str, platforms: tuple[str, ...]) -> str:
    """Return pip's complaint about the first wheel that is missing, or nothing."""
    # Without dependencies: pip judges their markers by the Python that it runs on, and every one of
    # them is pinned itself.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
    command += ["--ignore-installed", "--only-binary", ":all:", "--python-version", version]
    for platform in platforms:
        command += ["--platform", platform]
    with tempfile.TemporaryDirectory() as folder:
        command += ["--target", folder, "-r", str(PROJECT_ROOT / "constraints.txt")]
        process = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=Path(folder)
        )
    if process.returncode == 0:
        return ""
    errors = [line for line in process.stderr.splitlines() if line.startswith("ERROR:")]
    return errors[-1] if errors else process.stderr.strip()


if __name__ == "__main__":
    check()
