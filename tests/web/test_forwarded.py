"""The forms in which proxies send an ip and a scheme."""

import time

import pytest

from app.web.middleware.forwarded import (
    entry,
    forwarded,
    parse_ip,
    parse_scheme,
    proxy_headers,
    values,
)


def headers(name: str, *lines: str) -> dict[str, str]:
    scope = {"headers": [(name.encode(), line.encode("latin1")) for line in lines]}
    return proxy_headers(scope)


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ('"192.0.2.1:4711"', "192.0.2.1"),
        ('"192.0.2.1"', "192.0.2.1"),
        ("192.0.2.1:_gate", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ('"[2001:db8::1]:4711"', "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:c000:201]:80", "192.0.2.1"),
        ("unknown", None),
        ("_hidden", None),
        ("unix:", None),
        ("unix:/run/socket", None),
        ("localhost", None),
        ("", None),
        ('"', None),
        ("192.0.2.1:port", None),
        ("192.0.2.1:123456", None),
        ("192.0.2.001", None),
        ("192.0.2", None),
        ("[192.0.2.1", None),
        ("[]", None),
        ("192.0.2.1 192.0.2.2", None),
        ("192.0.2.1\xa0x", None),
    ],
)
def test_an_ip_is_read_in_every_form_or_not_at_all(text: str, ip: str | None) -> None:
    assert parse_ip(text) == ip


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ('"Https"', "https"),
        ("http", "http"),
        ("wss", "https"),
        ("ws", "http"),
        ("on", None),
        ("https:", None),
        ("", None),
    ],
)
def test_a_scheme_is_read_in_every_form_or_not_at_all(text: str, scheme: str | None) -> None:
    assert parse_scheme(text) == scheme


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a, b"], ["a", "b"]),
        (["a", "b, c"], ["a", "b", "c"]),
        (["a,,b"], ["a", "", "b"]),
        (["a", ""], ["a", ""]),
        (["", " , "], []),
        ([], []),
    ],
)
def test_blank_entries_keep_their_places(lines: list[str], expected: list[str]) -> None:
    assert values(headers("x-forwarded-for", *lines), "x-forwarded-for") == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["for=192.0.2.1;proto=https"], ["192.0.2.1"]),
        (["For=192.0.2.1 , for = 192.0.2.2"], ["192.0.2.1", "192.0.2.2"]),
        (["for=192.0.2.1", 'for="[2001:db8::1]:80"'], ["192.0.2.1", "[2001:db8::1]:80"]),
        (["for=unknown, proto=https"], ["unknown", ""]),
        (['by="a,b";for=192.0.2.1'], ["192.0.2.1"]),
        (["proto=https"], []),
        (["garbage"], []),
    ],
)
def test_elements_of_forwarded_are_read(lines: list[str], expected: list[str]) -> None:
    assert forwarded(headers("forwarded", *lines), "for") == expected


@pytest.mark.parametrize(
    "forged", ['for="', 'for=6.6.6.6;x="', '"', 'x="a,b', "for=6.6.6.6,,,,", '\\"']
)
@pytest.mark.parametrize("written", ["for=192.0.2.1", 'for="192.0.2.1:80";proto="https"'])
def test_what_a_client_writes_to_the_left_hides_nothing(forged: str, written: str) -> None:
    for lines in ([f"{forged}, {written}"], [forged, written]):
        found = entry(forwarded(headers("forwarded", *lines), "for"), 1)
        assert parse_ip(found or "") == "192.0.2.1"


def test_of_fewer_entries_than_proxies_the_first_counts() -> None:
    assert [entry(["a", "b", "c"], proxies) for proxies in (1, 2, 3, 4)] == ["c", "b", "a", "a"]
    assert entry([], 1) is None


def test_long_headers_cost_little() -> None:
    started = time.perf_counter()
    for text in (
        '"' + "," * 200_000 + '"',
        ',"' * 100_000,
        "," * 200_000,
        "a" * 200_000,
        "[" * 200_000,
        "1" * 200_000,
    ):
        long = headers("forwarded", text)
        forwarded(long, "for")
        parse_ip(text)
    assert time.perf_counter() - started < 2
