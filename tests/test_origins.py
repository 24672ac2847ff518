"""URLs of sites have one form, the one that browsers send; so do names of hosts and senders."""

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.config import Config
from app.validators.origins import base_url, host_name, origin, sent_origin
from app.validators.senders import mail_server, sender
from tests.factories.people import PASSWORD, make_person

FORMS = [
    ("https://App.Example.org", "https://app.example.org"),
    ("HTTPS://app.example.org", "https://app.example.org"),
    ("https://app.example.org:443", "https://app.example.org"),
    ("https://app.example.org:0443/", "https://app.example.org"),
    ("http://app.example.org:80", "http://app.example.org"),
    ("https://app.example.org:80", "https://app.example.org:80"),
    ("https://app.example.org:", "https://app.example.org"),
    ("https://app.example.org/", "https://app.example.org"),
    ("https://Bücher.example", "https://xn--bcher-kva.example"),
    ("https://xn--BCHER-kva.example", "https://xn--bcher-kva.example"),
    ("https://straße.example", "https://xn--strae-oqa.example"),
    ("https://bu\u0308cher.example", "https://xn--bcher-kva.example"),
    ("https://例え。テスト", "https://xn--r8jz45g.xn--zckzah"),
    ("http://my_app:8000", "http://my_app:8000"),
    ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ("http://[::1]:8000", "http://[::1]:8000"),
    ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
    ("http://[2001:DB8::1]:80", "http://[2001:db8::1]"),
]

WRONG = [
    ("app.example.org", "begins with https://"),
    ("ftp://app.example.org", "begins with https://"),
    ("null", "begins with https://"),
    ("https://", "host is missing"),
    ("https:///", "host is missing"),
    ("https://u:p@app.example.org", "names a user"),
    ("https://app.example.org?x=1", "nothing may follow"),
    ("https://app.example.org/?x=1", "nothing may follow"),
    ("https://app.example.org#top", "nothing may follow"),
    ("https://app.example.org//", "nothing may follow"),
    ("https://app.example.org\\x", "nothing may follow"),
    ("https://a.example https://b.example", "no spaces"),
    ("https://a.example;", "no spaces"),
    ("https://a.example:99999", "from 1 to 65535"),
    ("https://a.example:0", "from 1 to 65535"),
    ("https://a.example:x", "not a host"),
    ("https://a.example.", "dot at the end"),
    ("https://-a.example", "not the name"),
    ("https://a..example", "not the name"),
    ("https://☃.example", "not the name"),
    ("https://%61.example", "not the name"),
    ("http://127.1", "four numbers"),
    ("http://256.0.0.1", "four numbers"),
    ("http://0x7f.0.0.0x1", "four numbers"),
    ("http://::1", "not a host"),
    ("http://[::1%25eth0]", "zone|not the name"),
    ("http://[app]", "not the name"),
    (f"https://{'a' * 64}.example", "not the name"),
    (f"https://{'a.' * 130}example", "not the name"),
]


@pytest.mark.parametrize(("given", "form"), FORMS)
def test_a_url_is_brought_to_the_form_that_browsers_send(given: str, form: str) -> None:
    assert (base_url(given), origin(given), sent_origin(given)) == (form, form, form)
    assert base_url(form) == form


@pytest.mark.parametrize(("given", "words"), WRONG)
def test_what_would_never_match_is_refused_in_words(given: str, words: str) -> None:
    for judge in (base_url, origin):
        with pytest.raises(ValueError, match=words):
            judge(given)
    assert sent_origin(given) == given


def test_a_wildcard_and_a_path_are_refused_with_what_to_write() -> None:
    with pytest.raises(ValueError, match="wildcard matches nothing; list each"):
        origin("https://*.example.org")
    with pytest.raises(ValueError, match="wildcard"):
        origin("*")
    for path in ("/app", "/app/", "/app/?x=1"):
        with pytest.raises(ValueError, match="below a path; give it a host of its own"):
            base_url(f"https://example.org{path}")
    with pytest.raises(ValueError, match=r"write https://example\.org"):
        origin("https://EXAMPLE.org/app")


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ("SMTP.Example.org", "smtp.example.org"),
        ("smtp.example.org.", "smtp.example.org"),
        ("smtp.bücher.example", "smtp.xn--bcher-kva.example"),
        ("mail", "mail"),
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
    ],
)
def test_a_mail_server_is_a_host(given: str, form: str) -> None:
    assert mail_server(given) == form


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("smtp.example.org:587", "has a port; .* set MAIL_PORT"),
        ("[::1]:587", "has a port"),
        ("smtp://smtp.example.org", "is a URL"),
        ("smtps://us:p@smtp.example.org:465", "is a URL"),
        ("us@smtp.example.org", "MAIL_USERNAME"),
        ("smtp.example.org/x", "path"),
        ("smtp example", "no spaces"),
        ("a.example,b.example", "no spaces"),
        ("smtp..example.org", "not the name"),
    ],
)
def test_a_mail_server_that_is_more_than_a_host_is_refused_in_words(given: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mail_server(given)


@pytest.mark.parametrize(
    ("given", "name", "email", "header"),
    [
        ("post@example.org", "", "post@example.org", "post@example.org"),
        ("<post@example.org>", "", "post@example.org", "post@example.org"),
        ("Acme <post@example.org>", "Acme", "post@example.org", "Acme <post@example.org>"),
        ("Acme<post@example.org>", "Acme", "post@example.org", "Acme <post@example.org>"),
        (
            "Acme, Inc. <post@example.org>",
            "Acme, Inc.",
            "post@example.org",
            '"Acme, Inc." <post@example.org>',
        ),
        (
            '"Acme, Inc." <post@example.org>',
            "Acme, Inc.",
            "post@example.org",
            '"Acme, Inc." <post@example.org>',
        ),
        (
            r'"The \"Acme\"" <post@example.org>',
            'The "Acme"',
            "post@example.org",
            r'"The \"Acme\"" <post@example.org>',
        ),
        (
            "Bücher <post@bücher.example>",
            "Bücher",
            "post@xn--bcher-kva.example",
            "Bücher <post@xn--bcher-kva.example>",
        ),
        (
            "post@acme.example <post@example.org>",
            "post@acme.example",
            "post@example.org",
            '"post@acme.example" <post@example.org>',
        ),
        ("Post.x+y@Example.ORG", "", "Post.x+y@example.org", "Post.x+y@example.org"),
        ("root@localhost", "", "root@localhost", "root@localhost"),
    ],
)
def test_a_sender_is_a_name_and_an_address(given: str, name: str, email: str, header: str) -> None:
    found = sender(given)
    assert (found.name, found.email, str(found)) == (name, email, header)
    assert sender(header) == found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("Acme", "has no address; write Name <post@example.org>"),
        ("Acme <>", "no part of an address"),
        ("Acme <post>", "no part of an address"),
        ("a@x.example, b@x.example", "more than one"),
        ("a@x.example; b@x.example", "more than one"),
        ("A <a@x.example>, B <b@x.example>", "more than one"),
        ("a@x.example, B <b@x.example>", "more than one"),
        ('"Acme <post@example.org>', "quote that nothing closes"),
        ("Acme\r\nBcc: all@example.org <post@example.org>", "control character"),
        ("=?utf-8?q?x?= <post@example.org>", "control character"),
        ("jörg@example.org", "SMTPUTF8"),
        ("post@example.org (Acme)", "what follows the @"),
        ("post @example.org", "no part of an address"),
        ("post..x@example.org", "no part of an address"),
        (f"{'x' * 65}@example.org", "no part of an address"),
        ("post@", "host is missing"),
        ("post@-x", "what follows the @"),
        ("post@192.0.2.1", "is an IP"),
        ("post@[::1]", "is an IP"),
    ],
)
def test_a_sender_that_servers_would_refuse_is_refused_in_words(given: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sender(given)


def test_a_host_of_an_ip_is_written_the_shortest_way() -> None:
    assert host_name("2001:DB8:0:0::1") == "2001:db8::1"


@pytest.mark.parametrize(
    "configured",
    ["https://Shop.Example", "https://shop.example:443", "https://shop.example/"],
)
@pytest.mark.parametrize("sent", ["https://shop.example", "https://SHOP.example:443"])
async def test_a_listed_origin_matches_in_every_form(
    app: Quart, settings: Config, configured: str, sent: str
) -> None:
    settings.CORS_ORIGINS = [origin(configured)]
    person = await make_person()
    headers = {"Origin": sent, "Sec-Fetch-Site": "cross-site"}
    body = {"email": person.email, "password": PASSWORD}
    response = await app.test_client().post("/api/v1/session", json=body, headers=headers)
    assert response.status_code == 201
    assert response.headers["Access-Control-Allow-Origin"] == sent


async def test_in_development_a_default_port_in_host_or_origin_changes_nothing(
    client: Browser,
) -> None:
    person = await make_person()
    form = {"email": person.email, "password": PASSWORD}
    for host, sent in (("localhost:80", "http://localhost"), ("LocalHost", "http://localhost:80")):
        headers = {"Host": host, "Origin": sent}
        response = await client.post("/account/login", form=form, headers=headers)
        assert response.status_code == 303
        headers["Origin"] = f"{sent}8"
        response = await client.post("/account/login", form=form, headers=headers)
        assert response.status_code == 403
