"""From Markdown to the HTML that is shown.

A text is rendered and cleaned each time that it is read, never before it is stored: what a newer
version of the cleaner refuses is gone from old pages too.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

SCHEMES = {"http", "https", "mailto", "tel"}
# Left out: the page's own heading, landmarks (the layout has them), and what is obsolete.
TAGS = nh3.ALLOWED_TAGS - {
    "h1", "article", "aside", "footer", "header", "hgroup", "nav",
    "area", "map", "acronym", "center", "rtc", "strike", "tt",
}  # fmt: skip
# A wide table scrolls; without a pointer that needs the focus.
FOCUSED = {"table": {"tabindex": "0"}}
# Characters. A short text can name a long link tens of thousands of times.
MAX_HTML = 1_000_000
TOO_LARGE = Markup("<p>This page grows too large when it is shown. Shorten its text.</p>")

# What begins emphasis and the like. Browsers, and so the cleaner, open it again in each paragraph
# after the one in which it was left open: a short text can so have millions of elements.
LEFT_OPEN = re.compile(
    r"<(b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)\b(>?)", re.IGNORECASE
)
ALIKE = 3  # of these that have no attributes as many are opened again, and all that have some
MAX_REOPENED = 250_000

# The url of an image on this site: browsers are told to load no others.
HERE = re.compile(r"(?!//|[/\\]{2}|[a-z][a-z0-9+.-]*:)", re.IGNORECASE)
ALIGNED = re.compile(r"text-align:(left|center|right)")


@lru_cache(maxsize=32)
def render(text: str) -> Markup:
    """Return the HTML of a text in Markdown: of HTML in it, only what can do no harm is left.

    The headings begin at the second level, below the page's title. A text that is made for it takes
    a second: call it in a thread.
    """
    tokens = PARSER.parse(text)
    if sum(_lengths(tokens)) > MAX_HTML:
        return TOO_LARGE
    _lower_headings(tokens)
    _align_cells(tokens)
    html = PARSER.renderer.render(tokens, PARSER.options, {})
    if _most_reopened(html) > MAX_REOPENED:
        return TOO_LARGE
    clean = nh3.clean(
        html,
        tags=TAGS,
        url_schemes=SCHEMES,
        attribute_filter=_without_other_sites,
        set_tag_attribute_values=FOCUSED,
    )
    return Markup(clean) if len(clean) <= MAX_HTML else TOO_LARGE  # noqa: S704  (cleaned)


def _lengths(tokens: Sequence[Token]) -> Iterator[int]:
    for token in tokens:
        yield sum(len(str(value)) for value in token.attrs.values())
        yield from _lengths(token.children or ())


def _most_reopened(html: str) -> int:
    """Return how many elements the cleaner may open again, at most, while it reads the tags."""
    begun = Counter(f"{name.lower()}{end}" for name, end in LEFT_OPEN.findall(html))
    each = sum(min(n, ALIKE) if tag.endswith(">") else n for tag, n in begun.items())
    return each * html.count("<")


def _lower_headings(tokens: Sequence[Token]) -> None:
    """Renumber the levels of the headings from the second one, without gaps."""
    headings = [token for token in tokens if token.type in ("heading_open", "heading_close")]
    used = sorted({token.tag for token in headings})
    for token in headings:
        token.tag = f"h{min(used.index(token.tag) + 2, 6)}"


def _align_cells(tokens: Sequence[Token]) -> None:
    """Align cells of tables by an attribute, since styles are cleaned away."""
    for token in tokens:
        if found := ALIGNED.fullmatch(str(token.attrs.get("style", ""))):
            token.attrs = {"align": found[1]}


def _without_other_sites(tag: str, name: str, value: str) -> str | None:
    return None if (tag, name) == ("img", "src") and not HERE.match(value) else value


def _image(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    """Render an image, or a link to it where it is on another site."""
    source = str(tokens[index].attrs.get("src", ""))
    if HERE.match(source):
        return renderer.image(tokens, index, options, env)
    words = renderer.renderInlineAsText(tokens[index].children or (), options, env)
    return str(Markup('<a href="{}">{}</a>').format(source, escape(words or source)))


PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
PARSER.add_render_rule("image", _image)
