"""The layout of pages, the home page, and static files."""

import re
from typing import Any

import pytest
from jinja2 import UndefinedError
from quart import Quart, stream_template_string
from quart.typing import TestClientProtocol as Browser

from app.accounts import roles
from app.config import Config
from tests.factories.people import log_in, make_person


async def text_of(client: Browser, path: str) -> str:
    response = await client.get(path)
    assert response.status_code == 200
    return str(await response.get_data(as_text=True))


async def test_the_home_page_greets_by_name(client: Browser) -> None:
    assert "Robin" not in await text_of(client, "/")
    await log_in(client, await make_person())
    assert "Robin" in await text_of(client, "/")


async def test_the_first_steps_are_shown_in_development_on_this_machine_only(
    app: Quart, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    here: dict[str, Any] = {"scope_base": {"client": ("127.0.0.1", 1)}}
    elsewhere: dict[str, Any] = {"scope_base": {"client": ("192.0.2.9", 1)}}
    stranger, member = app.test_client(), app.test_client()
    await log_in(member, await make_person())

    async def page(client: Browser, **where: Any) -> str:
        return str(await (await client.get("/", **where)).get_data(as_text=True))

    assert "First steps" not in await page(stranger, **here)
    monkeypatch.setattr(type(settings), "DEBUG", True)
    assert "First steps" not in await page(stranger, **elsewhere)
    assert str(settings.ADMIN_EMAIL) in await page(stranger, **here)
    assert "/dev/mail" in await page(stranger, **here)
    assert "app/features.py" in await page(member, **here)
    assert str(settings.ADMIN_EMAIL) not in await page(member, **here)


async def test_a_password_that_somebody_chose_is_not_on_the_home_page(
    client: Browser, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(settings), "DEBUG", True)
    where: dict[str, Any] = {"scope_base": {"client": ("127.0.0.1", 1)}}
    for password, shown in (("password", True), ("chosen by somebody", False)):
        settings.ADMIN_PASSWORD = password
        page = await (await client.get("/", **where)).get_data(as_text=True)
        assert (f"<code>{password}</code>" in page) is shown


async def test_names_are_escaped(client: Browser) -> None:
    await log_in(client, await make_person(first_name="<script>alert(1)</script>"))
    page = await text_of(client, "/") + await text_of(client, "/account/manage")
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


async def test_administration_is_linked_for_administrators_only(app: Quart) -> None:
    member, administrator = app.test_client(), app.test_client()
    await log_in(member, await make_person())
    await log_in(administrator, await make_person(role=roles.ADMINISTRATOR))
    assert 'href="/admin"' not in await text_of(member, "/")
    assert 'href="/admin"' in await text_of(administrator, "/")


async def test_a_name_that_a_template_does_not_know_is_a_mistake(app: Quart) -> None:
    with pytest.raises(UndefinedError, match="nonsense"):
        await app.jinja_env.from_string("{{ nonsense }}").render_async()


async def test_the_current_page_is_marked(client: Browser) -> None:
    page = await text_of(client, "/docs")
    marked = re.findall(r'<a[^>]*href="([^"]+)"[^>]*aria-current="page"', page)
    assert set(marked) == {"/docs"}


async def test_static_files_are_addressed_by_their_content_and_cached_for_ever(
    client: Browser,
) -> None:
    page = await text_of(client, "/")
    address = re.search(r'href="(/static/app\.css\?v=[0-9a-f]{12})"', page)
    assert address
    response = await client.get(address[1])
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    for other in ("?v=wrong", "?v=", ""):
        assert (
            "immutable"
            not in (await client.get(f"/static/app.css{other}")).headers["Cache-Control"]
        )
    response = await client.get("/static/app.css")
    assert "immutable" not in response.headers["Cache-Control"]


async def test_pages_are_not_kept_by_caches(client: Browser) -> None:
    assert (await client.get("/")).headers["Cache-Control"] == "no-store"


async def test_nothing_is_inline_and_nothing_comes_from_elsewhere(app: Quart) -> None:
    client = app.test_client()
    await log_in(client, await make_person(role=roles.ADMINISTRATOR))
    pages = [await text_of(client, path) for path in ("/", "/account/manage", "/admin", "/docs")]
    pages += [await text_of(app.test_client(), "/account/login")]
    for page in pages:
        assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", page)
        assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', page)


@pytest.mark.parametrize(
    "path", ["/static/../config.py", "/static/%2e%2e/config.py", "/docs/assets/../__init__.py"]
)
async def test_static_routes_give_nothing_from_outside_their_folder(
    client: Browser, path: str
) -> None:
    assert (await client.get(path)).status_code == 404


async def test_templates_can_be_streamed(app: Quart) -> None:
    async with app.test_request_context("/"):
        pieces = [piece async for piece in await stream_template_string("{{ app_name }} {{ 1 }}")]
    assert "".join(pieces) == f"{app.config['APP_NAME']} 1"
