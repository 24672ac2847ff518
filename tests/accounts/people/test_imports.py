"""Several people are invited at once: all of them, or nobody."""

from dataclasses import astuple
from io import BytesIO
from typing import Any

import pytest
from quart import Quart
from quart.datastructures import FileStorage
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import func, select

from app.accounts import imports, service
from app.auth.identity import Client
from app.auth.models import User
from app.database import db
from tests.accounts.people.administering import actor, administrator, there, told
from tests.accounts.people.test_one_person import id_of
from tests.factories.people import make_person

Line = tuple[int, str, str, str]

ROBIN = ("Robin", "Example", "robin@example.com")
KIM = ("Kim", "Guest", "kim@example.com")
NEVER = Client("127.0.0.1", "", local=True)

READ: dict[str, tuple[str, list[Line]]] = {
    "lines": (
        "Robin Example <robin@example.com>\nKim Guest <kim@example.com>",
        [(1, *ROBIN), (2, *KIM)],
    ),
    "lines with last names first, quotation marks and separators": (
        'Example, Robin <robin@example.com>,\r\n"Guest, Kim" <kim@example.com>;\r\n',
        [(1, *ROBIN), (2, *KIM)],
    ),
    "lines among empty ones": (
        "\n\n  Robin Example <robin@example.com>  \n \n\nKim Guest <kim@example.com>\n\n",
        [(3, *ROBIN), (6, *KIM)],
    ),
    "lines with names of several words": (
        "Ana María de la Cruz <ana@example.com>\nPrince <prince@example.com>",
        [
            (1, "Ana María de la", "Cruz", "ana@example.com"),
            (2, "", "Prince", "prince@example.com"),
        ],
    ),
    "a line that is no such line": (
        "Robin Example <robin@example.com>\nkim@example.com",
        [(1, *ROBIN), (2, "", "", "kim@example.com")],
    ),
    "commas": (
        "Robin,Example,robin@example.com\nKim,Guest,kim@example.com",
        [(1, *ROBIN), (2, *KIM)],
    ),
    "semicolons, a mark and a header": (
        "\ufeffFirst name;Last name;E-mail\r\nRobin;Example;robin@example.com\r\n",
        [(2, *ROBIN)],
    ),
    "tabs and a header in another order": (
        "Email address\tSurname\tShoe size\tGiven name\nrobin@example.com\tExample\t43\tRobin",
        [(2, *ROBIN)],
    ),
    "an address first": ("robin@example.com,Robin,Example", [(1, *ROBIN)]),
    "whole names": (
        "Robin Example;robin@example.com\nGuest, Kim;kim@example.com",
        [(1, *ROBIN), (2, *KIM)],
    ),
    "whole names, quoted": ('"Example, Robin",robin@example.com', [(1, *ROBIN)]),
    "a separator within quotation marks": (
        'name;email\n"Example, Robin, PhD";robin@example.com',
        [(2, "Robin, PhD", "Example", "robin@example.com")],
    ),
    "a doubled quotation mark": (
        '"Robin ""Rob""",Example,robin@example.com',
        [(1, 'Robin "Rob"', "Example", "robin@example.com")],
    ),
    "a line break within quotation marks": (
        'email,first name,last name\nrobin@example.com,"Ro\nbin",Example\n'
        "kim@example.com,Kim,Guest",
        [(2, "Ro\nbin", "Example", "robin@example.com"), (4, *KIM)],
    ),
    "rows that are empty or too short": (
        "first name,last name,email\n,,\n\nRobin,Example,robin@example.com\nKim",
        [(4, *ROBIN), (5, "Kim", "", "")],
    ),
    "addresses alone": ("robin@example.com\n", [(1, "", "", "robin@example.com")]),
    "classic ends of lines": (
        "Robin,Example,robin@example.com\rKim,Guest,kim@example.com",
        [(1, *ROBIN), (2, *KIM)],
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_people_paste_or_upload_is_read(name: str) -> None:
    text, expected = READ[name]
    assert [astuple(line) for line in imports.parse(text)] == expected


@pytest.mark.parametrize(
    "text", ["", "   ", "\n\n", "\ufeff", ",,,\n;;", "first name,last name,email\n"]
)
def test_a_text_without_people_is_refused_in_words(text: str) -> None:
    with pytest.raises(imports.NothingToImport, match="a line for each person"):
        imports.parse(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('Robin,Example,robin@example.com\n"Kim,Guest,kim@example.com\n', 2),
        ('Robin,"Exam"ple,robin@example.com', 1),
    ],
)
def test_a_quotation_mark_too_many_is_named_with_its_line(text: str, line: int) -> None:
    with pytest.raises(imports.NoTable, match=f"Line {line} cannot be read"):
        imports.parse(text)


def rows(number: int) -> str:
    return "\n".join(f"Robin,Example {n},new{n}@example.com" for n in range(number))


def test_a_thousand_lines_are_read_and_not_one_more() -> None:
    assert len(imports.parse(rows(imports.MOST_LINES))) == imports.MOST_LINES
    assert (
        len(imports.parse("first name,last name,email\n" + rows(imports.MOST_LINES)))
        == imports.MOST_LINES
    )
    with pytest.raises(imports.TooManyLines, match="at most 250"):
        imports.parse(rows(imports.MOST_LINES + 1))


def test_a_line_of_many_blanks_takes_no_time_to_speak_of() -> None:
    text = "Robin" + " " * 100_000 + "x"
    assert len(imports.parse(text)) == 1  # it ends at all: with backtracking it would take hours
    with pytest.raises(imports.NoTable, match="Line 1 cannot be read"):
        imports.parse(text + "x" * 90_000)


async def checked(browser: Browser, text: str) -> dict[int, str | None]:
    """Return what the API finds wrong with each line, which the page says as well."""
    body = {"people": text, "dry_run": True}
    answer = await browser.post("/api/v1/users/import", json=body)
    report = await answer.get_json()
    assert (answer.status_code, report["invited"]) == (200, False), report
    page = await browser.post("/admin/invite-people", form={"people": text})
    shown = await page.get_data(as_text=True)
    wrong = [line for line in report["lines"] if line["reason"]]
    for line in wrong or report["lines"]:
        assert f">{line['number']}</td>" in shown
    for line in wrong:
        assert line["reason"].replace('"', "&#34;").replace("'", "&#39;") in shown
    if wrong:
        assert f"{len(wrong)} of {len(report['lines'])} lines cannot be used" in shown
    return {line["number"]: line["reason"] for line in report["lines"]}


async def test_each_mistake_is_named_with_its_line(app: Quart) -> None:
    browser, _ = await administrator(app)
    await make_person(email="taken@example.com")
    await make_person(email="unproven@example.com", confirmed=False)
    text = "\n".join(
        [
            "first name,last name,email",
            "Robin,Example,robin@example.com",
            "Kim,Guest,Robin@EXAMPLE.com",
            "Kim,Guest,TAKEN@example.com",
            "Kim,Guest,unproven@example.com",
            "Kim,Guest,not an address",
            "Kim,Guest,",
            ",Guest,nobody@example.com",
            f"{'x' * 65},Guest,long@example.com",
            "https://evil.example,Guest,link@example.com",
            "K\x07im,Guest,bell@example.com",
            "Kim,<script>alert(1)</script>,script@example.com",
        ]
    )
    found = await checked(browser, text)
    assert {number for number, reason in found.items() if reason is None} == {2, 5, 12}
    words = {
        3: "in the text twice",
        4: "has an account already",
        6: "There is no email address in this line.",
        7: "There is no email address in this line.",
        8: "Write a first and a last name.",
        9: "First name: Use at most 64 characters.",
        10: "First name: A name cannot hold",
        11: "control character",
    }
    for number, expected in words.items():
        assert expected in str(found[number])
    answer = await browser.post("/api/v1/users/import", json={"people": text})
    problem = await answer.get_json()
    assert (answer.status_code, problem["code"]) == (422, "not-imported")
    assert "Line 3: This address is in the text twice." in problem["detail"]
    assert "And 5 more." in problem["detail"]
    posted = await browser.post("/admin/invite-people", form={"people": text, "confirmed": "on"})
    assert posted.status_code == 422
    assert "Line 3: This address" in await posted.get_data(as_text=True)
    assert await told(browser) == []
    assert await emails_like("robin@") == []


async def emails_like(prefix: str) -> list[str]:
    async with db.session() as session:
        query = select(User.email).where(User.email.startswith(prefix)).order_by(User.email)
        return list((await session.execute(query)).scalars())


async def test_everybody_is_invited_once_by_page_or_by_api(app: Quart) -> None:
    browser, _ = await administrator(app)
    text = "Robin Example <Robin@example.com>\nKim Guest <kim@example.com>"
    form = {"people": text, "role": "Administrator"}
    page = await browser.post("/admin/invite-people", form=form)
    assert "Invite 2 people?" in await page.get_data(as_text=True)
    assert await told(browser) == []
    done = await browser.post("/admin/invite-people", form=form | {"confirmed": "on"})
    assert (done.status_code, done.headers["Location"]) == (303, "/admin/users")
    subject = "You are invited to join"
    assert [each for each in await told(browser) if subject in each[1]] == [
        ("Robin@example.com", subject),
        ("kim@example.com", subject),
    ]
    user = await there(await id_of("robin@example.com"))
    assert (user.full_name, user.role.name, user.state) == (
        "Robin Example",
        "Administrator",
        "invited",
    )
    answer = await browser.post("/api/v1/users/import", json={"people": "A,B,a@example.com"})
    report = await answer.get_json()
    assert (answer.status_code, report["invited"], len(report["lines"])) == (200, True, 1)
    assert (await there(await id_of("a@example.com"))).role.name == "User"
    again = await browser.post("/api/v1/users/import", json={"people": "A,B,a@example.com"})
    assert again.status_code == 422


async def test_who_was_registered_by_anybody_gives_way(app: Quart) -> None:
    browser, _ = await administrator(app)
    stranger = await make_person(email="kim@example.com", confirmed=False, first_name="Mallory")
    await browser.post("/api/v1/users/import", json={"people": "Kim,Guest,kim@example.com"})
    user = await there(await id_of("kim@example.com"))
    assert (user.id == stranger.id, user.first_name, user.state) == (False, "Kim", "invited")


async def upload(browser: Browser, content: bytes) -> Any:
    files = {"file": FileStorage(BytesIO(content), filename="people.csv")}
    return await browser.post("/admin/invite-people", form={"people": ""}, files=files)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
async def test_a_file_is_read_with_or_without_a_mark(app: Quart, mark: bytes) -> None:
    browser, _ = await administrator(app)
    page = await upload(
        browser, mark + "Vorname;Nachname;E-Mail\r\nÅsa;Østby;asa@example.com".encode()
    )
    text = await page.get_data(as_text=True)
    assert "Invite 1 person?" in text
    assert "Østby" in text


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        ("Åsa;Østby;asa@example.com".encode("latin-1"), 400, "UTF-8"),
        ("Åsa;Østby;asa@example.com".encode("utf-16"), 400, "UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", 400, "UTF-8"),
        (b"a;b;c\x00", 400, "cannot be stored"),
        (b"", 422, "Write a line for each person"),
        (rows(imports.MOST_LINES + 1).encode(), 422, "at most 250 people"),
        (b"x" * 300_000, 422, "at most 200000 characters"),
        (b"x" * 5_000_000, 413, "too large"),
    ],
    ids=["Latin-1", "UTF-16", "image", "NUL", "empty", "1,001 lines", "long", "5 MB"],
)
async def test_a_file_that_is_no_list_of_people_is_refused_in_words(
    app: Quart, content: bytes, status: int, words: str
) -> None:
    browser, _ = await administrator(app)
    page = await upload(browser, content)
    assert page.status_code == status
    assert words in await page.get_data(as_text=True)
    assert await told(browser) == []


async def test_an_unknown_role_is_refused_before_anything_else(app: Quart) -> None:
    browser, _ = await administrator(app)
    body = {"people": "A,B,a@example.com", "role": "No such role"}
    for dry_run in (True, False):
        answer = await browser.post("/api/v1/users/import", json=body | {"dry_run": dry_run})
        assert (answer.status_code, (await answer.get_json())["code"]) == (422, "unknown-role")


async def test_a_thousand_are_invited_in_one_request(app: Quart) -> None:
    text = rows(imports.MOST_LINES)
    async with db.transaction() as session:
        report = await imports.check(session, text, None)
    assert [line.reason for line in report.lines] == [None] * imports.MOST_LINES


async def test_an_address_that_is_taken_between_check_and_import_is_named_and_nobody_invited(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await actor()
    text = "Robin,Example,robin@example.com\nKim,Guest,kim@example.com"
    create = service.create_user

    async def taken(session: Any, **values: Any) -> User:
        if values["email"] == "kim@example.com":
            raise service.EmailTaken
        return await create(session, **values)

    monkeypatch.setattr(service, "create_user", taken)
    with pytest.raises(imports.NotImported, match="Line 2: This address has an account already"):
        async with db.transaction() as session:
            await imports.invite_all(session, who, text, None)
    assert await emails_like("robin@") == []
    assert await told(app.test_client()) == []
    async with db.session() as session:
        assert (await session.execute(select(func.count(User.id)))).scalar_one() == 1
