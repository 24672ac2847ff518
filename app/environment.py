"""The process' environment: `.env` files, and which configuration they choose.

Nothing here imports the application, so that the supervisor of `serve` outlives a mistake in it.
"""

import os
from pathlib import Path

from dotenv import dotenv_values

from app.errors import ConfigurationError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
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
