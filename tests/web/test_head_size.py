"""Requests whose url or headers are too large."""

import pytest
from quart.typing import TestClientProtocol as Browser

COOKIES = "; ".join(f"c{number}={'x' * 3500}" for number in range(20))  # 70 kB


@pytest.mark.parametrize(
    ("url", "headers", "status", "words"),
    [
        ("/account/login", {"Cookie": COOKIES}, 431, "Delete this site's cookies"),
        ("/livez", {"Cookie": COOKIES}, 431, "Delete this site's cookies"),
        (
            "/account/login",
            {"X-Long": "x" * 70_000},
            431,
            "The headers of this request are",
        ),
        ("/account/login?" + "x" * 20_000, {}, 414, "The URL of this page is too long"),
    ],
)
async def test_what_is_too_large_is_answered_in_words(
    client: Browser, url: str, headers: dict[str, str], status: int, words: str
) -> None:
    response = await client.get(url, headers=headers)
    assert (response.status_code, response.mimetype) == (status, "text/html")
    assert words in await response.get_data(as_text=True)
    assert response.headers["X-Request-ID"]


async def test_programs_get_problem_json(client: Browser) -> None:
    response = await client.get("/api/v1/account", headers={"Cookie": COOKIES})
    assert (response.status_code, response.mimetype) == (431, "application/problem+json")
    problem = await response.get_json()
    assert "cookies" in problem["detail"]
    assert problem["request_id"] == response.headers["X-Request-ID"]


async def test_much_is_not_too_much(client: Browser) -> None:
    response = await client.get(
        "/account/login?next=/" + "x" * 8000, headers={"Cookie": COOKIES[:20_000]}
    )
    assert response.status_code == 200
