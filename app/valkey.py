"""Where the embedded Valkey of development and tests listens; `development.valkey` runs it.

Nothing that is worked on is imported here, so that a mistake in the application cannot stop the
supervisor of `serve`.
"""

import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from app.errors import NotReady

# The kernel takes 108 bytes for the path of a socket, macOS 104.
LONGEST_PATH = 100


def url(instance: Path) -> str:
    """The address of the Valkey of an instance folder, always the same, whether it runs or not."""
    return f"unix://{quote(str(socket_path(instance)))}"


def socket_path(instance: Path) -> Path:
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
