"""The difference of two texts: which lines, and which words in them, were taken away or added."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

AROUND = 2  # unchanged lines that are shown around a changed one
MAX_SHOWN = 1000  # lines: nobody reads more
# Up to so many changes the smallest difference is looked for: the time grows with their square.
# Texts that differ in more are shown as one replaced by the other.
MAX_CHANGES, MAX_CHANGED_WORDS = 1000, 60
ALIKE = 0.4  # the share that two lines must have in common for single words to be marked

WORD = re.compile(r"\w+|\s+|[^\w\s]")
Pairs = list[tuple[int, int]]


class Part(NamedTuple):
    """A part of a line, and whether the other line of the pair does not have it."""

    text: str
    changed: bool = False


class Line(NamedTuple):
    """A line of a difference: kind is "same", "old", "new", "gap" or "cut" (there are more)."""

    kind: str
    parts: Sequence[Part] = ()


def difference(old: str, new: str) -> list[Line]:
    """Return the lines in which two texts differ, with a few around them, at most `MAX_SHOWN`.

    Texts that are made for it take a second: call it in a thread.
    """
    lines: list[Line] = []
    for line in _grouped(_compared(_lines(old), _lines(new))):
        if len(lines) == MAX_SHOWN:
            return [*lines, Line("cut")]
        lines.append(line)
    return lines


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _grouped(lines: Sequence[Line]) -> Iterator[Line]:
    """Leave out unchanged lines that are not near a changed one."""
    changed = [number for number, line in enumerate(lines) if line.kind != "same"]
    near = {n for c in changed for n in range(c - AROUND, c + AROUND + 1) if 0 <= n < len(lines)}
    before = None
    for number in sorted(near):
        if before is not None and number > before + 1:
            yield Line("gap")
        yield lines[number]
        before = number


def _compared(old: Sequence[str], new: Sequence[str]) -> list[Line]:
    """Return all lines of both texts: first what was taken away at a place, then what came."""
    lines: list[Line] = []
    ends = [(-1, -1), *common(old, new, MAX_CHANGES), (len(old), len(new))]
    for (i, j), (next_i, next_j) in pairwise(ends):
        if i >= 0:
            lines.append(Line("same", [Part(old[i])]))
        lines += _replaced(old[i + 1 : next_i], new[j + 1 : next_j])
    return lines


def _replaced(old: Sequence[str], new: Sequence[str]) -> list[Line]:
    marked = [_marked(a, b) for a, b in zip(old, new, strict=True)] if len(old) == len(new) else []
    gone = [a for a, _ in marked] or [[Part(line)] for line in old]
    come = [b for _, b in marked] or [[Part(line)] for line in new]
    return [Line("old", parts) for parts in gone] + [Line("new", parts) for parts in come]


def _marked(old: str, new: str) -> tuple[list[Part], list[Part]]:
    """Return both lines of a pair in parts, or whole if they have little in common."""
    before, after = WORD.findall(old), WORD.findall(new)
    pairs = common(before, after, MAX_CHANGED_WORDS)
    shared = sum(len(before[i]) for i, _ in pairs)
    if shared < ALIKE * max(len(old), len(new)):
        return [Part(old)], [Part(new)]
    kept = {i for i, _ in pairs}, {j for _, j in pairs}
    return _parts(before, kept[0]), _parts(after, kept[1])


def _parts(words: Sequence[str], kept: set[int]) -> list[Part]:
    parts: list[Part] = []
    for number, word in enumerate(words):
        changed = number not in kept
        if parts and parts[-1].changed == changed:
            word = parts.pop().text + word
        parts.append(Part(word, changed))
    return parts


def common(old: Sequence[str], new: Sequence[str], most: int) -> Pairs:
    """Return the positions of what two sequences have in common, in order.

    They leave the fewest changes there can be, or, if those are more than `most`, are only those
    at the beginning and at the end.
    """
    shorter = min(len(old), len(new))
    start = 0
    while start < shorter and old[start] == new[start]:
        start += 1
    end = 0
    while end < shorter - start and old[-1 - end] == new[-1 - end]:
        end += 1
    last, other_last = len(old) - end, len(new) - end
    middle = _shortest(old[start:last], new[start:other_last], most)
    return [
        *((n, n) for n in range(start)),
        *((start + i, start + j) for i, j in middle),
        *((last + n, other_last + n) for n in range(end)),
    ]


def _shortest(old: Sequence[str], new: Sequence[str], most: int) -> Pairs:
    """Return the positions of a longest common subsequence, or none after `most` changes.

    The greedy algorithm of E. W. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986),
    section 4.

    `reached[d][t]` is how far into `old` one comes with d changes on the diagonal 2t - d.
    """
    reached: list[list[int]] = []
    for d in range(most + 1):
        reached.append([])
        for t in range(d + 1):
            x = _after_change(reached[d - 1], t) if d else 0
            y = x - (2 * t - d)
            while x < len(old) and y < len(new) and old[x] == new[y]:
                x, y = x + 1, y + 1
            reached[d].append(x)
            if x == len(old) and y == len(new):
                return _way_back(reached, x, y)
    return []


def _after_change(before: Sequence[int], t: int) -> int:
    """Return how far one comes on a diagonal by one more line of `old`, or by one of `new`."""
    by_old = before[t - 1] + 1 if t else -1
    by_new = before[t] if t < len(before) else -1
    return max(by_old, by_new)


def _way_back(reached: Sequence[Sequence[int]], x: int, y: int) -> Pairs:
    pairs: Pairs = []
    for d in range(len(reached) - 1, -1, -1):
        t = (x - y + d) // 2
        start = _after_change(reached[d - 1], t) if d else 0
        while x > start:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        if d and t < d and reached[d - 1][t] == start:
            y -= 1
        else:
            x -= 1
    return pairs[::-1]
