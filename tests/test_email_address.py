# ruff: noqa: RUF001  (characters that look alike are what this is about)
"""The normal form of an email address: one for each person, and always the same."""

import unicodedata
from email import policy
from email.message import EmailMessage
from importlib.machinery import SourceFileLoader
from types import ModuleType

import idna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quart import Quart
from sqlalchemy import text

from app.database import db
from app.environment import PROJECT_ROOT
from app.mail.message import Email
from app.validators.email_address import EmailAddress, bare, email_address, normalised

FREEZING = PROJECT_ROOT / "alembic/versions/20261126_0430_normal_form_of_email_addresses.py"
ONE_LINE = policy.SMTPUTF8.clone(max_line_length=0)
LONG = ".".join(60 * letter for letter in "xyz")  # a domain near the limit

# Characters that a normal form may change, in whatever way.
CHANGING = [
    character
    for character in map(chr, range(0x80, 0x110000))
    if unicodedata.category(character) not in ("Cs", "Co", "Cn")
    and (
        character.lower() != character
        or character.upper() != character
        or unicodedata.normalize("NFKD", character) != character
    )
    # Syllables of Korean are 11,172, and all alike.
    and not "\uac01" < character < "\ud7a3"
]
# Enough for every run; a longer one goes through all of Unicode.
SOME = [*CHANGING[::16], *"İıΣςßẞŉǰΐſŸǅⒶᏸꭰᎠ\u212a\u212b\u0345\u1fb3\u1ffc\ua7ae\U00010400"]


def normal_form(written: str) -> EmailAddress | None:
    try:
        return email_address(written)
    except ValueError:
        return None


def is_fixed_and_mailable(written: str) -> bool:
    """Check everything that a normal form promises; tell whether there is one."""
    address = normal_form(written)
    if address is None:
        return False
    for again in (str(address), address.as_typed, f" <{address}>\n"):
        assert normal_form(again) == str(address), (written, again)
    assert address == address.lower() == unicodedata.normalize("NFC", address), written
    for form in (str(address), address.as_typed):
        assert len(form.encode()) <= 254, written
        local, _, domain = form.rpartition("@")
        idna.encode(domain)
        assert Email(to=form, subject="x", template="x").to.rpartition("@")[2] == domain
        message = EmailMessage(policy=ONE_LINE)
        message["To"] = envelope = f"{local}@{idna.encode(domain).decode()}"
        assert message.as_bytes() == f"To: {envelope}\r\n\r\n".encode(), written
    return True


def test_each_character_that_changes_leads_to_a_fixed_point() -> None:
    shapes = ("aΣ{}b@example.com", "{}@example.com", "a@x{}y.example")
    texts = [shape.format(character) for character in SOME for shape in shapes]
    assert sum(map(is_fixed_and_mailable, texts)) > 500


def check_each(shape: str, characters: str) -> None:
    """Check an address with all of them in it, and if it is refused, with each half of them."""
    if is_fixed_and_mailable(shape.format(characters)) or len(characters) == 1:
        return
    half = len(characters) // 2
    check_each(shape, characters[:half])
    check_each(shape, characters[half:])


@pytest.mark.faults
def test_each_character_leads_to_a_fixed_point() -> None:
    for character in CHANGING:
        check_each("a{}Σ@example.com", character)
        check_each("a@x{}y.example", character)
    assigned = (
        character
        for character in map(chr, range(0x110000))
        if unicodedata.category(character) not in ("Cs", "Co", "Cn")
    )
    unchanging = "".join(sorted(set(assigned) - set(CHANGING)))
    for start in range(0, len(unchanging), 14):
        check_each("a{}Σ@example.com", unchanging[start : start + 14])
        check_each("a@x{}y.example", unchanging[start : start + 14])


@pytest.mark.parametrize("character", "İẞΣŉ")
def test_what_lower_case_makes_longer_is_valid_in_the_end_or_refused(character: str) -> None:
    texts = [
        f"{number * character}@{LONG[:length]}x.com"
        for number in range(1, 65, 3)
        for length in range(len(LONG) - 30, len(LONG), 4)
    ]
    found = list(map(is_fixed_and_mailable, texts))
    assert True in found
    assert False in found


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=64), st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3))
def test_any_text_leads_to_a_fixed_point(local: str, labels: list[str]) -> None:
    is_fixed_and_mailable(f"{local}@example.com")
    is_fixed_and_mailable(f"a@{'.'.join(labels)}.example")


LETTERS = st.characters(categories=["L", "M", "N"])


@settings(max_examples=200, deadline=None)
@given(st.text(LETTERS, min_size=1, max_size=30), st.text(LETTERS, min_size=1, max_size=20))
def test_letters_and_marks_lead_to_a_fixed_point(local: str, label: str) -> None:
    is_fixed_and_mailable(f"{local}@{label}.example")


@pytest.mark.parametrize(
    ("written", "normal", "as_typed"),
    [
        ("Robin@Example.COM", "robin@example.com", "Robin@example.com"),
        ("a@xn--bcher-kva.example", "a@bücher.example", None),
        ("a@XN--BCHER-KVA.example", "a@bücher.example", None),
        ("a@BU\u0308CHER.example", "a@bücher.example", None),
        ("a@ｂüｃｈｅｒ．ｅｘａｍｐｌｅ", "a@bücher.example", None),
        ("a@bücher。example", "a@bücher.example", None),
        ("a@bücher.example.", "a@bücher.example", None),
        ("a＠bücher.example", "a@bücher.example", None),
        ("\u200b a@bücher.example\u00a0\ufeff", "a@bücher.example", None),
        ("<a@bücher.example>", "a@bücher.example", None),
        ("Jo\u0308rg@example.com", "jörg@example.com", "Jörg@example.com"),
        ("İ@example.com", "i\u0307@example.com", "İ@example.com"),
        ("straße@straße.example", "straße@straße.example", None),
        ("ΟΔΟΣ@example.com", "οδος@example.com", "ΟΔΟΣ@example.com"),
        ("a@Ꭰ.example", "a@xn--58d.example", None),  # lower case is another character of IDNA's
    ],
)
def test_a_spelling_has_this_normal_form(written: str, normal: str, as_typed: str | None) -> None:
    address = email_address(written)
    assert (str(address), address.as_typed) == (normal, as_typed or normal)
    assert normalised(written) == normal


@pytest.mark.parametrize(
    "written",
    [
        f"{31 * 'İ'}@{LONG}.com",  # lower case makes it longer
        f"{31 * 'İ'}@{LONG[:-20]}.com",
        "a@xn--zzzzzzzzzz99999.example",
        "a@b@example.com",
        "a b@example.com",
        "a\u200db@example.com",
        "a\x00@example.com",
        "a@exa mple.com",
        '"a"@example.com',
        "=?utf-8?q?a?=@example.com",
        "Robin <robin@example.com>",
        "<>",
        "@",
        "",
    ],
)
def test_what_cannot_be_mailed_to_is_refused_and_never_raises_in_a_look_up(written: str) -> None:
    with pytest.raises(ValueError, match="not an email address"):
        email_address(written)
    assert str(normalised(written)) == written.strip().lower()
    assert bare(bare(written)) == bare(written)


async def test_the_databases_find_no_capitals_in_a_normal_form(app: Quart) -> None:
    found = (normal_form(f"a{c}@example.com") for c in SOME)
    domains = (normal_form(f"a@x{c}y.example") for c in SOME)
    addresses = sorted({str(each) for each in (*found, *domains) if each})
    lowered = text("SELECT lower(:email)")
    async with db.connect() as connection:
        if connection.dialect.name == "postgresql":
            query = "SELECT collname FROM pg_collation WHERE collname IN ('und-x-icu', 'tr-x-icu')"
            icu = [row[0] for row in await connection.execute(text(query))]
            for collation in ("default", "C", *icu):
                statement = (
                    f"SELECT e FROM unnest(CAST(:emails AS text[])) e "
                    f'WHERE e <> lower(e COLLATE "{collation}")'
                )
                changed = await connection.execute(text(statement), {"emails": addresses})
                assert changed.scalars().all() == [], collation
            return
        for address in addresses:
            assert (await connection.execute(lowered, {"email": address})).scalar() == address


def frozen() -> ModuleType:
    return SourceFileLoader("migration", str(FREEZING)).load_module()


@pytest.mark.filterwarnings("ignore:.*load_module:DeprecationWarning")
def test_the_migration_makes_the_same_normal_form() -> None:
    migration = frozen()
    for character in SOME:
        for written in (f"aΣ{character}b@example.com", f"a@x{character}y.example"):
            # What an earlier release may have stored.
            if (address := normal_form(written)) and (old := normal_form(written.lower())):
                assert migration.normal_form(written) == str(address)
                assert migration.normal_form(str(old)) == str(old)
                assert not migration.PLAIN.fullmatch(str(address)) or str(address).isascii()
