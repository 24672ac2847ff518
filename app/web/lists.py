"""Links that sort and page the lists that `app.keyset` loads, for `macros/lists.html`."""

from typing import Any
from urllib.parse import urlencode

from quart import request, url_for
from werkzeug.datastructures import MultiDict


def here(**changes: Any) -> str:
    """Return the url of this page with some query arguments changed; None removes one.

    The others stay, so that links that sort or page a list keep its filters.
    """
    arguments = MultiDict(request.args)
    for name, value in changes.items():
        arguments.setlist(name, [] if value is None else [value])
    query = urlencode([(name, value) for name, value in arguments.items(multi=True) if value])
    path = url_for(str(request.endpoint), **(request.view_args or {}))
    return f"{path}?{query}" if query else path
