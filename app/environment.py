"""The process' environment: `.env` files, the configuration that they choose, the instance folder.

Nothing here imports the application, so that the supervisor of `serve` outlives a mistake in it.
"""

import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from dotenv import dotenv_values

from app.errors import ConfigurationError, NotReady

PROJECT_ROOT = Path(__file__).resolve().parent.parent
# The kernel takes 108 bytes for the path of a socket, macOS 104.
LONGEST_PATH = 100

FILES: tuple[str, ...] = (".env", "config.env")  # config.env is flask-base's name


def load_environment() -> None:
    """Copy `.env`, then `config.env`, of the working directory into `os.environ`.

    What the environment holds already wins; an empty value counts as unset on both sides.
    """
    for name in FILES:
        for key, value in stored(Path.cwd() / name).items():
            if value and not os.environ.get(key):
                os.environ[key] = value


def stored(path: Path) -> dict[str, str | None]:
    """What a `.env` file holds; a `$` in a value is just that."""
    try:
        return dotenv_values(path, interpolate=False)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text. Save it as that.") from None


def first_set(*names: str) -> str | None:
    """The first of these environment variables that holds something."""
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def chosen_config() -> str:
    """The name of the configuration that the environment asks for."""
    return first_set("QUART_CONFIG", "FLASK_CONFIG") or "default"


def instance_path() -> Path:
    """The folder of what this installation makes for itself.

    Development's database, secret key and Valkey socket.
    """
    return Path(first_set("INSTANCE_PATH") or PROJECT_ROOT / "instance").absolute()


def embedded_redis_url(instance: Path) -> str:
    """The address of the Valkey of an instance folder, always the same, whether it runs or not."""
    return f"unix://{quote(str(valkey_socket(instance)))}"


def valkey_socket(instance: Path) -> Path:
    """Where the socket is.

    In the instance folder, or in a private temporary one where that path is too long.
    """
    instance = instance.resolve()
    path = instance / "valkey.sock"
    if sys.platform == "win32" or len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    name = hashlib.sha256(f"{os.getuid()}:{instance}".encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"valkey-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Everybody may write there, so somebody else may have made the folder to listen to us.
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise NotReady(
            f"{folder} is not a private folder of this user: remove it, or set REDIS_URL."
        )
    return folder / "valkey.sock"
