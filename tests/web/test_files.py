"""The files that come with the application."""

import gzip
import os
from pathlib import Path

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.web import api, files

SCRIPT = "/docs/assets/swagger-ui-bundle.js"
GZIP = {"Accept-Encoding": "gzip, br"}


async def test_text_is_sent_compressed_to_those_who_take_it(client: Browser) -> None:
    plain = await client.get(SCRIPT)
    packed = await client.get(SCRIPT, headers=GZIP)
    content = await plain.get_data(as_text=False)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    compressed = await packed.get_data(as_text=False)
    assert gzip.decompress(compressed) == content
    assert len(compressed) < len(content) / 3
    for response, body in ((plain, content), (packed, compressed)):
        assert response.headers["Content-Length"] == str(len(body))
        assert response.headers["Content-Type"].partition(";")[0].endswith("/javascript")
    for refused in ("", "br", "gzip;q=0", "identity"):
        response = await client.get(SCRIPT, headers={"Accept-Encoding": refused})
        assert "Content-Encoding" not in response.headers


async def test_what_is_small_already_is_not_compressed(client: Browser) -> None:
    response = await client.get("/static/favicon.ico", headers=GZIP)
    assert response.status_code == 200
    assert "Content-Encoding" not in response.headers
    assert "Vary" not in response.headers


async def test_a_file_is_sent_in_pieces_without_a_thread_or_a_look_at_the_disk(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = api.viewer()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it is in memory")

    async with app.test_request_context(SCRIPT):
        monkeypatch.setattr(os, "stat", refuse)
        monkeypatch.setattr("asyncio.to_thread", refuse)
        monkeypatch.setattr(Path, "open", refuse)
        response = await files.send(viewer, "swagger-ui-bundle.js")
        async with response.response as body:
            pieces = [len(piece) async for piece in body]
        monkeypatch.undo()
    assert sum(pieces) == len(viewer["swagger-ui-bundle.js"].content)
    assert max(pieces) == files.PIECE


async def test_who_has_a_file_is_not_sent_it_again(client: Browser) -> None:
    first = await client.get("/static/app.css", headers=GZIP)
    again = await client.get("/static/app.css", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert await again.get_data(as_text=False) == b""
    assert first.headers["Cache-Control"] == "public, no-cache"


async def test_the_viewer_is_cached_for_ever_by_its_content(client: Browser) -> None:
    page = await (await client.get("/docs")).get_data(as_text=True)
    for name, file in api.viewer().items():
        url = f"/docs/assets/{name}?v={file.version}"
        assert f'"{url}"' in page
        assert "immutable" in (await client.get(url)).headers["Cache-Control"]


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js.map", "index.html", "", "../__init__.py"])
async def test_nothing_else_of_the_viewer_is_served(client: Browser, name: str) -> None:
    assert (await client.get(f"/docs/assets/{name}")).status_code == 404


async def test_head_gives_the_size(client: Browser) -> None:
    response = await client.head(SCRIPT)
    size = len(api.viewer()["swagger-ui-bundle.js"].content)
    assert response.headers["Content-Length"] == str(size)
