"""The environment of the process: `.env` files, the chosen configuration, the instance folder.

Nothing here imports the rest of the application, so that the supervisor of `serve` survives a
mistake in it.
"""

import hashlib
import os
import re
import stat
import sys
import tempfile
from io import StringIO
from pathlib import Path
from urllib.parse import quote

from dotenv.parser import Binding, parse_stream

from app.errors import ConfigurationError, NotReady

PROJECT_ROOT = Path(__file__).resolve().parent.parent
# Linux accepts 108 bytes for the path of a Unix socket, macOS 104.
LONGEST_PATH = 100

FILES: tuple[str, ...] = (".env", "config.env")  # config.env is flask-base's name
CHOICES = ("QUART_CONFIG", "FLASK_CONFIG")
# Set by `serve` for its processes: how the configuration was chosen, which they cannot see.
CHOSEN_BY = "QUART_BASE_CHOSEN_BY"

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# A line that a forgotten quote has swallowed. Not `QUJD=`, the end of a key in base64.
SWALLOWED = re.compile(r"\n\s*(export\s+)?[A-Za-z_][A-Za-z0-9_]*=[^=\s]")
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# What came from a file: variable → its file, and the value that it had there.
_loaded: dict[str, tuple[Path, str]] = {}


def load_environment() -> None:
    """Load the variables of `environment_files` into `os.environ`.

    Variables that are already set win; an empty value counts as unset on both sides. Raises
    `ConfigurationError` for a file that cannot be understood as a whole.
    """
    for path in environment_files():
        for key, value in stored(path).items():
            if value and not os.environ.get(key):
                os.environ[key] = value
                _loaded[key] = (path, value)


def environment_files() -> list[Path]:
    """Return the working directory's `.env` and `config.env`, or else those beside manage.py."""
    for folder in (Path.cwd(), PROJECT_ROOT):
        if found := [folder / name for name in FILES if _is_file(folder / name)]:
            return found
    return []


def stored(path: Path) -> dict[str, str]:
    """Read a `.env` file; `$` in a value has no special meaning.

    Raises `ConfigurationError` with the number of every line that is not an assignment. Values are
    not shown, since they may be secrets.
    """
    bindings = _bindings(path)
    if wrong := [_line(binding) for binding in bindings if _is_wrong(binding)]:
        lines = f"line{'s' if len(wrong) > 1 else ''} {', '.join(map(str, wrong))}"
        raise ConfigurationError(
            f"{path}, {lines}: not an assignment. Write NAME=value, with a quote at both ends of "
            "the value or at neither, and # before a comment."
        )
    return {str(binding.key): binding.value or "" for binding in bindings if binding.key}


def repeated(path: Path) -> list[str]:
    """Return the variables that a `.env` file sets to different values; the last one is used."""
    seen: dict[str, set[str | None]] = {}
    for binding in _bindings(path):
        seen.setdefault(str(binding.key), set()).add(binding.value)
    return [name for name, values in seen.items() if name != "None" and len(values) > 1]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:  # the working directory may be another user's
        return False


def _bindings(path: Path) -> list[Binding]:
    try:
        return list(parse_stream(StringIO(path.read_text("utf-8"))))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}. Let this user read it, or remove it."
        ) from None


def _is_wrong(binding: Binding) -> bool:
    if binding.error:
        return True
    if binding.key is None:  # a comment or blank lines
        return False
    value = binding.value
    return (
        not NAME.fullmatch(binding.key)
        or value is None
        or "\0" in value
        or SWALLOWED.search(value) is not None
    )


def _line(binding: Binding) -> int:
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def origin(name: str) -> Path | None:
    """Return the file that a variable was read from; `None` if it was set in the environment."""
    path, value = _loaded.get(name, (None, None))
    return path if value is not None and os.environ.get(name) == value else None


def first_set(*names: str) -> str | None:
    """Return the value of the first of these environment variables that is set and not empty."""
    name = first_that_is_set(*names)
    return os.environ[name] if name else None


def first_that_is_set(*names: str) -> str | None:
    """Return the first of these names that is an environment variable and not empty."""
    return next((name for name in names if os.environ.get(name)), None)


def tidied(value: str, *, secret: bool = False) -> str:
    """Return a setting's value without blanks around it, or a secret without its last newline.

    Files of secrets end with a newline, which is never meant; a blank in a password may be. Raises
    `ValueError` for what is no value at all: whitespace only, quotes around it, control characters.
    """
    value = value.rstrip("\r\n") if secret else value.strip()
    if not value.strip():
        raise ValueError("only whitespace; leave it empty to unset it")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        raise ValueError(
            "the quotes around it would be part of the value, as docker's --env-file leaves them; "
            "remove them"
        )
    if CONTROL.search(value):
        raise ValueError("it holds a line break or another control character; remove it")
    return value


def chosen_config() -> str:
    """Return the name of the configuration that the environment chooses."""
    return _tidied_variable(*CHOICES) or "default"


def chosen_by(name: str) -> str:
    """Return what has chosen the configuration of this name, in words that follow a comma."""
    if told := os.environ.get(CHOSEN_BY):
        return told
    if (variable := first_that_is_set(*CHOICES)) is None:
        if name == "default":
            return f"the default, since neither {' nor '.join(CHOICES)} is set"
    elif chosen_config() == name:
        return f"chosen by {variable} in {origin(variable) or 'the environment'}"
    return "chosen by -c or by the code that called"


def overruled() -> str | None:
    """Return a sentence about a FLASK_CONFIG that has no effect beside QUART_CONFIG, or `None`."""
    quart, flask = (first_set(name) for name in CHOICES)
    if quart is None or flask is None or quart.strip() == flask.strip():
        return None
    return f"FLASK_CONFIG={flask} has no effect, since QUART_CONFIG={quart} is set."


def port() -> int | None:
    """Return PORT, or `None` if it is unset or 0. Raises `ConfigurationError` if it is no port."""
    value = _tidied_variable("PORT") or "0"
    if not re.fullmatch("[0-9]{1,5}", value) or int(value) > 65535:
        raise ConfigurationError(f"PORT: got {value[:60]!r}. Expected: a port from 1 to 65535.")
    return int(value) or None


def instance_path() -> Path:
    """Return the folder of files that the installation creates itself.

    In development these are the database, the secret key and the Valkey socket. A relative path
    begins in the folder of the `.env` file that it stands in, or else in the working directory.
    """
    given = _tidied_variable("INSTANCE_PATH")
    return absolute(given, "INSTANCE_PATH") if given else PROJECT_ROOT / "instance"


def absolute(path: str | Path, *names: str) -> Path:
    """Return the absolute path that a variable means; `names` are those it may have come from."""
    try:
        path = Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"{names[0]}: there is no user whose home is meant by {str(path)!r}. Write the path "
            "from / on."
        ) from None
    file = next((file for name in names if (file := origin(name))), None)
    return (file.parent if file else Path.cwd()) / path


def _tidied_variable(*names: str) -> str | None:
    if (name := first_that_is_set(*names)) is None:
        return None
    try:
        return tidied(os.environ[name])
    except ValueError as error:
        raise ConfigurationError(f"{name}: got {os.environ[name]!r}, but {error}.") from None


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
