"""Plots of days: bars whose heights are the numbers."""

from datetime import date, timedelta

import pytest
from quart import Quart, render_template_string

from app.web.plots import GAP, HEIGHT, WIDTH, plot

FIRST = date(2026, 2, 27)
BARS = '{% from "macros/plots.html" import bars %}{{ bars(plot) }}'


def days(*numbers: int) -> list[tuple[date, int]]:
    return [(FIRST + timedelta(days=index), number) for index, number in enumerate(numbers)]


def test_bars_stand_on_the_ground_and_are_as_high_as_their_numbers() -> None:
    drawn = plot("Sign-ups", days(0, 5, 10, 2))
    assert [bar.height for bar in drawn.bars] == [0, HEIGHT / 2, HEIGHT, HEIGHT / 5]
    assert all(bar.y + bar.height == HEIGHT for bar in drawn.bars)
    assert (drawn.largest, drawn.total) == (10, 17)
    assert [(bar.day, bar.number) for bar in drawn.bars] == days(0, 5, 10, 2)


def test_bars_stand_side_by_side_within_the_drawing() -> None:
    drawn = plot("Sign-ups", days(*range(30)))
    for left, right in zip(drawn.bars, drawn.bars[1:], strict=False):
        assert left.x + left.width + GAP == pytest.approx(right.x)
    assert drawn.bars[0].x == 0
    assert drawn.bars[-1].x + drawn.bars[-1].width <= WIDTH


def test_a_small_number_is_seen_beside_a_large_one() -> None:
    none, one, _ = plot("Sign-ups", days(0, 1, 1_000_000)).bars
    assert none.height == 0
    assert one.height == 2
    assert one.y == HEIGHT - 2


@pytest.mark.parametrize("numbers", [(), (0,), (0, 0, 0)])
def test_nothing_is_drawn_flat(numbers: tuple[int, ...]) -> None:
    drawn = plot("Sign-ups", days(*numbers))
    assert [bar.height for bar in drawn.bars] == [0] * len(numbers)
    assert (drawn.largest, drawn.total) == (0, 0)


async def test_its_numbers_are_text_too(app: Quart) -> None:
    async with app.test_request_context("/"):
        html = await render_template_string(BARS, plot=plot("Sign-ups", days(0, 1234, 5)))
        empty = await render_template_string(BARS, plot=plot("Sign-ups", []))
    assert html.count("<rect ") == 3
    assert 'aria-label="Sign-ups: 1,239 in 3 days, at most 1,234 a day"' in html
    assert "<dt>2026-02-28</dt><dd>1,234</dd>" in html
    assert "27 Feb" in html
    assert "1 Mar" in html
    assert "not counted yet" in empty
    assert "<svg" not in empty
