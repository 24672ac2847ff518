"""Texts that are made to take long: they are rendered and compared all the same, and soon."""

import sys
from collections.abc import Callable
from itertools import pairwise
from random import Random
from types import FrameType
from typing import Any

import nh3
import pytest

from app.content.difference import MAX_SHOWN, Line, common, difference
from app.content.rendering import MAX_HTML, TOO_LARGE, render
from app.content.schemas import MAX_LINES, MAX_TEXT

# Each makes a text of about this many characters and this many lines.
TEXTS: dict[str, Callable[[int, int], str]] = {
    "quotes": lambda size, lines: ">" * size,
    "brackets": lambda size, lines: "[" * size,
    "images": lambda size, lines: "![" * (size // 2),
    "links": lambda size, lines: "[" * (size // 5) + "a" + "](b)" * (size // 5),
    "stars": lambda size, lines: "*a_ " * (size // 4),
    "lists": lambda size, lines: "- " * (size // 2),
    "nested lists": lambda size, lines: "".join(
        " " * (2 * depth) + "- a\n" for depth in range(int(size**0.5) - 3)
    ),
    "backticks": lambda size, lines: "".join(
        "`" * n + " " for n in range(1, int((2 * size) ** 0.5))
    ),
    "lazy lines": lambda size, lines: "> " * 40 + "a\n" + "b\n" * (lines - 2),
    "table": lambda size, lines: "\n".join(
        ["|".join("a" * 40), "|".join("-" * 40), *["a"] * (lines - 3)]
    ),
    "tags": lambda size, lines: "<b>" * (size // 3),
    "blocks": lambda size, lines: "<div>\n" * (lines - 1),
    "references": lambda size, lines: "[a]: b\n" * (lines - 1),
}


@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)
def test_deep_texts_are_rendered(make: Callable[[int, int], str]) -> None:
    assert 0 < len(render(make(MAX_TEXT // 8, MAX_LINES // 8)) + " ") <= MAX_HTML


@pytest.mark.parametrize(
    "begin",
    [
        lambda number: f"<b title={number}>",
        lambda number: f'<FONT lang="a>{number}">',
        lambda number: f"<i\ntitle={number}>",
        lambda number: f"<b/title={number}>",
        lambda number: f"<b title={number}><table><td></b></table>",
    ],
)
def test_what_is_left_open_is_not_opened_again_without_end(
    begin: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cleaner would need 100 MB for this text, and 10 GB for one of the greatest length."""
    monkeypatch.setattr(nh3, "clean", lambda html, **_: html)
    text = "<div><p>" + "".join(begin(number) for number in range(300)) + "<p>x" * 1000
    assert render(text) == TOO_LARGE


def test_all_kinds_of_emphasis_may_be_left_open() -> None:
    text = "<b><i><u>" + "<p>x" * 500 + "\n\n" + "**a** *b* `c` [d](e) ~~f~~\n\n" * 500
    assert "<strong>a</strong> <em>b</em> <code>c</code>" in render(text)


def steps(act: Callable[[], object]) -> int:
    """Return how many lines of Python run: unlike time, it is the same on every machine."""
    number = 0

    def count(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        nonlocal number
        number += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        act()
    finally:
        sys.settrace(before)
    return number


@pytest.mark.faults
@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)
def test_rendering_takes_no_longer_than_the_text_is(make: Callable[[int, int], str]) -> None:
    """Eight times the text takes eight times as many steps, not sixty-four times."""
    render.cache_clear()
    short = steps(lambda: render(make(MAX_TEXT // 16, MAX_LINES // 16)))
    assert steps(lambda: render(make(MAX_TEXT // 2, MAX_LINES // 2))) < 9 * short


def lines(seed: int, number: int, kinds: int) -> str:
    random = Random(seed)
    return "\n".join(f"the line {random.randrange(kinds)}" for _ in range(number))


@pytest.mark.faults
@pytest.mark.parametrize("kinds", [2, 70, 10**9])
def test_texts_that_differ_everywhere_are_compared_in_a_second(kinds: int) -> None:
    old, new = lines(1, MAX_LINES, kinds), lines(2, MAX_LINES, kinds)
    assert steps(lambda: difference(old, new)) < 10_000_000


@pytest.mark.parametrize("seed", range(20))
def test_what_is_common_is_the_most_there_can_be(seed: int) -> None:
    random = Random(seed)
    for _ in range(50):
        old, new = ("".join(random.choices("abc", k=random.randrange(10))) for _ in range(2))
        pairs = common(old, new, most=20)
        assert all(old[i] == new[j] for i, j in pairs)
        assert all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))
        assert len(pairs) == longest(old, new)


def longest(old: str, new: str) -> int:
    """Return the length of the longest common subsequence, the slow way."""
    rows = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, a in enumerate(old):
        for j, b in enumerate(new):
            rows[i + 1][j + 1] = rows[i][j] + 1 if a == b else max(rows[i][j + 1], rows[i + 1][j])
    return rows[-1][-1]


def shown(found: list[Line]) -> list[tuple[str, str]]:
    return [(line.kind, "".join(part.text for part in line.parts)) for line in found]


def test_lines_far_from_a_change_are_left_out() -> None:
    old = [str(number) for number in range(20)]
    new = [*old[:5], "new", *old[6:18], *old[19:]]
    assert shown(difference("\n".join(old), "\n".join(new))) == [
        *[("same", each) for each in ("3", "4")],
        ("old", "5"),
        ("new", "new"),
        *[("same", each) for each in ("6", "7")],
        ("gap", ""),
        *[("same", each) for each in ("16", "17")],
        ("old", "18"),
        ("same", "19"),
    ]
    assert difference("a\nb", "a\nb") == []
    assert shown(difference("", "a")) == [("new", "a")]
    assert shown(difference("a", "")) == [("old", "a")]


def test_words_that_differ_are_marked() -> None:
    [old, new] = difference("The quick brown fox jumps.", "The quick red fox jumps!")
    assert [part.text for part in old.parts if part.changed] == ["brown", "."]
    assert [part.text for part in new.parts if part.changed] == ["red", "!"]
    assert "".join(part.text for part in old.parts) == "The quick brown fox jumps."
    assert not any(part.changed for line in difference("all of it", "xyz") for part in line.parts)


def test_texts_that_have_nothing_in_common_replace_each_other() -> None:
    old = "\n".join(f"old {number}" for number in range(MAX_LINES))
    found = difference(f"same\n{old}", "same\nnew")
    assert len(found) == MAX_SHOWN + 1
    assert shown(found)[:2] == [("same", "same"), ("old", "old 0")]
    assert found[-1].kind == "cut"
