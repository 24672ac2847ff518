"""The environment of the process: `.env` files, the chosen configuration, the instance folder.

Nothing here imports the rest of the application, so that the supervisor of `serve` survives a
mistake in it.
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
# Linux accepts 108 bytes for the path of a Unix socket, macOS 104.
LONGEST_PATH = 100

FILES: tuple[str, ...] = (".env", "config.env")  # config.env is flask-base's name


def load_environment() -> None:
    """Load `.env`, then `config.env`, of the working directory into `os.environ`.

    Variables that are already set win; an empty value counts as unset on both sides. Raises
    `ConfigurationError` for a file that is not UTF-8.
    """
    for name in FILES:
        for key, value in stored(Path.cwd() / name).items():
            if value and not os.environ.get(key):
                os.environ[key] = value


def stored(path: Path) -> dict[str, str | None]:
    """Read a `.env` file; `$` in a value has no special meaning."""
    try:
        return dotenv_values(path, interpolate=False)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text. Save it as UTF-8.") from None


def first_set(*names: str) -> str | None:
    """Return the value of the first of these environment variables that is set and not empty."""
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def chosen_config() -> str:
    """Return the name of the configuration that the environment chooses."""
    return first_set("QUART_CONFIG", "FLASK_CONFIG") or "default"


def instance_path() -> Path:
    """Return the folder of files that the installation creates itself.

    In development these are the database, the secret key and the Valkey socket.
    """
    return Path(first_set("INSTANCE_PATH") or PROJECT_ROOT / "instance").absolute()


def embedded_redis_url(instance: Path) -> str:
    """Return the URL of an instance folder's Valkey, whether or not it runs."""
    return f"unix://{quote(str(valkey_socket(instance)))}"


def valkey_socket(instance: Path) -> Path:
    """Return the path of the Valkey socket.

    It is in the instance folder, or in a private temporary folder if that path would be too long.
    Raises `NotReady` if another user can write to that temporary folder.
    """
    instance = instance.resolve()
    path = instance / "valkey.sock"
    if sys.platform == "win32" or len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    name = hashlib.sha256(f"{os.getuid()}:{instance}".encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"valkey-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Everybody may write to /tmp, so another user may have made the folder to eavesdrop.
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise NotReady(f"{folder} is not private to this user: remove it, or set REDIS_URL.")
    return folder / "valkey.sock"
