"""The files that come with the application."""

import asyncio
import gzip
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.web import docs
from app.web.middleware import static_files
from app.web.middleware.static_files import StaticFiles
from tests.asgi import http_scope

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
    for refused in ("", "br", "gzip;q=0", "identity", "gzip;q=0, *", "gzip;q=0.000, br;q=1"):
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
    served, asked, events = {"/docs/assets/": docs.viewer}, [], []

    async def application(*_: object) -> None:
        asked.append(True)

    async def send(event: Any) -> None:
        events.append(event)

    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("it is in memory")

    scope: Any = {"type": "http", "method": "GET", "path": SCRIPT, "headers": []}
    layer = StaticFiles(application, app.extensions["settings"], served=served)
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        patch.setattr("asyncio.to_thread", refuse)
        patch.setattr(Path, "open", refuse)
        await layer(scope | {"query_string": b""}, refuse, send)
    assert not asked
    start, *pieces = events
    assert start["status"] == 200
    body = b"".join(piece["body"] for piece in pieces)
    assert body == docs.viewer()["swagger-ui-bundle.js"].content
    assert max(len(piece["body"]) for piece in pieces) == 32 * 1024
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]


async def test_who_has_a_file_is_not_sent_it_again(client: Browser) -> None:
    first = await client.get("/static/app.css", headers=GZIP)
    again = await client.get("/static/app.css", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert await again.get_data(as_text=False) == b""
    assert first.headers["Cache-Control"] == "public, no-cache"


async def test_the_viewer_is_cached_for_ever_by_its_content(client: Browser) -> None:
    page = await (await client.get("/docs")).get_data(as_text=True)
    for name, file in docs.viewer().items():
        url = f"/docs/assets/{name}?v={file.version}"
        assert f'"{url}"' in page
        assert "immutable" in (await client.get(url)).headers["Cache-Control"]


async def test_the_package_with_the_viewers_files_is_not_imported(client: Browser) -> None:
    assert (await client.get(SCRIPT)).status_code == 200
    assert "flask_swagger_ui" not in sys.modules  # a blueprint for Flask


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js.map", "index.html", "", "../__init__.py"])
async def test_nothing_else_of_the_viewer_is_served(client: Browser, name: str) -> None:
    assert (await client.get(f"/docs/assets/{name}")).status_code == 404


async def test_head_gives_the_size(client: Browser) -> None:
    request: Any = client.request(SCRIPT, method="HEAD")
    async with request as connection:
        await connection.send_complete()
        sent = [await connection.receive()]
    size = len(docs.viewer()["swagger-ui-bundle.js"].content)
    assert connection.headers["Content-Length"] == str(size)
    assert sent == [b""]


async def test_a_file_is_found_below_the_path_that_a_server_strips(app: Quart) -> None:
    for root_path in ("/below", "/below/"):
        answered = await asked(app, "/below/static/app.css", root_path=root_path)
        assert answered[0]["status"] == 200
    assert (await asked(app, "/static/nothing.css"))[0]["status"] == 404


async def test_an_odd_header_holds_nobody_up(app: Quart) -> None:
    odd = b"gzip" + b" " * 30_000 + b"x"
    began = time.process_time()
    answered = await asked(app, "/static/app.css", headers=[(b"accept-encoding", odd)])
    assert answered[0]["status"] == 200
    assert time.process_time() - began < 0.3


async def test_who_does_not_take_a_file_is_left_after_a_while(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static_files, "RESPONSE_TIMEOUT", 0.2)

    async def stall(event: Any) -> None:
        await asyncio.sleep(30)

    async with asyncio.timeout(5):
        await asked(app, "/static/app.css", send=stall)


async def test_other_methods_are_the_applications_to_answer(client: Browser) -> None:
    assert (await client.post("/static/app.css")).status_code == 405
    response = await client.options("/static/app.css")
    assert response.status_code == 200
    assert "GET" in response.headers["Allow"]


async def asked(
    app: Any,
    path: str,
    *,
    root_path: str = "",
    headers: list[tuple[bytes, bytes]] | None = None,
    send: Any = None,
) -> list[Any]:
    """Return the events with which the application answers."""
    events: list[Any] = []

    async def collect(event: Any) -> None:
        events.append(event)

    async def receive() -> Any:
        await asyncio.sleep(30)

    scope = http_scope(path, headers or (), root_path=root_path)
    await app(scope, receive, send or collect)
    return events
