"""Nothing that an editor writes is ever active, whatever it is and wherever it is shown."""

import json
import re
from html.parser import HTMLParser

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.content.rendering import MAX_HTML, TOO_LARGE, render
from app.content.schemas import MAX_LINES, MAX_TEXT
from tests.content.editors import API, an_editor, editor, page, post, put, words
from tests.factories.people import log_in, make_person, make_role

NASTY = [
    "<script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src=x:x onerror=alert(1)//",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table>",
    '<a href="javascript:alert(1)">a</a>',
    '<a href=" &#x6A;ava\tscript:alert(1)">a</a>',
    '<a href="data:text/html;base64,PHNjcmlwdD4=" target="_blank">a</a>',
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](java&#x09;script:alert(1))",
    "[a](vbscript:msgbox)",
    "[a](data:text/html,<script>alert(1)</script>)",
    "[a]: javascript:alert(1)\n\n[a]",
    "<javascript:alert(1)>",
    "![a](javascript:alert(1))",
    '![a" onerror="alert(1)](/x.png "t\\" onload=\\"alert(1)")',
    '[a](/x "\\" onmouseover=\\"alert(1)")',
    '<p style="position:fixed;inset:0" class="flash" id="main" onclick="alert(1)">a</p>',
    '<iframe srcdoc="<script>alert(1)</script>"></iframe><object data="x"></object><embed src="x">',
    '<form action="/account/logout" method="post"><input name=a><button>a</button></form>',
    '<meta http-equiv="refresh" content="0;url=//example.com"><base href="//example.com">',
    "<style>*{display:none}</style><link rel=stylesheet href=//example.com>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<textarea><p title='</textarea><img src=x onerror=alert(1)>'>",
    "<title></title><!--><img src=x onerror=alert(1)>-->",
    "```html\n<script>alert(1)</script>\n```",
    "<details ontoggle=alert(1) open><summary autofocus onfocus=alert(1)>a</summary></details>",
    "</div></main></body><script>alert(1)</script>",
]
FORBIDDEN = {
    "script", "style", "iframe", "object", "embed", "form", "input", "button", "textarea", "meta",
    "base", "link", "svg", "math", "noscript", "title", "h1", "nav", "header", "footer",
}  # fmt: skip
BLANKS = re.compile(r"[\x00-\x20]")  # browsers leave them out
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):")
HARMLESS = ("http", "https", "mailto", "tel")


class Seen(HTMLParser):
    """The elements of some HTML, as a browser makes them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))


def active(html: str) -> list[str]:
    """Return what could do something in HTML that an editor wrote."""
    found = []
    for tag, attributes in Seen(html).elements:
        if tag in FORBIDDEN:
            found.append(tag)
        for name, value in attributes.items():
            scheme = SCHEME.match(BLANKS.sub("", value).lower())
            if name.startswith("on") or name in ("style", "class", "id", "target", "srcdoc"):
                found.append(f"{tag} {name}")
            if name in ("href", "src") and scheme and scheme[1] not in HARMLESS:
                found.append(f"{tag} {name}={value}")
    return found


def test_what_looks_for_active_html_finds_it() -> None:
    assert active("<b onclick=x>") == ["b onclick"]
    assert active("<script>") == ["script"]
    assert active("<a href=' java\tscript:x'>") == ["a href= java\tscript:x"]


@pytest.mark.parametrize("text", NASTY)
def test_nothing_is_active_in_what_is_rendered(text: str) -> None:
    for written in (text, f"> - {text}", f"| a |\n|---|\n| {text} |", f"<div>\n{text}\n</div>"):
        assert active(str(render(written))) == []


@pytest.mark.parametrize("way", [put, post], ids=["api", "form"])
async def test_nothing_that_is_saved_is_active_anywhere(app: Quart, way: object) -> None:
    save = put if way is put else post
    mark = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    person = await make_person(role=await make_role("pages.edit"), first_name="<b onclick=x>")
    browser = app.test_client()
    await log_in(browser, person)
    for number, text in enumerate((f"{mark}\n\n" + "\n\n".join(NASTY), "other words")):
        response = await save(browser, "team", text, number, title=f"{mark} {number}")
        assert response.status_code in (200, 303)
    paths = (
        "/pages/team",
        "/admin/pages",
        "/admin/pages/team/edit",
        "/admin/pages/team/history",
        "/admin/pages/team/history/1",
        "/admin/pages/team/delete",
    )
    for path in paths:
        html = await page(browser, path)
        assert "<script>alert" not in html, path
        assert "<img src=x" not in html, path
        assert "<b onclick" not in html, path
        assert "alert(1)" in html, path
    refused = await words(await post(browser, "team", mark, 1, title=mark), 409)
    assert "<script>alert" not in refused
    version = await (await browser.get(f"{API}/team/versions/1")).get_json()
    assert active(version["html"]) == []


async def test_the_preview_is_what_will_be_shown(app: Quart) -> None:
    browser = await editor(app)
    text = "\n\n".join(["# Heading", "**bold**", *NASTY])
    preview = await words(await post(browser, "team", text, preview="on"))
    assert await page(browser, "/pages/team", 404)
    await post(browser, "team", text)
    shown = str(render(text))
    assert shown in preview
    assert shown in await page(browser, "/pages/team")
    assert (await (await browser.get(f"{API}/team")).get_json())["html"] == shown


def test_markdown_and_harmless_html_are_shown() -> None:
    html = render("A *b* ~~c~~ <kbd>d</kbd>\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n[e](/f)")
    for part in ("<em>b</em>", "<s>c</s>", "<kbd>d</kbd>", '<td align="right">2</td>'):
        assert part in html
    assert '<a href="/f" rel="noopener noreferrer">e</a>' in html


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("# a\n\n## b\n\n# c", ["h2", "h3", "h2"]),
        ("## a\n\n### b", ["h2", "h3"]),
        ("### a\n\n###### b", ["h2", "h3"]),
        ("a\n===\n\nb\n---", ["h2", "h3"]),
    ],
)
def test_headings_begin_below_the_title_of_the_page(text: str, tags: list[str]) -> None:
    assert [tag for tag, _ in Seen(render(text)).elements] == tags


@pytest.mark.parametrize(
    "url", ["https://example.com/a.png", "//example.com/a.png", "data:image/png;base64,AAAA"]
)
def test_an_image_of_another_site_is_a_link_to_it(url: str) -> None:
    """The Content-Security-Policy keeps browsers from loading it."""
    for text in (f"![words]({url})", f'<img src="{url}" alt="words">'):
        for tag, attributes in Seen(render(text)).elements:
            assert "src" not in attributes, tag
    linked = render("![some <b>words](https://example.com/a.png)")
    assert 'href="https://example.com/a.png"' in linked
    assert "some &lt;b&gt;words" in linked


def test_an_image_of_this_site_is_shown() -> None:
    assert render("![words](/static/favicon.svg)").startswith(
        '<p><img src="/static/favicon.svg" alt="words">'
    )


def test_a_text_that_grows_when_it_is_shown_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(render("<i></p>" * (MAX_TEXT // 7))) <= MAX_HTML
    # A link that is named often would make 250 MB of 100,000 characters: they are never made.
    monkeypatch.setattr("app.content.rendering.nh3", None)
    assert render("[a]: " + "x" * 20_000 + "\n\n" + "[a]" * 10_000) == TOO_LARGE


BAD = {"not UTF-8": b"\xff\xfe", "half a surrogate pair": b"\xed\xa0\x80", "NUL": b"\x00"}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("field", ["title", "text"])
async def test_what_cannot_be_stored_gets_a_clear_answer(
    app: Quart, bad: bytes, field: str
) -> None:
    browser = await editor(app)
    url, kind = "/admin/pages/team/edit", "application/x-www-form-urlencoded"
    other = "text" if field == "title" else "title"
    encoded = "".join(f"%{byte:02x}" for byte in bad).encode()
    start = f"{other}=a&version=0&{field}=".encode()
    for body in (start + encoded, start + bad):
        sent = await browser.post(url, data=body, headers={"Content-Type": kind})
        assert "This request could not be understood" in (text := await words(sent, 400)) or (
            "cannot be stored" in text or "could not be read" in text
        )
    part = 'Content-Disposition: form-data; name="{}"\r\n\r\n'
    parts = [(other, b"a"), ("version", b"0"), (field, b"a" + bad)]
    body = b"".join(b"--x\r\n" + part.format(n).encode() + v + b"\r\n" for n, v in parts) + b"--x--"
    sent = await browser.post(
        url, data=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert sent.status_code in (400, 303)
    sound = b'{"title": "a", "text": "b", "%s": "%s"}' % (field.encode(), bad)
    for body in (sound, sound.replace(bad, b"\\ud800"), sound.replace(bad, b"\\u0000")):
        sent = await browser.put(
            f"{API}/other", data=body, headers={"Content-Type": "application/json"}
        )
        assert sent.status_code == 400
        assert (await sent.get_json())["detail"]
    assert (await browser.get(f"{API}/other")).status_code == 404


async def test_too_much_gets_a_clear_answer_and_stays_in_the_form(app: Quart) -> None:
    browser = await editor(app)
    html = await words(await post(browser, "team", "a" * (MAX_TEXT + 1)), 422)
    assert "Use at most 100,000 characters. These are 100,001." in html
    assert "a" * (MAX_TEXT + 1) in html
    assert "maxlength" not in html.partition("<textarea")[2].partition(">")[0]
    html = await words(await post(browser, "team", "a\r\n" * MAX_LINES), 422)
    assert "Use at most 5,000 lines. These are 5,001." in html
    html = await words(await post(browser, "team", "a", title="a" * 201), 422)
    assert "Use at most 200 characters." in html
    for nothing in ("", "  ", "\u200b"):
        html = await words(await post(browser, "team", "a", title=nothing), 422)
        assert "This field is required." in html
    assert "too large" in await words(await post(browser, "team", "a" * 2**20), 413)
    assert "characters" in await words(await put(browser, "team", "a" * (MAX_TEXT + 1)), 422)
    assert "too large" in await words(await put(browser, "team", "a" * 2**20), 413)
    assert await page(browser, "/pages/team", 404)


async def test_the_longest_text_can_be_saved_in_any_script(app: Quart) -> None:
    browser = await editor(app)
    assert (await post(browser, "team", "語" * MAX_TEXT)).status_code == 303
    body = json.dumps({"title": "a", "text": "🦜" * MAX_TEXT}, ensure_ascii=False)
    headers = {"Content-Type": "application/json"}
    response = await browser.put(f"{API}/other", data=body.encode(), headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("slug", ["UPPER", "a b", "a--b", "-a", "a_b", "a.b", "ä", "a" * 65, "a\n"])
async def test_what_cannot_be_an_address_is_none(app: Quart, slug: str) -> None:
    browser = await editor(app)
    assert (await put(browser, slug.replace("\n", "%0A"), "a")).status_code == 404
    response = await browser.post("/admin/pages/new", form={"slug": slug})
    assert 'id="field-slug-errors"' in await words(response, 422)


async def test_only_editors_may_edit(app: Quart, client: Browser) -> None:
    browser, _ = await an_editor(app)
    await put(browser, "team", "a")
    assert (await put(client, "team", "b", 1)).status_code == 401
    await log_in(client, await make_person())
    assert (await put(client, "team", "b", 1)).status_code == 403
    assert (await post(client, "team", "b", 1)).status_code == 403
    assert (await client.get("/admin/pages")).status_code == 403
    assert (await client.delete(f"{API}/team")).status_code == 403
    assert "Edit this page" not in await page(client, "/pages/team")
