"""The home page."""

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.config import Config

LOOPBACK = {"client": ("127.0.0.1", 1)}


@pytest.mark.parametrize("mailbox", [True, False])
async def test_the_first_steps_name_the_mailbox_if_there_is_one(
    app: Quart,
    client: Browser,
    settings: Config,
    monkeypatch: pytest.MonkeyPatch,
    mailbox: bool,
) -> None:
    monkeypatch.setattr(type(settings), "DEBUG", True)
    if not mailbox:
        monkeypatch.delitem(app.blueprints, "mailbox")
        monkeypatch.setitem(app.extensions["menus"], "footer", [])
    response = await client.get("/", scope_base=LOOPBACK)
    page = await response.get_data(as_text=True)
    assert (response.status_code, "First steps" in page) == (200, True)
    assert ("/dev/mail" in page) is mailbox
