"""REDIS_URL, read here alone: for requests, for workers, for `arq --check` and for `check`."""

import re
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlsplit

from redis.asyncio.connection import SSLConnection, parse_url

ENCODED = ": / ? # @ % in a user name or password are percent-encoded"

# What may follow the `?`: what means the same to a web server, a worker and `arq --check`.
NUMBERS = {"db", "health_check_interval"}
SWITCHES = {"socket_keepalive", "ssl_check_hostname"}
FILES = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
SUPPORTED = NUMBERS | SWITCHES | FILES | {"username", "password", "ssl_cert_reqs"}

TRUE, FALSE = {"1", "true", "yes", "y"}, {"0", "false", "no", "n"}  # as redis-py reads them


def options(url: str) -> dict[str, Any]:
    """Return what redis-py's connection pools take for a URL that `validate` has accepted."""
    found: dict[str, Any] = dict(parse_url(url))
    # redis-py unquotes a query twice, which would turn a password with %41 in it into another one.
    for name, values in parse_qs(urlsplit(url).query).items():
        if isinstance(found.get(name), str):
            found[name] = values[0]
    return found


def shown(url: str) -> str:
    """Return the URL without user, password and query, to be shown to an operator."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def complete(
    url: str, *, redis_password: str | None = None, redis_verify_certificate: bool = True
) -> str:
    """Put what settings of these names say into a URL that `validate` has accepted.

    Raises `ValueError` if the URL says it already, or has no use for it.
    """
    if redis_password:
        url = _with_password(url, redis_password)
    return url if redis_verify_certificate else _without_verification(url)


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    if parts.password or "password" in parse_qs(parts.query):
        raise ValueError("REDIS_URL holds a password already")
    server = parts.netloc.rpartition("@")[2]
    user = f"{parts.username or ''}:{quote(password, safe='')}"
    return parts._replace(netloc=f"{user}@{server}").geturl()


def _without_verification(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        raise ValueError("REDIS_URL does not begin with rediss://, so there is no certificate")
    if "ssl_cert_reqs" in parse_qs(parts.query):
        raise ValueError("REDIS_URL says so itself, with ssl_cert_reqs")
    query = "&".join(filter(None, [parts.query, "ssl_cert_reqs=none"]))
    return validate(parts._replace(query=query).geturl())


def validate(value: str) -> str:
    """Validate the URL of a Redis server, over TCP, TLS or a Unix socket.

    Nothing that is accepted is ignored or fails later for its form. Raises `ValueError`, whose
    words never hold the password.
    """
    value = value.strip()
    if not value.isprintable():  # urlsplit drops some of these silently
        raise ValueError("it holds a line break or another control character")
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("the URL of a Redis server begins with redis://, rediss:// or unix://")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"the port is a number from 1 to 65535, and {ENCODED}")
    if parts.fragment or "#" in value:
        raise ValueError(f"nothing follows a #: {ENCODED}")
    if "\ufffd" in unquote(value):
        raise ValueError("what is percent-encoded must be UTF-8")
    if parts.scheme == "unix":
        if parts.hostname or len(parts.path) < 2:
            raise ValueError("unix:// is followed by an absolute path: unix:///path/to/socket")
    elif not parts.netloc or " " in (parts.hostname or ""):
        raise ValueError("the host is missing, or has a blank in it")
    elif not re.fullmatch(r"/*[0-9]*/*", parts.path):
        raise ValueError(f"the database after the last / must be a number, and {ENCODED}")
    _validate_query(value)
    return value


def _validate_query(url: str) -> None:
    parts = urlsplit(url)
    try:
        pairs = parse_qsl(
            parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), errors="strict"
        )
    except ValueError:
        raise ValueError(f"what follows the ? is name=value, joined by &; {ENCODED}") from None
    query = dict(pairs)
    if not all(query.values()):
        raise ValueError("an option after the ? has no value")
    if len(query) < len(pairs):
        raise ValueError("an option is given twice")
    if unknown := sorted(set(query) - SUPPORTED):
        _refuse(unknown)
    if "db" in query and parts.scheme != "unix" and parts.path.strip("/"):
        raise ValueError("the number of the database is given twice")
    if (parts.username and "username" in query) or (parts.password and "password" in query):
        raise ValueError("the user name or the password is given twice")
    if parts.scheme != "rediss" and (tls := sorted(n for n in query if n.startswith("ssl_"))):
        raise ValueError(f"{', '.join(tls)} needs TLS: the URL then begins with rediss://")
    for name, given in query.items():
        if name in NUMBERS and not re.fullmatch("[0-9]+", given):
            raise ValueError(f"{name} takes a number")
        if name in SWITCHES and given.lower() not in TRUE | FALSE:
            raise ValueError(f"{name} takes true or false")
    if query.get("ssl_cert_reqs", "none") not in ("none", "optional", "required"):
        raise ValueError("ssl_cert_reqs takes none, optional or required")
    if ("ssl_certfile" in query) != ("ssl_keyfile" in query):
        raise ValueError("ssl_certfile and ssl_keyfile belong together")
    _try_certificates(url)


def _refuse(unknown: list[str]) -> None:
    # What is unknown may be the end of a password that was not encoded.
    hint = f"supported after the ?: {', '.join(sorted(SUPPORTED))}"
    if any(name.endswith("timeout") for name in unknown):
        hint = "time-outs are settings: REDIS_TIMEOUT and WORKER_REDIS_TIMEOUT"
    raise ValueError(f"an option after the ? is unknown; {hint}")


def _try_certificates(url: str) -> None:
    """Read the certificates now; otherwise each connection would fail, one after the other."""
    found = options(url)
    if found.get("connection_class") is not SSLConnection:
        return
    for name in sorted(FILES & set(found)):
        with suppress(OSError), open(found[name], "rb"):  # noqa: PTH123  (a setting, not a path)
            continue
        raise ValueError(f"{name} names a file that cannot be read")
    try:
        SSLConnection(**{n: v for n, v in found.items() if n.startswith("ssl_")}).ssl_context.get()
    except (ValueError, OSError) as error:  # of its own errors, none is about a password
        raise ValueError(f"TLS cannot be set up: {error}") from None
