"""The files that deploy the application say the same, and nothing that lets a secret out."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from app.config import ProductionConfig
from app.environment import PROJECT_ROOT

SECRETS = {"BASE_URL", "SECRET_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD"}
# Each installation on a machine builds its own: Compose names the project after its folder.
PROJECT_IMAGE = "${COMPOSE_PROJECT_NAME:-quart-base}"
UNITS = sorted((PROJECT_ROOT / "deploy").glob("*.service"))


def read(name: str) -> str:
    """A file of the project without its comments."""
    return re.sub(r"(?m)(^|\s)#.*$", "", (PROJECT_ROOT / name).read_text())


def procfile() -> dict[str, str]:
    """The commands of the Procfile, by the name of their process."""
    return dict(re.findall(r"^(\w+): (.+)$", read("Procfile"), re.MULTILINE))


def final_stage() -> str:
    """What makes the image that is shipped, every instruction on one line."""
    return re.split(r"(?m)^FROM .*$", read("Dockerfile").replace("\\\n", " "))[-1]


def copied() -> list[str]:
    """What the image has of this project."""
    lines: list[str] = re.findall(r"^COPY (?!--from)(.+) \S+$", final_stage(), re.MULTILINE)
    return [source for line in lines for source in line.split()]


def services() -> dict[str, str]:
    """The services of compose.yaml, by name."""
    text = read("compose.yaml").partition("\nservices:\n")[2].partition("\nvolumes:\n")[0]
    parts = re.split(r"(?m)^  (\w+):$", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def directives(unit: Path) -> dict[str, str]:
    """A unit's directives; of one that is said twice, the last."""
    return dict(
        re.findall(r"^(\w+)=(.*)$", read(str(unit.relative_to(PROJECT_ROOT))), re.MULTILINE)
    )


def without_address(command: str) -> str:
    """A command that could run anywhere: no path before it, no address to listen on."""
    return re.sub(r" -b \S+", "", command.removeprefix("/srv/quart-base/.venv/bin/"))


def ignored(path: str) -> bool:
    """Whether `docker build` leaves this path out.

    The last pattern that matches it, or a folder above, decides.
    """
    result = False
    for line in read(".dockerignore").split():
        wildcards = {"**/": "(.*/)?", "*": "[^/]*"}
        pattern = "".join(
            wildcards.get(part) or re.escape(part)
            for part in re.split(r"(\*\*/|\*)", line.lstrip("!"))
            if part
        )
        if re.fullmatch(f"{pattern}(/.*)?", path):
            result = not line.startswith("!")
    return result


def test_each_command_is_the_same_in_every_file() -> None:
    commands = {name: without_address(command) for name, command in procfile().items()}
    assert set(commands) == {"web", "worker", "release"}
    page = (PROJECT_ROOT / "docs" / "deploying.md").read_text()
    for command in commands.values():
        assert f"`{command}`" in page
    (image,) = re.findall(r"^CMD (.+)$", final_stage(), re.MULTILINE)
    assert without_address(" ".join(json.loads(image))) == commands["web"]
    assert not re.search(r"^    command:", services()["web"], re.MULTILINE), "the image's own"
    for name in ("worker", "release"):
        (words,) = re.findall(r"^    command: \[(.+)\]$", services()[name], re.MULTILINE)
        assert words.replace(",", "") == commands[name]
    for name in ("web", "worker"):
        unit = directives(PROJECT_ROOT / "deploy" / f"quart-base-{name}.service")
        assert without_address(unit["ExecStart"]) == commands[name]


def test_compose_starts_nothing_without_each_of_its_secrets() -> None:
    text = read("compose.yaml").replace(PROJECT_IMAGE, "").replace("${TRUSTED_PROXIES:-1}", "")
    assert text.count("$") == len(re.findall(r"\$\{\w+:\?set \w+ in \.env\}", text)), (
        "something is not required"
    )
    assert set(re.findall(r"\$\{(\w+):\?set \1 in", text)) == SECRETS
    for line in text.splitlines():
        if re.search("PASSWORD|SECRET|AUTH|requirepass", line):
            assert "${" in line, f"invented: {line}"
    # A password in a URL would have to be percent-encoded, which nothing here can do.
    assert not re.search(r"://[^/ ]*:[^/ ]*@", text)


def test_compose_opens_nothing_but_the_proxy_and_pins_its_images() -> None:
    assert [name for name, text in services().items() if "ports:" in text] == ["proxy"]
    images = re.findall(r"image: (\S+)", read("compose.yaml"))
    assert {image for image in images if not re.fullmatch(r"[a-z/]+:\d+", image)} == {PROJECT_IMAGE}
    assert all("<<: *" in text for text in services().values()), (
        "restarted and with logs that rotate"
    )


def test_compose_keeps_what_must_survive() -> None:
    assert '--appendonly, "yes"' in services()["valkey"]
    for name, folder in {
        "valkey": "/data",
        "database": "/var/lib/postgresql",
        "proxy": "/data",
    }.items():
        assert re.search(rf"- \w+:{folder}$", services()[name], re.MULTILINE)
    for name in ("web", "worker"):
        assert (
            "depends_on: &after-release" in services()[name]
            or "depends_on: *after-release" in services()[name]
        )
    assert "condition: service_completed_successfully" in services()["web"]
    for name in ("worker", "database", "valkey"):
        assert "healthcheck:\n      test:" in re.sub(r"\n\s*\n", "\n", services()[name])


def test_whoever_stops_a_process_waits_longer_than_it_may_take() -> None:
    takes = {
        "web": tomllib.loads((PROJECT_ROOT / "hypercorn.toml").read_text())["graceful_timeout"],
        "worker": ProductionConfig.model_fields["WORKER_COMPLETION_WAIT"].default,
    }
    for name, seconds in takes.items():
        unit = directives(PROJECT_ROOT / "deploy" / f"quart-base-{name}.service")
        assert int(unit["TimeoutStopSec"]) >= seconds + 5
        (grace,) = re.findall(r"stop_grace_period: (\d+)s", services()[name])
        assert int(grace) >= seconds + 5


def test_the_image_runs_as_nobody_special_and_has_no_tools() -> None:
    stage = final_stage()
    (user,) = re.findall(r"^USER (\S+)$", stage, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a fixed number, and not root"
    assert stage.index("\nUSER") < stage.index("\nCMD")
    assert not re.search(r"apt|gcc|build-essential|pip|\bdev\b|\btest\b|curl", stage)
    assert not re.search(r"^ARG|SECRET|PASSWORD|_URL", read("Dockerfile"), re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in stage
    (check,) = re.findall(r"^HEALTHCHECK .*CMD (\[.+\])$", stage, re.MULTILINE)
    program, option, script = json.loads(check)
    assert (program, option) == ("python", "-c")
    compile(script, "HEALTHCHECK", "exec")
    assert "http://127.0.0.1:8000/livez" in script


def test_dependencies_are_installed_before_the_code_comes_and_as_constrained() -> None:
    build = read("Dockerfile").split("\nFROM ")[1]
    assert re.findall(r"^COPY (.+)$", build, re.MULTILINE) == ["pyproject.toml constraints.txt ./"]
    assert "-c constraints.txt" in build


def test_the_build_sees_what_the_image_needs_and_no_secret() -> None:
    for path in (
        ".env",
        "config.env",
        "instance/secret_key",
        ".venv/bin/python",
        ".git/config",
        "tests/conftest.py",
    ):
        assert ignored(path), path
    for path in (
        "app/.env",
        "app/site/__pycache__/views.pyc",
        "alembic/__pycache__/env.pyc",
        "README.md",
        "bench/x.py",
    ):
        assert ignored(path), path
    assert {"app", "alembic", "alembic.ini", "hypercorn.toml", "manage.py", "worker.py"} <= set(
        copied()
    )
    for path in [
        *copied(),
        "pyproject.toml",
        "constraints.txt",
        "app/site/views.py",
        "app/static/style.css",
    ]:
        assert not ignored(path), path


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_each_unit_comes_back_and_reads_its_secrets_from_a_file(unit: Path) -> None:
    said = directives(unit)
    assert said["Restart"] == "always"
    assert said["StartLimitIntervalSec"] == "0", "however often it fails"
    assert said["EnvironmentFile"] == "/srv/quart-base/.env"
    assert said["User"] not in ("", "root", "0")
    assert said["NoNewPrivileges"] == said["PrivateTmp"] == "true"
    assert said["ProtectSystem"] == "strict"
    assert f"INSTANCE_PATH=%S/{said['StateDirectory']}" in said["Environment"], (
        "the folder it may write to"
    )
    assert not re.search("SECRET|PASSWORD|_URL", said["Environment"])


def test_the_units_belong_together() -> None:
    assert {unit.stem for unit in UNITS} == {"quart-base-web", "quart-base-worker"}
    assert (
        directives(PROJECT_ROOT / "deploy" / "quart-base.socket")["Service"]
        == "quart-base-web.service"
    )
    web, worker = (directives(unit) for unit in UNITS)
    assert web["Requires"] == "quart-base.socket"
    own = {"Description", "Requires", "After", "ExecStart", "TimeoutStopSec"}
    assert {k: v for k, v in web.items() if k not in own} == {
        k: v for k, v in worker.items() if k not in own
    }
