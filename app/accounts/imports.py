"""Inviting several people at once: from pasted lines or a CSV file, all of them or nobody."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import registration, roles
from app.accounts.people_schemas import ImportedLine, ImportReport, Invitee
from app.accounts.service import EmailTaken
from app.auth.identity import Identity
from app.auth.models import User
from app.errors import DomainError
from app.validators.email_address import normalised
from app.validators.mistakes import messages

MOST_LINES = 250  # while these are invited, all others who administer wait
HEADERS = {
    "email": {"email", "e-mail", "mail", "address", "email address", "e-mail address"},
    "first_name": {"first name", "first_name", "firstname", "given name", "vorname", "prénom"},
    "last_name": {
        "last name",
        "last_name",
        "lastname",
        "surname",
        "family name",
        "nachname",
        "nom",
    },
    "name": {"name", "full name"},
}
LINE_END = re.compile(r"\r\n|\r|\n")
PASTED = re.compile(r"(?P<name>[^<>]*)<(?P<email>[^<>]+)>\s*[,;]?")
TAKEN = "This address has an account already."
LONGEST = 10_000  # characters of a line that are looked at to find its delimiter
NAMED = 3  # mistakes that the message of an error spells out


class NothingToImport(DomainError):
    """The text has no line with a person."""

    code = "nothing-to-import"
    status = 422
    field = "people"
    message = "Write a line for each person: Name <address>, or a table with names and addresses."


class TooManyLines(DomainError):
    """The text is longer than one import may be."""

    code = "too-many-lines"
    status = 422
    field = "people"
    message = f"Invite at most {MOST_LINES:,} people at once."


class NoTable(DomainError):
    """A quotation mark is missing, so the text is no CSV."""

    code = "no-table"
    status = 422
    field = "people"


class NotImported(DomainError):
    """Some lines have mistakes, so nobody was invited."""

    code = "not-imported"
    status = 422
    field = "people"


@dataclass(frozen=True)
class Parsed:
    """A line of the text: its number, from 1, and what it says."""

    number: int
    first_name: str
    last_name: str
    email: str


def parse(text: str) -> list[Parsed]:
    """Return the people in a text: lines like `Name <address>`, or a table as CSV.

    A table has commas, semicolons or tabs between its columns, and may have a header. Without one
    the columns are first name, last name and address, or name and address. Raises
    `NothingToImport`, `TooManyLines` or `NoTable`.
    """
    lines = LINE_END.split(text.lstrip("\ufeff"))
    first = next((line for line in lines if _is_filled(line)), "")
    rows = _pasted(lines) if PASTED.fullmatch(first.strip()) else _rows(lines, first)
    found = list(islice(rows, MOST_LINES + 1))
    if not found:
        raise NothingToImport
    if len(found) > MOST_LINES:
        raise TooManyLines
    return found


def _is_filled(line: str) -> bool:
    return bool(line.strip(" \t,;"))


def _pasted(lines: list[str]) -> Iterator[Parsed]:
    for number, line in enumerate(lines, 1):
        if match := PASTED.fullmatch(line.strip()):
            yield _split(number, match["name"], match["email"])
        elif _is_filled(line):
            yield Parsed(number, "", "", line.strip())


def _rows(lines: list[str], first: str) -> Iterator[Parsed]:
    delimiter = max(
        ";\t,", key=lambda sign: len(next(csv.reader([first[:LONGEST]], delimiter=sign)))
    )
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=True)
    columns: list[str] = []
    number = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            # A quoted cell may hold line breaks; people look for the line on which its row begins.
            begins, number = number, reader.line_num + 1
            if not any(_is_filled(cell) for cell in cells):
                continue
            if not columns:
                columns = _header(cells)
                if columns:
                    continue
                columns = _guess(cells)
            yield _row(begins, dict(zip(columns, cells, strict=False)))
    except csv.Error:
        words = f"Line {number} cannot be read: a quotation mark is missing or one too many."
        raise NoTable(words) from None


def _row(number: int, values: dict[str, str]) -> Parsed:
    if "name" in values:
        return _split(number, values["name"], values.get("email", ""))
    first, last = values.get("first_name", ""), values.get("last_name", "")
    return Parsed(number, first, last, values.get("email", ""))


def _header(cells: list[str]) -> list[str]:
    known = {word: column for column, words in HEADERS.items() for word in words}
    columns = [known.get(cell.lower().replace("_", " "), "") for cell in cells]
    return columns if "email" in columns else []


def _guess(cells: list[str]) -> list[str]:
    if len(cells) == 1:
        return ["email"]
    names = ["name"] if len(cells) == 2 else ["first_name", "last_name"]
    return ["email", *names] if "@" in cells[0] else [*names, "email"]


def _split(number: int, name: str, email: str) -> Parsed:
    """Split a name at its comma or its last blank."""
    name = name.strip().strip('"')
    if "," in name:
        last, _, first = name.partition(",")
    else:
        first, _, last = name.rpartition(" ")
    return Parsed(number, first.strip(), last.strip(), email.strip())


async def check(session: AsyncSession, text: str, role: str | None) -> ImportReport:
    """Return what is wrong with each line, without inviting anybody.

    Raises `UnknownRole`, `NothingToImport` or `TooManyLines`.
    """
    if role:
        await roles.role_named(session, role)
    lines = parse(text)
    taken = await _taken(session, [line.email for line in lines])
    seen: set[str] = set()
    report = []
    for line in lines:
        reason = _mistake(line) or _clash(line, seen, taken)
        seen.add(str(normalised(line.email)))
        report.append(
            ImportedLine(
                number=line.number,
                first_name=line.first_name,
                last_name=line.last_name,
                email=line.email,
                reason=reason,
            )
        )
    return ImportReport(lines=report, invited=False)


def _mistake(line: Parsed) -> str | None:
    if "@" not in line.email:
        return "There is no email address in this line."
    if not (line.first_name and line.last_name):
        return "Write a first and a last name."
    try:
        Invitee(first_name=line.first_name, last_name=line.last_name, email=line.email)
    except ValidationError as error:
        first = messages(error)[0]
        return f"{first['field'].replace('_', ' ').capitalize()}: {first['message']}"
    return None


def _clash(line: Parsed, seen: set[str], taken: set[str]) -> str | None:
    normal = str(normalised(line.email))
    if normal in seen:
        return "This address is in the text twice."
    return TAKEN if normal in taken else None


async def _taken(session: AsyncSession, emails: list[str]) -> set[str]:
    normal = {str(normalised(email)) for email in emails}
    # Accounts that nobody has proved to be theirs give way to an invitation.
    query = select(User).where(User.email.in_(normal))
    return {user.email for user in (await session.execute(query)).scalars() if not user.is_unproven}


async def invite_all(
    session: AsyncSession, actor: Identity, text: str, role: str | None
) -> ImportReport:
    """Invite everybody in a text, or nobody if a line has a mistake.

    Raises `NotImported`, whose message names lines, and what `check` raises.
    """
    await roles.take_turn(session, actor)
    report = await check(session, text, role)
    if wrong := [(line.number, line.reason) for line in report.lines if line.reason]:
        raise _not_imported(wrong)
    given = await roles.role_named(session, role) if role else None
    for line in report.lines:
        try:
            await registration.invite_user(
                session,
                email=line.email,
                first_name=line.first_name,
                last_name=line.last_name,
                role=given,
            )
        except EmailTaken:  # somebody registered it after the check
            raise _not_imported([(line.number, TAKEN)]) from None
    return ImportReport(lines=report.lines, invited=True)


def _not_imported(wrong: list[tuple[int, str]]) -> NotImported:
    named = " ".join(f"Line {number}: {reason}" for number, reason in wrong[:NAMED])
    more = f" And {len(wrong) - NAMED} more." if len(wrong) > NAMED else ""
    return NotImported(f"Nobody was invited, since some lines have mistakes. {named}{more}")
