"""The links of lists: they sort, turn pages, and keep what is asked beside."""

import re
from typing import Any
from urllib.parse import parse_qsl

import pytest
from quart import Quart, render_template_string

from app.accounts.people_schemas import PeopleQuery
from app.keyset import Page
from app.web.lists import here

HEAD = '{% from "macros/lists.html" import sorting %}{{ sorting(wanted, "name", "Name") }}'
PAGES = '{% from "macros/lists.html" import pagination %}{{ pagination(page) }}'


async def asked(app: Quart, query: str, **changes: Any) -> tuple[str, list[tuple[str, str]]]:
    """Return the path and the arguments of `here` in a request with this query string."""
    async with app.test_request_context(f"/admin/users?{query}"):
        path, _, arguments = here(**changes).partition("?")
    return path, parse_qsl(arguments, keep_blank_values=True)


@pytest.mark.parametrize(
    ("query", "changes", "arguments"),
    [
        ("", {}, []),
        ("q=a&state=active", {}, [("q", "a"), ("state", "active")]),
        ("q=a&cursor=x", {"cursor": None}, [("q", "a")]),
        ("cursor=x", {"cursor": "y"}, [("cursor", "y")]),
        ("q=a", {"sort": "-name", "cursor": None}, [("q", "a"), ("sort", "-name")]),
        ("q=&role=", {}, []),  # what a form left empty
        ("q=%26%3D%3F%23%20%C3%A9", {}, [("q", "&=?# é")]),
        ("id=1&id=2", {"sort": "name"}, [("id", "1"), ("id", "2"), ("sort", "name")]),
    ],
)
async def test_a_link_keeps_what_is_asked_beside(
    app: Quart, query: str, changes: dict[str, Any], arguments: list[tuple[str, str]]
) -> None:
    assert await asked(app, query, **changes) == ("/admin/users", arguments)


async def test_a_link_stays_on_a_page_with_arguments_in_its_path(app: Quart) -> None:
    async with app.test_request_context("/admin/user/7?q=a"):
        assert here(cursor="x") == "/admin/user/7?q=a&cursor=x"


async def rendered(app: Quart, template: str, query: str = "", **values: Any) -> str:
    async with app.test_request_context(f"/admin/users?{query}"):
        return await render_template_string(template, **values)


@pytest.mark.parametrize(
    ("sort", "sorted_by", "leads_to"),
    [
        ("name", "ascending", "-name"),
        ("-name", "descending", "name"),
        ("email", None, "name"),
        ("-created", None, "name"),
    ],
)
async def test_a_column_says_how_it_is_sorted_and_turns_it_around(
    app: Quart, sort: str, sorted_by: str | None, leads_to: str
) -> None:
    wanted = PeopleQuery(sort=sort)
    html = await rendered(app, HEAD, f"sort={sort}&q=a&cursor=x", wanted=wanted)
    assert re.findall(r'aria-sort="(\w+)"', html) == ([sorted_by] if sorted_by else [])
    [link] = re.findall(r'<a [^>]*href="([^"]+)"', html)
    arguments = dict(parse_qsl(link.partition("?")[2].replace("&amp;", "&")))
    assert arguments == {"q": "a", "sort": leads_to}, "from its first page on"


@pytest.mark.parametrize(
    ("page", "links", "words"),
    [
        (Page([1]), [], []),
        (Page([1], "n"), ["/admin/users?q=a&amp;cursor=n"], ["First page"]),
        (
            Page([1], "n", is_first=False),
            ["/admin/users?q=a", "/admin/users?q=a&amp;cursor=n"],
            [],
        ),
        (Page([1], None, is_first=False), ["/admin/users?q=a"], ["Last page"]),
    ],
)
async def test_pages_lead_on_and_back_to_the_first(
    app: Quart, page: Page[int], links: list[str], words: list[str]
) -> None:
    query = "q=a" if page.is_first else "q=a&cursor=here"
    html = await rendered(app, PAGES, query, page=page)
    assert re.findall(r'href="([^"]+)"', html) == links
    assert re.findall(r"<span>([^<]+)</span>", html) == words
