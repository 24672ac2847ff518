"""`serve`, with real processes.

What it brings up, what it survives, and that it leaves nothing behind.
"""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from development import valkey
from tests.clones import environment
from tests.faults.serving import START, Serve, left_after, refuses, running

pytestmark = [pytest.mark.faults, pytest.mark.waits]

SLOW_PAGE = """

import asyncio
inner = app

async def app(scope, receive, send):
    if scope.get("path") != "/slow":
        return await inner(scope, receive, send)
    await asyncio.sleep(float(scope["query_string"]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"finished"})
"""


def test_fresh_clone_serves_with_worker_and_valkey_and_ctrl_c_leaves_nothing(
    project: Path, serve: Callable[..., Serve]
) -> None:
    run = serve().started()
    assert f"http://localhost:{run.port}/account/login" in run.output
    assert "<h1" in run.get("/")
    run.child("worker")
    assert valkey.answers(project / "instance")
    assert "A client sent" not in run.output, "nobody has sent anything but that request"
    family = run.family()
    assert len(family) == 5, family  # itself, web, worker, Valkey and its watcher
    assert run.end(signal.SIGINT) == 0
    assert running(family) == []
    assert refuses(run.port)
    assert "Traceback" not in run.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_ways_to_be_told_to_stop_leave_nothing(
    number: int, serve: Callable[..., Serve]
) -> None:
    run = serve().started()
    family = run.family()
    assert run.end(number) == 0
    assert running(family) == []


def test_killed_supervisor_leaves_nothing(project: Path, serve: Callable[..., Serve]) -> None:
    run = serve().started()
    run.child("worker")
    family = run.family()
    run.end(signal.SIGKILL)
    assert left_after(5, family) == []
    assert refuses(run.port)
    assert not valkey.answers(project / "instance")


def test_killed_supervisor_lets_the_worker_take_its_leave_of_valkey(
    serve: Callable[..., Serve],
) -> None:
    run = serve().started()
    worker = run.child("worker")
    family = run.family()
    (valkey_server,) = [process for process in family if process.name() == "valkey-server"]
    worker.suspend()
    try:
        run.end(signal.SIGKILL)
        time.sleep(1)
        assert running([valkey_server])
    finally:
        worker.resume()
    assert left_after(5, family) == []


def test_killed_while_it_starts_leaves_nothing(serve: Callable[..., Serve]) -> None:
    run = serve()
    run.child("prepare")
    family = run.family()
    run.end(signal.SIGKILL)
    assert left_after(5, family) == []


def test_saved_syntax_error_is_survived_and_its_correction_picked_up(
    project: Path, serve: Callable[..., Serve]
) -> None:
    run = serve().started()
    supervisor = run.process.pid
    factory = project / "app" / "factory.py"
    code = factory.read_text()
    factory.write_text(f"{code}\ndef (:\n")
    run.until(r"Waiting for a change")
    report = run.output[run.output.index("changed: restarting") :]
    assert report.count("SyntaxError") == 1
    assert "factory.py" in report
    assert "Traceback" not in report
    position = len(run.output)
    factory.write_text(code)
    run.until(r"Ready again", after=position)
    assert run.get()
    run.child("worker")
    assert run.process.pid == supervisor
    assert run.end() == 0


def test_mistake_at_the_start_is_reported_and_its_correction_served(
    project: Path, serve: Callable[..., Serve]
) -> None:
    models = project / "app" / "auth" / "models.py"
    code = models.read_text()
    models.write_text(f"{code}\n1 / 0\n")
    run = serve()
    run.until("ZeroDivisionError")
    run.until("Waiting for a change")
    models.write_text(code)
    run.started()
    assert run.get()


def test_dead_process_is_reported_and_replaced_while_the_other_goes_on(
    serve: Callable[..., Serve],
) -> None:
    run = serve().started()
    worker = run.child("worker")
    worker.kill()
    run.until(r"The worker was ended by SIGKILL\. Trying again")
    assert run.get()
    assert left_after(1, [worker]) == []
    assert run.child("worker") != worker


def test_server_comes_back_once_a_new_migration_is_applied(
    project: Path, serve: Callable[..., Serve]
) -> None:
    run = serve().started()
    run.child("worker")
    position = len(run.output)
    (head,) = ScriptDirectory(str(project / "alembic")).get_heads()
    (project / "alembic" / "versions" / "later.py").write_text(
        f"revision = 'later'\ndown_revision = {head!r}\ndef upgrade(): pass\ndef downgrade(): "
        "pass\n"
    )
    run.until(r"The web server ended with status 1\. Trying again", after=position)
    assert "db upgrade" in run.output[position:]
    assert "Traceback" not in run.output
    upgrade = [sys.executable, str(project / "manage.py"), "db", "upgrade"]
    subprocess.run(upgrade, cwd=project, env=environment(), capture_output=True, check=True)
    run.until("Ready again", after=position)
    assert run.get()


def test_requests_wait_while_the_server_restarts(
    project: Path, serve: Callable[..., Serve]
) -> None:
    run = serve().started()
    answers: list[str] = []
    failures: list[Exception] = []
    finished = threading.Event()

    def visit() -> None:
        while not finished.is_set():
            try:
                answers.append(run.get())
            except Exception as error:
                failures.append(error)

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    for _ in range(3):
        position = len(run.output)
        (project / "app" / "auth" / "models.py").touch()
        run.until("Ready again", after=position)
    finished.set()
    for visitor in visitors:
        visitor.join()
    assert failures == []
    assert len(answers) > 20


def test_request_on_a_connection_that_is_open_already_is_still_answered(
    serve: Callable[..., Serve],
) -> None:
    run = serve("--no-reload").started()
    with socket.create_connection(("127.0.0.1", run.port)) as visitor:
        time.sleep(0.3)
        run.child("web").terminate()
        time.sleep(0.03)
        visitor.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert visitor.recv(100).startswith(b"HTTP/1.1 200")


def test_changed_env_file_is_picked_up(project: Path, serve: Callable[..., Serve]) -> None:
    env = project / ".env"
    env.write_text("APP_NAME=Before\n")
    run = serve().started()
    assert "Before" in run.get("/")
    position = len(run.output)
    env.write_text("APP_NAME=Afterwards\n")
    run.until("Ready again", after=position)
    assert "Afterwards" in run.get("/")


def test_running_request_is_finished_at_ctrl_c(project: Path, serve: Callable[..., Serve]) -> None:
    with (project / "app" / "asgi.py").open("a") as asgi:
        asgi.write(SLOW_PAGE)
    run = serve("--no-reload").started()
    answers: list[str] = []
    visitor = threading.Thread(target=lambda: answers.append(run.get("/slow?3")))
    visitor.start()
    time.sleep(0.5)
    assert run.end() == 0
    visitor.join()
    assert answers == ["finished"]
    assert "Ctrl-C again ends them at once" in run.output


def test_second_ctrl_c_does_not_wait(project: Path, serve: Callable[..., Serve]) -> None:
    with (project / "app" / "asgi.py").open("a") as asgi:
        asgi.write(SLOW_PAGE)
    run = serve("--no-reload").started()
    with socket.create_connection(("127.0.0.1", run.port)) as visitor:
        visitor.sendall(b"GET /slow?60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.5)
        family = run.family()
        run.process.send_signal(signal.SIGINT)
        run.until("Ctrl-C again")
        assert run.end(timeout=2) == 0
    assert running(family) == []


def test_open_stream_does_not_hold_up_a_restart(project: Path, serve: Callable[..., Serve]) -> None:
    with (project / "app" / "asgi.py").open("a") as asgi:
        asgi.write(SLOW_PAGE)
    run = serve().started()
    with socket.create_connection(("127.0.0.1", run.port)) as visitor:
        visitor.sendall(b"GET /slow?60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.5)
        old = run.child("web")
        (project / "app" / "auth" / "models.py").touch()
        assert left_after(12, [old]) == []  # with what production grants it, 25 s or more
        run.until("Ready again")
        run.get()
    assert "killed it" not in run.output
    assert "Traceback" not in run.output


def test_port_in_use_is_one_line(serve: Callable[..., Serve]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        run = serve(port=port)
        assert run.process.wait(START) == 1
    assert run.output == (
        f"Error: Port {port} on 127.0.0.1 is in use by another program. Stop it, or choose "
        f"another: --port {port + 1}\n"
    )


@pytest.mark.parametrize(
    ("host", "words"),
    [("nowhere.invalid", "not the name or address"), ("192.0.2.1", "not one of this machine")],
)
def test_impossible_host_is_one_line(host: str, words: str, serve: Callable[..., Serve]) -> None:
    run = serve("--host", host)
    assert run.process.wait(START) == 1
    assert words in run.output
    assert run.output.count("\n") == 1


def test_bad_production_configuration_is_refused_without_traceback(
    project: Path, serve: Callable[..., Serve]
) -> None:
    run = serve(config="production")
    assert run.process.wait(START) == 1
    assert "SECRET_KEY: is not set" in run.output
    assert "BASE_URL: is not set" in run.output
    assert "Traceback" not in run.output
    assert not valkey.answers(project / "instance")


@pytest.mark.parametrize("role", ["web", "worker"])
def test_without_reloading_a_death_ends_everything(role: str, serve: Callable[..., Serve]) -> None:
    run = serve("--no-reload").started()
    run.child("worker")
    family = run.family()
    run.child(role).kill()
    assert run.process.wait(START) == 1
    assert "was ended by SIGKILL." in run.output
    assert running(family) == []


def test_valkey_of_another_terminal_is_replaced_when_that_leaves(
    project: Path, serve: Callable[..., Serve]
) -> None:
    owner = serve().started()
    guest = serve(
        "--no-worker"
    ).started()  # a worker that starts at that moment would be as quick to replace it
    assert len(guest.family()) == 2, "it has a Valkey of its own"
    owner.end()
    guest.until("The embedded Valkey was gone")
    assert valkey.answers(project / "instance")
    assert guest.get()
    family = guest.family()
    assert guest.end() == 0
    assert running(family) == []


def test_configured_address_is_printed_beside_the_local_one(serve: Callable[..., Serve]) -> None:
    run = serve("--no-worker", BASE_URL="http://app.example:8080")
    run.until(r"Serving on http://app\.example:8080, here http://localhost:\d+ \(Ctrl-C stops\)")


def test_all_addresses_are_served_and_localhost_is_printed(serve: Callable[..., Serve]) -> None:
    assert serve("--host", "0.0.0.0", "--no-worker").started().get()
