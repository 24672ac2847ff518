"""The files that a document writes out in full.

Such a file is a line with its path in backticks, an empty line, and a block of code.
"""

import re

FILE = re.compile(
    r"^`(?P<path>[\w./-]+)`\n\n```(?P<language>\w+)\n(?P<text>.*?)```$", re.MULTILINE | re.DOTALL
)


def files(text: str) -> dict[str, str]:
    """Return the content of each file that a document writes out, by path."""
    return {found["path"]: found["text"] for found in FILE.finditer(text)}
