"""The form of API tokens: random, told from everything else, and mistyped ones are noticed."""

import re
import zlib

import pytest

from app.auth.models import Permission, Purpose
from app.auth.scopes import Scope, within
from app.auth.tokens import BASE62, is_api_token, new_api_token, new_secret, purpose_of


def test_a_token_is_found_by_its_form() -> None:
    tokens = {new_api_token() for _ in range(200)}
    assert len(tokens) == 200
    assert all(re.fullmatch("qb_[0-9A-Za-z]{49}", token) for token in tokens)
    # Each of the random characters varies: 43 of base62 are more than 256 bits.
    assert all(len({token[place] for token in tokens}) > 30 for place in range(3, 46))


def test_the_checksum_is_the_crc_32_of_what_stands_before() -> None:
    for token in (new_api_token() for _ in range(50)):
        number = 0
        for character in token[46:]:
            number = number * 62 + BASE62.index(character)
        assert number == zlib.crc32(token[:46].encode())
    small = "qb_" + "0" * 43  # leading zeros of the checksum are kept
    assert sum(is_api_token(small + suffix) for suffix in ("000000", "0", "")) == 0


def test_no_token_with_one_mistake_is_a_token() -> None:
    token = new_api_token()
    assert is_api_token(token)
    for place in range(len(token)):
        for character in f"{BASE62}_-":
            if character != token[place]:
                assert not is_api_token(token[:place] + character + token[place + 1 :])
        assert not is_api_token(token[:place] + token[place + 1 :])
        assert not is_api_token(token[:place])
        assert not is_api_token(token[:place] + token[place] + token[place:])
        if place and token[place] != token[place - 1]:
            swapped = token[: place - 1] + token[place] + token[place - 1] + token[place + 1 :]
            assert not is_api_token(swapped)


@pytest.mark.parametrize("extra", ["\n", " ", ".", "é"])
def test_nothing_may_stand_around_it(extra: str) -> None:
    token = new_api_token()
    assert not is_api_token(token + extra)
    assert not is_api_token(extra + token)


def test_what_a_bearer_can_be_is_told_by_its_form() -> None:
    token, secret = new_api_token(), new_secret()
    assert purpose_of(token) is Purpose.TOKEN
    assert purpose_of(secret) is Purpose.SESSION
    # As long as a session's secret, but the beginning of a token.
    assert len(token[:43]) == len(secret)
    assert purpose_of(token[:43]) is None
    assert [purpose_of(text) for text in ("", "x", secret[:-1], f"{secret}x", "é" * 43)] == [
        None
    ] * 5


def test_no_other_secret_begins_as_a_token_does(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["qb_" + "x" * 40, "x" * 43])
    monkeypatch.setattr("app.auth.tokens.secrets.token_urlsafe", lambda _: next(drawn))
    assert new_secret() == "x" * 43


def test_only_a_role_that_administers_is_cut_down() -> None:
    everything = frozenset(Scope)
    for permissions in (Permission(0), Permission.GENERAL, Permission(0x7F)):
        assert within(frozenset(), permissions) == permissions
        assert within(everything, permissions) == permissions
    assert within(everything, Permission.ADMINISTER) == Permission.ADMINISTER
    assert within(frozenset({"read", "write"}), Permission.ADMINISTER) == Permission.GENERAL
