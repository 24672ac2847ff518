"""Files that come with the application: read and compressed once, and sent in small pieces."""

import gzip
import hashlib
import mimetypes
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from pathlib import Path

from quart import Response, request
from quart.wrappers.response import DataBody
from werkzeug.exceptions import NotFound

YEAR = 365 * 24 * 3600  # seconds
# Bytes. Hypercorn copies a piece and keeps it until the client has taken it.
PIECE = 32 * 1024
COMPRESSIBLE = ("text/", "application/javascript", "application/json", "image/svg+xml")


class File:
    """A file's content, its type, and its version: the beginning of the content's hash.

    `compressed` is the content compressed with gzip, or None if that does not make it smaller.
    """

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self.version = hashlib.sha256(self.content).hexdigest()[:12]
        self.compressed: bytes | None = None
        if self.type.startswith(COMPRESSIBLE):
            compressed = gzip.compress(self.content, mtime=0)
            self.compressed = compressed if len(compressed) < len(self.content) else None


class Pieces(DataBody):
    """A body that is sent piece by piece, each when the client has taken those before it."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces in order."""
        for start in range(self.begin, self.end, PIECE):
            yield self.data[start : min(start + PIECE, self.end)]


def read(folder: Path, pattern: str = "**/*") -> dict[str, File]:
    """Return the files below a folder by their paths in it. They stay in memory."""
    return {
        path.relative_to(folder).as_posix(): _read(path, path.stat().st_mtime_ns)
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


async def send(files: Mapping[str, File], name: str) -> Response:
    """Return the response for a file, which caches keep if its version is asked for (`?v=`).

    Costs neither a thread nor a look at the disk. Raises 404 for a name that is not among `files`.
    """
    file = files.get(name)
    if file is None:
        raise NotFound
    body = file.content
    response = Response(mimetype=file.type)
    if file.compressed is not None:
        response.vary.add("Accept-Encoding")
        if request.accept_encodings.quality("gzip") > 0:
            body = file.compressed
            response.content_encoding = "gzip"
    response.response = Pieces(body)
    response.content_length = len(body)
    response.set_etag(file.version, weak=True)  # the same for both encodings
    is_current = request.args.get("v") == file.version
    response.headers["Cache-Control"] = (
        f"public, max-age={YEAR}, immutable" if is_current else "public, no-cache"
    )
    return await response.make_conditional(request)


@lru_cache(maxsize=256)
def _read(path: Path, _changed: int) -> File:
    return File(path)
