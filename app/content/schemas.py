"""Request and response bodies of pages."""

import re
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic_core import PydanticCustomError

from app.content.models import PageVersion
from app.content.rendering import render
from app.errors import NotFound
from app.validators import LARGEST_ID, Shape

MAX_TITLE = 200
MAX_TEXT = 100_000  # characters
MAX_LINES = 5000  # the time to render a text, and to compare two, grows with the lines
MAX_SLUG = 64
SLUG = "[a-z0-9]+(-[a-z0-9]+)*"


def _title(value: str) -> str:
    """Return a title on one line. It must show something: it is the text of links, too."""
    title = " ".join(value.split())
    if not any(character.isprintable() and not character.isspace() for character in title):
        raise PydanticCustomError("title", "This field is required.")
    return title


def _text(value: str) -> str:
    """Return a text with the line ends of Unix; forms send others.

    The length is checked here and not by `maxlength`: browsers cut what is pasted silently.
    """
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > MAX_TEXT:
        words = f"Use at most {MAX_TEXT:,} characters. These are {len(text):,}."
        raise PydanticCustomError("long_text", "{words}", {"words": words})
    if (lines := text.count("\n") + 1) > MAX_LINES:
        words = f"Use at most {MAX_LINES:,} lines. These are {lines:,}."
        raise PydanticCustomError("many_lines", "{words}", {"words": words})
    return text


def _slug(value: str) -> str:
    if not re.fullmatch(SLUG, value):
        raise PydanticCustomError(
            "slug", "Use small letters, digits and single hyphens between them, like our-team."
        )
    return value


Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TITLE),
    AfterValidator(_title),
]
Text = Annotated[str, AfterValidator(_text)]


class PageIn(Shape):
    """A page as it is saved; `version` is the one that was edited, 0 for a new page."""

    title: Title = Field(title="Title", examples=["Our team"])
    text: Text = Field(
        examples=["We are *five*."],
        title="Text",
        description=f"Markdown, up to {MAX_TEXT:,} characters in {MAX_LINES:,} lines.",
        json_schema_extra={"input": "textarea", "maxLength": MAX_TEXT},
    )
    # Not of the kind "hidden": those are lost when the form comes back after logging in again.
    version: int = Field(0, ge=0, le=LARGEST_ID, json_schema_extra={"input": "version"})


class PageForm(PageIn):
    """The form of a page, which shows a preview in place of saving if asked."""

    preview: bool = Field(False, json_schema_extra={"input": "hidden"})


class NewPage(Shape):
    """The address of a new page."""

    slug: Annotated[str, AfterValidator(_slug)] = Field(
        title="Address",
        description="The last part of the page's address, like our-team in /pages/our-team.",
        max_length=MAX_SLUG,
    )


def require_slug(text: str) -> None:
    """Raise `NotFound` for what cannot be the address of a page."""
    if not re.fullmatch(SLUG, text) or len(text) > MAX_SLUG:
        raise NotFound("No page can have this address: it has small letters, digits and hyphens.")


class PageTag(BaseModel):
    """What tells the versions of all pages apart, also of one that was deleted and made again."""

    slug: str
    version: int
    saved_at: datetime

    @classmethod
    def of(cls, found: PageVersion) -> "PageTag":
        """Build it from a row."""
        return cls(slug=found.page.slug, version=found.number, saved_at=found.created_at)


class PageOut(BaseModel):
    """A version of a page; `html` is its text as it is shown."""

    TAGGED_BY: ClassVar = set(PageTag.model_fields)

    slug: str = Field(examples=["our-team"])
    version: int
    title: str = Field(examples=["Our team"])
    text: str = Field(examples=["We are *five*."])
    html: str = Field(examples=["<p>We are <em>five</em>.</p>"])
    saved_at: datetime

    @classmethod
    def of(cls, found: PageVersion) -> "PageOut":
        """Build it from a row. Renders the text, which may take a while: call it in a thread."""
        return cls(
            slug=found.page.slug,
            version=found.number,
            title=found.title,
            text=found.text,
            html=str(render(found.text)),
            saved_at=found.created_at,
        )


class PageRow(BaseModel):
    """A page in a list, or a version in a history; `restored_from` is the version it repeats."""

    slug: str = Field(examples=["our-team"])
    version: int
    title: str = Field(examples=["Our team"])
    author: str | None
    restored_from: int | None
    saved_at: datetime


class PageRows(BaseModel):
    """A part of a list of pages, or of a history."""

    items: list[PageRow]
    next: str | None


class Restored(Shape):
    """The version of a page to restore."""

    version: int = Field(ge=1, le=LARGEST_ID)
