"""The form of a text in which people search: without case, accents and runs of blanks."""

import unicodedata

MAX_KEY = 150


def folded(text: str) -> str:
    """Return a text by which it is sorted and found: "É. De  Souza" as "e. de souza".

    By compatibility decomposition without combining marks, then full case folding (Unicode, chapter
    3.13). Idempotent. Scripts that are not Latin stay apart from it.
    """
    before = ""
    while text != before:  # some marks appear by folding alone
        before = text
        plain = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    return " ".join(text.split())


def name_keys(first_name: str, last_name: str) -> dict[str, str]:
    """Return the columns by which a name is sorted and found.

    Every statement that writes a name writes these as well.
    """
    return {
        "name_key": folded(f"{last_name} {first_name}")[:MAX_KEY],
        "given_name_key": folded(f"{first_name} {last_name}")[:MAX_KEY],
    }
