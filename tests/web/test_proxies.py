"""The client's ip and scheme, with and without proxies."""

import logging

import pytest
from quart import Quart, request

from app import create_app
from app.web.access import public, unlimited


def app_behind(monkeypatch: pytest.MonkeyPatch, proxies: int) -> Quart:
    monkeypatch.setenv("TRUSTED_PROXIES", str(proxies))
    app = create_app("testing")

    @app.get("/whoami")
    @public
    @unlimited
    async def whoami() -> str:
        return f"{request.remote_addr} {request.scheme}"

    return app


async def whoami(app: Quart, peer: str = "10.0.0.1", **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await app.test_client().get(
        "/whoami", headers=named, scope_base={"client": (peer, 1)}
    )
    return str(await response.get_data(as_text=True))


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "192.0.2.1", "10.0.0.1"),
        (1, "192.0.2.1", "192.0.2.1"),
        (1, "6.6.6.6, 192.0.2.1", "192.0.2.1"),
        (2, "6.6.6.6, 192.0.2.1, 10.0.0.9", "192.0.2.1"),
        (2, "192.0.2.1", "10.0.0.1"),  # it did not come through both
        (1, "not an address", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, "192.0.2.1:4711", "192.0.2.1"),
        (1, "[2001:db8::1]", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
    ],
)
async def test_only_what_trusted_proxies_wrote_is_believed(
    monkeypatch: pytest.MonkeyPatch, proxies: int, forwarded: str, expected: str
) -> None:
    app = app_behind(monkeypatch, proxies)
    assert (await whoami(app, X_Forwarded_For=forwarded)).split()[0] == expected


async def test_the_scheme_is_believed_from_trusted_proxies_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forwarded = {"X_Forwarded_For": "192.0.2.1", "X_Forwarded_Proto": "https"}
    assert (await whoami(app_behind(monkeypatch, 1), **forwarded)).endswith(" https")
    assert (await whoami(app_behind(monkeypatch, 0), **forwarded)).endswith(" http")


async def test_an_address_that_is_not_believed_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_behind(monkeypatch, 0)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await whoami(app, X_Forwarded_For="192.0.2.1")
    assert (
        len([record for record in caplog.records if "TRUSTED_PROXIES" in record.getMessage()]) == 1
    )
