"""Names of people, of many scripts, at every door and wherever they are shown."""
# ruff: noqa: RUF001  (letters of other scripts are what this is about)

import unicodedata
from email import policy
from email.message import EmailMessage
from html import unescape
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from quart.typing import TestClientProtocol as Browser

from app.accounts import registration
from app.accounts.names import MAX_LENGTH, clean_name
from app.accounts.schemas import FullName
from app.auth.models import User
from app.database import db
from tests.factories.people import NUMBERS, PASSWORD, log_in, make_person
from tests.mail import captured

STUMBLING = {
    "zero-width non-joiner": ("علی\u200cرضا", "علی\u200cرضا"),
    "zero-width joiner": ("ශ්\u200dරීමතී", "ශ්\u200dරීමතී"),
    "emoji of two parts": ("👩\u200d💻", "👩\u200d💻"),
    "the flag of England": (
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ),
    "ideographic blank": ("山田\u3000太郎", "山田 太郎"),
    "no-break space": ("Juan\u00a0Carlos", "Juan Carlos"),
    "decomposed": ("Zoe\u0308", "Zoë"),
}

# As they are typed, and stored exactly so.
REAL = """\
Robin|O'Brien|O’Brien|D’Angelo|Jean-Luc|J. R. R.|Ng|Y|-|.|X Æ A-12|José|François|Þórunn|
Žižek|Łukasz|Nguyễn Thị Hồng Ánh|Şükrü|İbrahim|Kealiʻi|Ó Súilleabháin|van der Berg|
de la Cruz y Ramírez|Müller-Lüdenscheidt|Mc Donald|Jr.|III|Αλέξανδρος|Юлия|Ђорђе|Ґалина|
Գևորգ|გიორგი|שרה|יוֹסֵף|محمد|عبد الله|گل\u200cآقا|مژده|अर्जुन|श्रीमती|ਸਿਮਰਨ|પ્રિયા|
ଜଗନ୍ନାଥ|தமிழ்ச்செல்வி|శ్రీనివాస్|ಕೃಷ್ಣ|രാജന്\u200d|മോഹൻ|ක්\u200dරිෂාන්|সৌরভ|ประยุทธ์|
ສົມສັກ|អ៊ុំ សុផល|မောင်မောင်|བསྟན་འཛིན|ᠲᠡᠮᠦᠵᠢᠨ|አበበ|ⵜⵉⵏⵀⵉⵏⴰⵏ|ᎠᏂ|ᐃᓄᒃ|ߊߡߊߘߎ|김민준|李小龍|𠮷田|
山田 太郎|サトウ|ｻﾄｳ|葛\U000e0100城|毛泽东|𞤀𞤣𞤢𞤥|𐐔𐐯𐑅𐐨𐑉𐐯𐐻|❤\ufe0f\u200d🔥|👨\u200d👩\u200d👧|
👍🏽|🇩🇪|😀|<b>O'Neil</b>|Robin "Rob" & Kim|名\U0003134b
""".replace("\n", "").split("|")

NORMALISED = {
    "  Robin  ": "Robin",
    "\tRobin\r\n": "Robin",
    "\ufeffRobin\u200b": "Robin",
    "\u3164Kim\u3164": "Kim",
    "\u200dKim\u200d": "Kim",
    "Ro\u00adbin": "Robin",
    "\u200eشرین\u200f": "شرین",
    "Juan \u00a0\u2003 Carlos": "Juan Carlos",
    "Kim\u2800Lee": "Kim Lee",
    "Kim\u200c\u200d\u200cLee": "Kim\u200cLee",
    "A\u030angstro\u0308m": "Ångström",
    "\u1100\u1161": "가",
}

INVISIBLE = [
    "\u3164",
    "\u200b",
    "\u2800",
    "\u200c",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u034f",
    "\u115f\u1160",
    "\uffa0",
    "\u200b \u200b",
    "\u3164\u3164",
    "\u0301",
    "\u0301\u0302\u20dd",
    "\ufe0f",
    "\U000e0100",
    "\u200e\u200f",
    "\u180e",
    "\u17b4",
    "\u200d\ufe0f",
    "\u0e34",
    "\u3164\u0301",
]

REFUSED = {
    "Ro\nbin": "a line break (U+000A)",
    "Ro\r\nBcc: x@example.com": "a line break (U+000D)",
    "Ro\u2028bin": "a line break (U+2028)",
    "Ro\u2029bin": "a line break (U+2029)",
    "Ro\u0085bin": "a line break (U+0085)",
    "Ro\tbin": "a control character (U+0009)",
    "Ro\x00bin": "a control character (U+0000)",
    "Ro\x7fbin": "a control character (U+007F)",
    "\x1b[31mRobin": "a control character (U+001B)",
    "\u202eniboR": "the invisible character RIGHT-TO-LEFT OVERRIDE (U+202E)",
    "Ro\u202abin": "the invisible character LEFT-TO-RIGHT EMBEDDING (U+202A)",
    "Ro\u2066bin\u2069": "the invisible character LEFT-TO-RIGHT ISOLATE (U+2066)",
    "Ro\ufffcbin": "a placeholder for something that was lost (U+FFFC)",
    "Ro\U000e0067bin": "the invisible character TAG LATIN SMALL LETTER G (U+E0067)",
    "Ro\ud800bin": "half a character (U+D800)",
    "Ro\ue000bin": "a character of private use (U+E000)",
    "Ro\U00100000bin": "a character of private use (U+100000)",
    "Ro\u0378bin": "a character that Unicode does not define (U+0378)",
    "Ro\uffffbin": "a character that Unicode does not define (U+FFFF)",
    "\U000e0041\U000e0042": "the invisible character TAG LATIN CAPITAL LETTER A (U+E0041)",
    "Robin\U000e0041": "the invisible character TAG LATIN CAPITAL LETTER A (U+E0041)",
    "Ro\ufff9bin": "the invisible character INTERLINEAR ANNOTATION ANCHOR (U+FFF9)",
    "https://evil.example": '"://"',
    "=?utf-8?q?x?=": '"=?"',
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_name_stays_as_it_is_typed(name: str) -> None:
    assert clean_name(name) == unicodedata.normalize("NFC", name)
    assert FullName(first_name=name, last_name=name).last_name == clean_name(name)


@pytest.mark.parametrize(("typed", "stored"), [*STUMBLING.values(), *NORMALISED.items()])
def test_a_name_is_stored_in_one_form(typed: str, stored: str) -> None:
    assert clean_name(typed) == stored


@pytest.mark.parametrize("name", INVISIBLE)
def test_a_name_that_shows_nothing_is_refused_in_words(name: str) -> None:
    with pytest.raises(ValidationError, match="This name shows nothing"):
        FullName(first_name=name, last_name="Example")


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_character(name: str) -> None:
    with pytest.raises(ValueError, match="A name cannot hold") as raised:
        clean_name(name)
    assert REFUSED[name] in str(raised.value)


def test_the_length_is_that_of_what_is_stored() -> None:
    assert FullName(first_name=" " * 500 + "x" * MAX_LENGTH, last_name="e\u0308" * MAX_LENGTH)
    for name in ("x" * (MAX_LENGTH + 1), "\u0958" * (MAX_LENGTH // 2 + 1), "\u0301\u0316" * 20_000):
        with pytest.raises(ValidationError, match="at most 64 characters"):
            FullName(first_name=name, last_name="Example")
    for name in ("", " ", "\u3000\u00a0"):
        with pytest.raises(ValidationError, match="at least 1 character"):
            FullName(first_name=name, last_name="Example")


@settings(deadline=None)  # machines may be busy
@given(
    st.text(st.characters(), max_size=2 * MAX_LENGTH)
    | st.text("a \u00a0\u0301\u0323\u200c\u200d\ufe0f\u0dca\u3164\u200b\u1100\u1161", max_size=12)
)
@example("a\u200d\u200d\u0301")
def test_whatever_is_accepted_can_be_seen_and_breaks_no_header(text: str) -> None:
    try:
        name = clean_name(text)
    except ValueError:
        return
    if not name:
        assert not text.strip()
        return
    assert clean_name(name) == name == unicodedata.normalize("NFC", name)
    assert any(unicodedata.category(each)[0] in "LNPS" or each >= "\U00020000" for each in name)
    assert len(name.splitlines()) == 1
    message = EmailMessage(policy=policy.SMTP)
    message["Subject"] = f"Hello {name}"
    assert b"\r\n\r\n" not in message.as_bytes().rstrip()
    assert message.keys() == ["Subject"]


async def stored(user_id: int) -> tuple[str, str]:
    """Return the names in the database, read anew."""
    async with db.session() as session:
        user = await session.get_one(User, user_id)
        return user.first_name, user.last_name


@pytest.mark.parametrize("kind", STUMBLING)
async def test_a_name_is_the_same_on_pages_in_the_api_in_mails_and_in_the_database(
    client: Browser, kind: str
) -> None:
    typed, expected = STUMBLING[kind]
    person: dict[str, Any] = {
        "first_name": typed,
        "last_name": typed,
        "email": f"name{next(NUMBERS)}@example.com",
        "password": PASSWORD,
    }
    response = await client.post("/account/register", form=person | {"password2": PASSWORD})
    assert response.status_code == 303
    # Nobody is greeted by name before they have proved that the mailbox is theirs.
    await client.post(await captured.link_to(client, "Confirm your account"))
    await client.post("/api/v1/account/password/reset/mail", json={"email": person["email"]})
    mail = await captured.newest(client, "Reset your password")
    assert f"Hello {expected}," in mail["text"]
    assert f"Hello {expected}," in unescape(mail["html"])
    account = await (await client.get("/api/v1/account")).get_json()
    assert (account["first_name"], account["last_name"]) == (expected, expected)
    page = unescape(await (await client.get("/account/manage")).get_data(as_text=True))
    assert f'value="{expected}"' in page
    assert f"{expected} {expected}" in page
    assert await stored(account["id"]) == (expected, expected)
    for rename in (
        client.patch("/api/v1/account", json={"first_name": typed + " 2", "last_name": "x"}),
        client.post("/account/manage", form={"first_name": typed + " 2", "last_name": "x"}),
    ):
        assert (await rename).status_code < 400
        assert await stored(account["id"]) == (expected + " 2", "x")


@pytest.mark.parametrize("name", ["\u3164", "Ro\u202ebin"])
async def test_a_bad_name_is_refused_at_every_door(client: Browser, name: str) -> None:
    person = {"first_name": name, "last_name": "x", "email": "x@example.com", "password": PASSWORD}
    assert (await client.post("/account/register", form=person)).status_code == 422
    assert (await client.post("/api/v1/account", json=person)).status_code == 422
    async with db.transaction() as session:
        with pytest.raises(ValueError, match="name"):
            await registration.invite_user(
                session, email="x@example.com", first_name=name, last_name="x"
            )
    robin = await make_person()
    await log_in(client, robin)
    answer = await client.patch("/api/v1/account", json={"first_name": name, "last_name": "x"})
    assert answer.status_code == 422
    response = await client.post("/account/manage", form={"first_name": name, "last_name": "x"})
    assert response.status_code == 422
    assert await stored(robin.id) == ("Robin", "Example")
