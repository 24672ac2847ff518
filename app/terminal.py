"""Showing the texts of others on a terminal, whose cursor and colours they might control."""

import io
import sys
import unicodedata

# Control characters, those that turn the direction of writing, lone surrogates, and line breaks.
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text with escapes such as \\\\x1b for what a terminal would obey.

    Line breaks are escaped too, unless `lines` are wanted.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character, lines=lines) for character in text)


def _shown(character: str, *, lines: bool) -> str:
    if lines and character == "\n":
        return character
    if unicodedata.category(character) in HIDDEN:
        return ascii(character)[1:-1]
    return character


def escape_what_stdout_lacks() -> None:
    """Have characters that the encoding of stdout lacks printed as escapes, as on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # it may be closed
        sys.stdout.reconfigure(errors="backslashreplace")
