"""Plots of daily numbers as inline SVG, drawn on the server: `macros/plots.html` shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

WIDTH, HEIGHT = 600, 120  # of the drawing, in units of SVG
GAP = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """A day of a plot: where its bar is, and what it says."""

    x: float
    y: float
    width: float
    height: float
    day: date
    number: int


@dataclass(frozen=True, slots=True)
class Plot:
    """A bar for each day."""

    title: str
    bars: list[Bar]
    largest: int
    total: int


def plot(title: str, numbers: Sequence[tuple[date, int]]) -> Plot:
    """Draw a number for each day, oldest first."""
    largest = max((number for _, number in numbers), default=0)
    step = WIDTH / max(len(numbers), 1)
    bars = []
    for index, (day, number) in enumerate(numbers):
        height = round(HEIGHT * number / largest, 1) if largest else 0
        if number:
            height = max(height, 2)  # or a small number would look like none
        x = round(index * step, 1)
        bars.append(Bar(x, HEIGHT - height, round(step - GAP, 1), height, day, number))
    return Plot(title, bars, largest, sum(number for _, number in numbers))
