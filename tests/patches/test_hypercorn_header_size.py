"""How large the headers of a request over HTTP/2 may be."""

from collections.abc import Iterator
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import DenialOfServiceError
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.protocol import h2

from app.patches import hypercorn_header_size as patch

LIMIT = 128 * 1024


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    yield
    h2.H2Protocol.__init__ = patch._init  # type: ignore[method-assign]


def receive(size: int) -> None:
    """Receive a request with cookies of this size, as Hypercorn does."""
    config = Config()
    config.h2_max_header_list_size = LIMIT
    nothing: Any = None
    protocol = h2.H2Protocol(
        nothing, config, WorkerContext(None), nothing, nothing, False, None, None, nothing
    )
    client = H2Connection(H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    protocol.connection.initiate_connection()
    client.receive_data(protocol.connection.data_to_send())
    head = {":method": "GET", ":path": "/", ":scheme": "https", ":authority": "localhost"}
    cookies = [("cookie", f"c{number}={'x' * 3500}") for number in range(size // 3500)]
    client.send_headers(1, [*head.items(), *cookies], end_stream=True)
    protocol.connection.receive_data(client.data_to_send())


def test_hypercorn_still_ignores_its_own_setting() -> None:
    try:
        receive(70_000)
    except DenialOfServiceError:
        pass
    else:
        pytest.fail("delete app/patches/hypercorn_header_size.py: it is needed no more")


def test_headers_are_read_up_to_the_setting_and_no_further() -> None:
    patch.read_announced_header_size()
    receive(70_000)
    with pytest.raises(DenialOfServiceError):
        receive(LIMIT + 10_000)
