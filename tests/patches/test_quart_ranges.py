"""Ranges of static files that Quart cannot read."""

from pathlib import Path

import pytest
from quart import Quart, Request

from app.patches.quart_ranges import RangelessRequest

# Suffixes, which are valid, and nonsense, which is to be ignored.
RANGES = ("bytes=-1", "bytes=9-1", "bytes=x")


async def statuses(folder: Path, request_class: type[Request] | None = None) -> list[int]:
    """Serve a file for each range, and return the statuses."""
    (folder / "file.txt").write_text("text")
    app = Quart("ranges", static_folder=str(folder), static_url_path="/static")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    if request_class:
        app.request_class = request_class
    client = app.test_client()
    return [
        (await client.get("/static/file.txt", headers={"Range": value})).status_code
        for value in RANGES
    ]


async def test_quart_still_fails_on_some_ranges(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert 500 in await statuses(tmp_path), (
        "delete app/patches/quart_ranges.py: it is needed no more"
    )


async def test_every_range_is_answered_with_the_whole_file(tmp_path: Path) -> None:
    assert await statuses(tmp_path, RangelessRequest) == [200, 200, 200]
