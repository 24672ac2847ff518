"""Names of people: any script, one normal form, nothing invisible."""

import unicodedata
from itertools import pairwise

MAX_LENGTH = 64  # characters, which is what the columns hold

# Fillers of Hangul and Braille: letters to Unicode, blanks to whoever looks at them.
BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
FLAG = "\U0001f3f4"  # the flags of England, Scotland and Wales are this one and invisible tags
# What programs write in place of something that they cannot show.
REPLACEMENTS = frozenset("\ufffc\ufffd")
# They shape what they stand in: Persian, Sinhala, Mongolian, and emoji of several parts.
JOINERS = frozenset("\u200c\u200d\u180e")
# Text that is copied brings them along. They show nothing and shape nothing: soft hyphen,
# combining grapheme joiner, Arabic, left-to-right and right-to-left marks, inherent vowels of
# Khmer, zero-width space, word joiner, byte order mark.
DROPPED = dict.fromkeys(map(ord, "\u00ad\u034f\u061c\u17b4\u17b5\u200b\u200e\u200f\u2060\ufeff"))

VIRAMA = 9  # the combining class; a joiner after it chooses the form of the last letter
# Planes of ideographs. Names hold some that are newer than this Python's tables.
IDEOGRAPHS = range(0x20000, 0x3FFFE)


def clean_name(value: str) -> str:
    """Return a name in the form in which it is stored: NFC, with single blanks, trimmed.

    Any run of blanks becomes one ordinary blank, so that a name is found by whatever blank is
    typed. Idempotent. Raises `ValueError`, in words for its owner, for a name that shows nothing,
    and for characters that break lines, reverse text, hold a link, or mean nothing.
    """
    if len(value) > 16 * MAX_LENGTH:  # normalising it would cost much, and it stays too long
        return value
    for before, character in pairwise(f" {value.strip()}"):
        in_flag = _is_tag(character) and (before == FLAG or _is_tag(before))
        if not in_flag and (why := _refusal(character)) is not None:
            raise ValueError(f"A name cannot hold {why}.")
    plain = "".join(" " if _is_blank(character) else character for character in value)
    words = unicodedata.normalize("NFC", plain.translate(DROPPED)).split()
    name = " ".join(word for word in map(_without_loose_joiners, words) if word)
    if not any(_is_visible(character) for character in name):
        if not value.strip():
            return ""
        raise ValueError("This name shows nothing: type at least one character that can be seen.")
    # Names stand in mails: no links to other sites, no encoded words (RFC 2047).
    for sign in ("://", "=?"):
        if sign in name:
            raise ValueError(f'A name cannot hold "{sign}": it is also written into mails.')
    return name


def _refusal(character: str) -> str | None:
    """Return what is wrong with a character, or None if a name may hold it."""
    category, code = unicodedata.category(character), f"U+{ord(character):04X}"
    if category == "Cc":
        breaks = character in "\n\r\v\f\x85"
        return f"{'a line break' if breaks else 'a control character'} ({code})"
    if character in REPLACEMENTS:
        return f"a placeholder for something that was lost ({code})"
    if category in ("Zl", "Zp"):
        return f"a line break ({code})"
    if category == "Cs":
        return f"half a character ({code})"
    if category == "Co":
        return f"a character of private use ({code}), which others see differently or not at all"
    if category == "Cn" and ord(character) not in IDEOGRAPHS:
        return f"a character that Unicode does not define ({code})"
    if category == "Cf" and character not in JOINERS and ord(character) not in DROPPED:
        return f"the invisible character {unicodedata.name(character, 'of this code')} ({code})"
    return None


def _without_loose_joiners(word: str) -> str:
    """Remove joiners and variation selectors that have nothing before them to act on.

    So are joiners at the end of a word, except after a virama: Malayalam ends names with them.
    """
    kept: list[str] = []
    for character in word:
        acts_on_nothing = not kept or kept[-1] in JOINERS
        if acts_on_nothing and (character in JOINERS or _is_variation(character)):
            continue
        if _is_variation(character) and _is_variation(kept[-1]):
            continue
        kept.append(character)
    while kept and kept[-1] in JOINERS and unicodedata.combining(kept[-2]) != VIRAMA:
        kept.pop()
    return "".join(kept)


def _is_blank(character: str) -> bool:
    return character.isspace() or character in BLANK_LETTERS


def _is_variation(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _is_tag(character: str) -> bool:
    return "\U000e0020" <= character <= "\U000e007f"


def _is_visible(character: str) -> bool:
    """Tell whether it shows something by itself: a letter, digit, punctuation mark or symbol."""
    return unicodedata.category(character)[0] in "LNPS" or ord(character) in IDEOGRAPHS
