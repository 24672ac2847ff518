"""Pages of layers around the application: without templates, and for programs problem+json."""

import html
import json
from typing import Any

from app.logs import request_id

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1>{title}</h1>
{paragraphs}
</body>
</html>
"""


async def answer(
    scope: Any, send: Any, status: int, title: str, *paragraphs: str, retry_after: int | None = None
) -> None:
    """Send a page with this title and these paragraphs; below /api/ send problem+json."""
    if scope["path"].startswith("/api/"):
        kind = b"application/problem+json"
        problem = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": " ".join(paragraphs),
            "code": title.lower().replace(" ", "-"),
            "request_id": request_id.get(),
        }
        text = json.dumps(problem)
    else:
        kind = b"text/html; charset=utf-8"
        marked_up = "\n".join(f"<p>{html.escape(text, quote=False)}</p>" for text in paragraphs)
        text = PAGE.format(title=html.escape(title), paragraphs=marked_up)
    body = text.encode()
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % retry_after))
    response = "http.response" if scope["type"] == "http" else "websocket.http.response"
    await send({"type": f"{response}.start", "status": status, "headers": headers})
    await send({"type": f"{response}.body", "body": body, "more_body": False})
