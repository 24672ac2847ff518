"""Bodies that Quart takes although they are too large, too many or malformed."""

import asyncio
from typing import Any

import pytest
from quart import Quart, Request, request

from app.patches.quart_bodies import BoundedBody, BoundedRequest

LIMIT = 10_000  # bytes
PARTS = 10
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
NO_BOUNDARY = {"Content-Type": "multipart/form-data"}
JSON = {"Content-Type": "application/json"}
PART = b'--b\r\nContent-Disposition: form-data; name="field"\r\n\r\n'

FAULTS: dict[str, tuple[str, dict[str, str], list[bytes], int]] = {
    "a chunked upload beyond MAX_CONTENT_LENGTH": (
        "/form",
        MULTIPART,
        [PART, *[b"x" * 4_000] * 5, b"\r\n--b--\r\n"],
        413,
    ),
    "more urlencoded fields than MAX_FORM_PARTS": (
        "/form",
        URLENCODED,
        [b"&".join(b"f%d=1" % number for number in range(PARTS + 1))],
        413,
    ),
    "a form that is JSON": ("/form", JSON, [b"{}"], 415),
    "a form without its boundary": ("/form", NO_BOUNDARY, [b"--b\r\n"], 400),
    "a form that is not UTF-8": ("/form", URLENCODED, [b"field=%ff%fe"], 400),
    "JSON that is a form": ("/json", URLENCODED, [b"{}"], 415),
    "JSON that is not UTF-8": ("/json", JSON, [b'"\xff\xfe"'], 400),
    "JSON that is nested too deeply": ("/json", JSON, [b"[" * (LIMIT - 1)], 400),
}


def small_app(request_class: type[Request] | None = None) -> Quart:
    """Create a plain Quart application with limits, and routes that read forms and JSON."""
    app = Quart("bodies")
    app.config |= {
        "MAX_CONTENT_LENGTH": LIMIT,
        "MAX_FORM_PARTS": PARTS,
        "PROPAGATE_EXCEPTIONS": False,
    }
    if request_class:
        app.request_class = request_class

    @app.post("/form")
    async def form() -> dict[str, int]:
        return {"fields": len(await request.form) + len(await request.files)}

    @app.post("/json")
    async def json() -> dict[str, Any]:
        return {"value": await request.get_json()}

    return app


async def send(app: Quart, path: str, headers: dict[str, str], *chunks: bytes) -> int:
    """Send a body in chunks, so that some is read before the rest arrives; return the status."""
    async with app.test_client().request(path, method="POST", headers=headers) as connection:
        for chunk in chunks:
            await connection.send(chunk)
            await asyncio.sleep(0.005)
        await connection.send_complete()
    return (await connection.as_response()).status_code


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_quart_still_has_the_fault(fault: tuple[Any, ...]) -> None:
    path, headers, chunks, status = fault
    assert await send(small_app(), path, headers, *chunks) != status, (
        "delete this part of app/patches/quart_bodies.py: it is needed no more"
    )


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_the_body_is_refused(fault: tuple[Any, ...]) -> None:
    path, headers, chunks, status = fault
    assert await send(small_app(BoundedRequest), path, headers, *chunks) == status


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/form", URLENCODED, b"&".join(b"f%d=1" % number for number in range(PARTS))),
        ("/form", MULTIPART, PART + b"x" * 1_000 + b"\r\n--b--\r\n"),
        ("/form", {}, b""),
        ("/json", JSON, b'{"a": [1, "\\u00fc"]}'),
    ],
)
async def test_what_is_within_the_limits_is_accepted(
    path: str, headers: dict[str, str], body: bytes
) -> None:
    assert await send(small_app(BoundedRequest), path, headers, body) == 200


@pytest.mark.parametrize(("announced", "received"), [(101, 0), (None, 101)])
async def test_a_lower_limit_applies_to_what_is_known_already(
    announced: int | None, received: int
) -> None:
    body = BoundedBody(announced, 1_000)
    body.append(b"x" * received)
    body.lower_limit(100)
    with pytest.raises(Exception, match="413"):
        await body


async def test_quart_still_has_no_lower_limit_for_one_request() -> None:
    """`request.max_content_length` can be set, and changes nothing."""
    app = Quart("limits")

    @app.post("/")
    async def small() -> str:
        request.max_content_length = 100
        return str(len(await request.get_data()))

    response = await app.test_client().post("/", data=b"x" * 101)
    assert response.status_code == 200, "use Quart's own limit: lower_limit is needed no more"
