"""Files that come with the application: read and compressed once, and kept in memory."""

import gzip
import hashlib
import mimetypes
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from quart import Quart

COMPRESSIBLE = ("text/", "application/javascript", "application/json", "image/svg+xml")


class File:
    """A file's content, its type, and its version: the beginning of the content's hash.

    `content_type` is the header; `compressed` the content compressed with gzip, or None if that
    does not make it smaller.
    """

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        is_text = kind.startswith(COMPRESSIBLE)
        self.content_type = f"{kind}{'; charset=utf-8' if is_text else ''}".encode()
        self.version = hashlib.sha256(self.content).hexdigest()[:12]
        self.compressed: bytes | None = None
        if is_text:
            compressed = gzip.compress(self.content, mtime=0)
            self.compressed = compressed if len(compressed) < len(self.content) else None


Files = Mapping[str, File]


def read(folder: Path, pattern: str = "**/*") -> dict[str, File]:
    """Return the files below a folder by their paths in it. They stay in memory."""
    return {
        path.relative_to(folder).as_posix(): _read(path, path.stat().st_mtime_ns)
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def serve(app: Quart, prefix: str, files: Callable[[], Files]) -> None:
    """Have the layer `StaticFiles` answer for the paths below a prefix like "/static/"."""
    app.extensions.setdefault("files", {})[prefix] = files


@lru_cache(maxsize=256)
def _read(path: Path, _changed: int) -> File:
    return File(path)
