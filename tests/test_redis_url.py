"""REDIS_URL, which web servers, workers and `arq --check` read alike."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import pytest
from redis.asyncio.connection import SSLConnection

from app.config import Config
from app.validators import redis_url
from app.worker import redis_settings

# Every character that means something in a URL, a blank, and one beyond ASCII.
PASSWORD = "p#x@y/z:%?&= ü%41+"
ENCODED = quote(PASSWORD, safe="")


def seen(url: str) -> dict[str, Any]:
    """Return what redis-py is given for a URL, after checking that arq is given the same."""
    found = redis_url.options(redis_url.validate(url))
    for_arq = redis_settings(cast(Config, SimpleNamespace(REDIS_URL=url)))
    secure = found.pop("connection_class", None) is SSLConnection
    assert for_arq.ssl == secure
    names = {"database": "db", "unix_socket_path": "path"}
    tls = [name for name in vars(for_arq) if name.startswith("ssl_") and name in found]
    for name in ("host", "port", "database", "unix_socket_path", "username", "password", *tls):
        default = {"host": "localhost", "port": 6379, "database": 0}.get(name)
        assert getattr(for_arq, name) == found.get(names.get(name, name), default), name
    return found | ({"tls": True} if secure else {})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("redis://h", {"host": "h"}),
        ("redis://127.0.0.1:6379/", {"host": "127.0.0.1", "port": 6379}),
        (" redis://h/2\n", {"host": "h", "db": 2}),
        ("redis://h?db=2", {"host": "h", "db": 2}),
        ("redis://h/?db=2", {"host": "h", "db": 2}),
        ("redis://[::1]:7/0", {"host": "::1", "port": 7, "db": 0}),
        ("redis://:7", {"port": 7}),
        (f"redis://:{ENCODED}@h/0", {"host": "h", "password": PASSWORD, "db": 0}),
        (f"redis://me:{ENCODED}@h", {"host": "h", "username": "me", "password": PASSWORD}),
        (f"redis://h?password={ENCODED}", {"host": "h", "password": PASSWORD}),
        ("redis://h?health_check_interval=30", {"host": "h", "health_check_interval": 30}),
        ("rediss://h:1", {"host": "h", "port": 1, "tls": True}),
        (
            "rediss://h?ssl_cert_reqs=none",
            {"host": "h", "ssl_cert_reqs": "none", "tls": True},
        ),
        (
            "rediss://h?ssl_check_hostname=true",
            {"host": "h", "ssl_check_hostname": True, "tls": True},
        ),
        ("unix:///a%20b/50%25/s", {"path": "/a b/50%/s"}),
        (
            f"unix:///s?db=2&password={ENCODED}",
            {"path": "/s", "db": 2, "password": PASSWORD},
        ),
        (f"unix://me:{ENCODED}@/s", {"path": "/s", "username": "me", "password": PASSWORD}),
    ],
)
def test_both_readers_see_the_same(given: str, expected: dict[str, Any]) -> None:
    assert seen(given.strip()) == expected
    assert redis_url.validate(given) == given.strip()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("redis://:canary?x@host:6379/0", "percent-encoded"),
        ("redis://:canary#x@host:6379/0", "percent-encoded"),
        ("redis://:canary/x@host:6379/0", "percent-encoded"),
        ("redis://:1?canary@host:6379/0", "percent-encoded"),
        ("redis://:canary%ff@host", "UTF-8"),
        ("redis://:canary\n@host", "line break"),
        ("redis://:canary@host:0/1", "port"),
        ("redis://host:port/0", "port"),
        ("redis://host:99999/0", "port"),
        ("redis://::1:6379", "port"),
        ("redis://[::1", "port"),
        ("redis://host:6379/zero", "number"),
        ("redis://host:6379/1/2", "number"),
        ("redis://host/1?db=2", "twice"),
        ("redis://host?db=1&db=2", "twice"),
        ("redis://host?db=-1", "number"),
        ("redis://host?db=", "no value"),
        ("redis://host?db", "name=value"),
        ("redis://:canary@host?password=canary", "twice"),
        ("redis://host:6379/0?canary=1", "unknown"),
        ("redis://host?decode_responses=true", "unknown"),
        ("redis://host?socket_timeout=3", "REDIS_TIMEOUT"),
        ("redis://host?ssl_cert_reqs=none", "rediss://"),
        ("rediss://host?ssl_cert_reqs=maybe", "none, optional or required"),
        ("rediss://host?ssl_check_hostname=perhaps", "true or false"),
        ("rediss://host?ssl_cert_reqs=none&ssl_check_hostname=true", "TLS"),
        ("rediss://host?ssl_ca_certs=/nowhere", "ssl_ca_certs names a file"),
        ("rediss://host?ssl_certfile=/nowhere", "belong together"),
        ("redis://", "host"),
        ("redis:///0", "host"),
        ("redis://two words", "host"),
        ("http://host", "begins with"),
        ("'redis://host'", "begins with"),
        ("host:6379", "begins with"),
        ("unix://", "absolute path"),
        ("unix://relative/path", "absolute path"),
    ],
)
def test_what_cannot_work_is_refused_in_words_without_its_password(given: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        redis_url.validate(given)
    assert "canary" not in str(raised.value)


def test_a_file_that_holds_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a b.pem").write_text("nothing")
    with pytest.raises(ValueError, match="TLS cannot be set up"):
        redis_url.validate(f"rediss://host?ssl_ca_certs={quote(str(tmp_path / 'a b.pem'))}")


@pytest.mark.parametrize("url", ["redis://h:1/2", "redis://me@h:1/2", "unix:///a%20b?db=2"])
def test_a_password_beside_the_url_need_not_be_encoded(url: str) -> None:
    found = seen(redis_url.complete(url, redis_password=PASSWORD))
    assert found.pop("password") == PASSWORD
    assert found == seen(url)
    for holding in (f"redis://:{ENCODED}@h", "redis://h?password=x"):
        with pytest.raises(ValueError, match="already"):
            redis_url.complete(holding, redis_password=PASSWORD)


def test_any_certificate_is_accepted_if_one_says_so_beside_the_url() -> None:
    for url in ("rediss://h", "rediss://:x@h/1?health_check_interval=9"):
        found = seen(redis_url.complete(url, redis_verify_certificate=False))
        assert found.pop("ssl_cert_reqs") == "none"
        assert found == seen(url)
    for url, why in (
        ("redis://h", "no certificate"),
        ("rediss://h?ssl_cert_reqs=required", "itself"),
        ("rediss://h?ssl_check_hostname=true", "TLS"),
    ):
        with pytest.raises(ValueError, match=why):
            redis_url.complete(url, redis_verify_certificate=False)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://me:canary@h:1/2?db=3", "redis://h:1/2"),
        ("redis://:c@nary@h", "redis://h"),
        ("unix:///a@b/s?password=canary", "unix:///a@b/s"),
    ],
)
def test_what_operators_are_shown_has_no_password(url: str, expected: str) -> None:
    assert redis_url.shown(url) == expected
