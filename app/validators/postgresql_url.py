"""URLs of PostgreSQL as hosting platforms hand them out: what each parameter means to the driver.

A parameter either has its effect or is refused, with what to do instead. None is ignored.
"""

import os
import re
import shlex
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
UNVERIFIED = SSL_MODES[:3]  # modes in which a certificate would have no effect

# What to do about parameters of other programs and drivers that URLs often have.
SEARCH_PATH = "to choose a schema write options=-csearch_path%3DNAME"
POOLER = "behind a transaction pooler write pgbouncer=true"
KEEPALIVE = "for the server's own write options=-ctcp_keepalives_idle%3D60"
INSTEAD = {
    "connection_limit": "set DATABASE_POOL_SIZE",
    "currentSchema": SEARCH_PATH,
    "idle_in_transaction_session_timeout": "set DATABASE_IDLE_TIMEOUT",
    "keepalives": KEEPALIVE,
    "keepalives_count": KEEPALIVE,
    "keepalives_idle": KEEPALIVE,
    "keepalives_interval": KEEPALIVE,
    "lock_timeout": "set DATABASE_LOCK_TIMEOUT",
    "pool_size": "set DATABASE_POOL_SIZE",
    "pool_timeout": "set DATABASE_POOL_TIMEOUT",
    "prepareThreshold": POOLER,
    "prepared_statement_cache_size": POOLER,
    "schema": SEARCH_PATH,
    "search_path": SEARCH_PATH,
    "ssl": "write sslmode=require",
    "statement_cache_size": POOLER,
    "statement_timeout": "set DATABASE_STATEMENT_TIMEOUT",
}
# Parameters of the server that settings of the application set: in `options` they would have no
# effect.
SETTINGS = {
    "application_name": "write application_name= in the URL",
    "client_encoding": "it is always UTF-8",
    "idle_in_transaction_session_timeout": INSTEAD["idle_in_transaction_session_timeout"],
    "jit": "it is always off",
    "lock_timeout": INSTEAD["lock_timeout"],
    "statement_timeout": INSTEAD["statement_timeout"],
}

SEVERAL_HOSTS = re.compile(
    r"(?P<before>[^:/]+://(?:[^/@?]*@)?)(?P<hosts>[^/?@]*,[^/?@]*)(?=[/?]|$)"
)


@dataclass(slots=True)
class Connecting:
    """How to connect: the URL without parameters but `host` and `port`, and what they became."""

    url: URL
    arguments: dict[str, Any] = field(default_factory=dict)  # of the driver
    server_settings: dict[str, str] = field(default_factory=dict)
    pgbouncer: bool = False


def read_url(value: str) -> URL:
    """Parse a URL. Several hosts become the parameter `host`, which is how SQLAlchemy names them.

    Raises `ValueError` or `ArgumentError` for what is no URL.
    """
    hosts: list[str] = []
    if several := SEVERAL_HOSTS.match(value):
        hosts = several["hosts"].split(",")
        value = several["before"] + value[several.end() :]
    url = make_url(value)
    given = url.query.get("host")
    if isinstance(given, str) and "," in given:
        hosts = given.split(",")
        ports = str(url.query.get("port", "")).split(",")
        if len(ports) not in (1, len(hosts)):
            raise ValueError("the numbers of hosts and ports differ")
        ports *= len(hosts) // len(ports)
        pairs = zip(hosts, ports, strict=True)
        hosts = [f"{host}:{port}" if port else host for host, port in pairs]
        url = url.difference_update_query(["port"])
    if any(host.count(":") > 1 for host in hosts):
        raise ValueError("of several hosts each has a name or an IPv4 address")
    if hosts:
        url = url.update_query_dict({"host": [h if ":" in h else f"{h}:5432" for h in hosts]})
    # Of these SQLAlchemy would show the password, and the driver knows no `dbname`.
    return url.set(
        username=_text(url, "user"), password=_text(url, "password"), database=_text(url, "dbname")
    ).difference_update_query(["user", "password", "dbname"])


def _text(url: URL, name: str) -> str | None:
    value = url.query.get(name)
    return value if isinstance(value, str) else None


def connecting(url: URL) -> Connecting:
    """Read the parameters of a URL. Raises `ValueError` for one that can have no effect."""
    query = {name: value for name, value in url.query.items() if name not in ("host", "port")}
    twice = sorted(name for name, value in query.items() if not isinstance(value, str))
    if twice:
        raise ValueError(f"{twice[0]} is given twice")
    given = {name: str(value) for name, value in query.items()}
    if unknown := sorted(set(given) - set(PARAMETERS) - TLS):
        name = unknown[0]
        instead = INSTEAD.get(name)
        raise ValueError(
            f"the driver does not support {name}: remove it" + (f"; {instead}" if instead else "")
        )
    found = Connecting(url.difference_update_query(list(given)))
    for name, value in given.items():
        if name in PARAMETERS:
            PARAMETERS[name](found, value)
    _set_tls(found, given)
    if given.get("channel_binding") == "require" and given.get("sslmode") != "verify-full":
        raise ValueError(
            "the driver does not support channel_binding=require: remove it, and for the same "
            "protection write sslmode=verify-full&sslrootcert=system, or name the file of your "
            "provider's root certificate"
        )
    return found


def _only(name: str, *values: str, instead: str = "remove it") -> Callable[[Connecting, str], None]:
    """Return a reader of a parameter that only takes the values that the driver has anyway."""

    def read(found: Connecting, value: str) -> None:
        if value.lower() not in values:
            raise ValueError(f"the driver does not support {name}={value}: {instead}")

    return read


def _connect_timeout(found: Connecting, value: str) -> None:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError("connect_timeout is a number of seconds, 1 or more")
    found.arguments["timeout"] = float(value)


def _pgbouncer(found: Connecting, value: str) -> None:
    if value.lower() not in ("true", "false"):
        raise ValueError("pgbouncer is true or false")
    found.pgbouncer = value.lower() == "true"


def _target(found: Connecting, value: str) -> None:
    if value not in ("any", "read-write", "primary"):
        raise ValueError(
            "target_session_attrs is any, read-write or primary, since the application writes"
        )
    found.arguments["target_session_attrs"] = value


def _negotiation(found: Connecting, value: str) -> None:
    if value not in ("postgres", "direct"):
        raise ValueError("sslnegotiation is postgres or direct")
    if value == "direct":
        found.arguments["direct_tls"] = True


def _application_name(found: Connecting, value: str) -> None:
    found.server_settings["application_name"] = value


def _options(found: Connecting, value: str) -> None:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"options cannot be read: {str(error).lower()}") from None
    for word in words:
        name = re.sub(r"^(-c|--)", "", word).partition("=")[0].strip().replace("-", "_").lower()
        if instead := SETTINGS.get(name):
            raise ValueError(f"{name} in options has no effect: remove it; {instead}")
    found.server_settings["options"] = value


PARAMETERS: Mapping[str, Callable[[Connecting, str], None]] = {
    "application_name": _application_name,
    "channel_binding": _only("channel_binding", "disable", "prefer", "require"),
    "client_encoding": _only("client_encoding", "utf8", "utf-8", "unicode", "auto"),
    "connect_timeout": _connect_timeout,
    "gssencmode": _only("gssencmode", "disable", "prefer"),
    "options": _options,
    "pgbouncer": _pgbouncer,
    "sslcompression": _only("sslcompression", "0"),
    "sslnegotiation": _negotiation,
    "target_session_attrs": _target,
}
TLS = {"sslmode", "sslrootcert", "sslcert", "sslkey"}


def _set_tls(found: Connecting, given: Mapping[str, str]) -> None:
    mode, root = given.get("sslmode"), given.get("sslrootcert")
    cert, key = given.get("sslcert"), given.get("sslkey")
    if mode is not None and mode not in SSL_MODES:
        raise ValueError(f"sslmode is one of {', '.join(SSL_MODES)}")
    if bool(cert) != bool(key):
        raise ValueError("sslcert and sslkey are given together")
    if mode in UNVERIFIED and (root or cert):
        name = "sslrootcert" if root else "sslcert"
        raise ValueError(f"{name} has no effect with sslmode={mode}: write sslmode=verify-full")
    if root == "system":
        mode = mode or "verify-full"
        if mode != "verify-full":
            raise ValueError("with sslrootcert=system write sslmode=verify-full")
    for name in ("sslrootcert", "sslcert", "sslkey"):
        if (path := given.get(name)) and path != "system" and not Path(path).is_file():
            raise ValueError(f"{name} names a file that does not exist")
    if mode in ("verify-ca", "verify-full") and not root:
        usual = Path(os.environ.get("PGSSLROOTCERT") or Path.home() / ".postgresql" / "root.crt")
        if not usual.is_file():
            raise ValueError(
                f"sslmode={mode} needs sslrootcert: the file of the server's root certificate, or "
                "system for the operating system's"
            )
        root = str(usual)
    if root or cert:
        found.arguments["ssl"] = _context(mode, root, cert, key)
    elif mode:
        found.arguments["ssl"] = mode


def _context(
    mode: str | None, root: str | None, cert: str | None, key: str | None
) -> ssl.SSLContext:
    """Return what is verified. A root certificate is verified in every mode that may have one."""
    try:
        context = ssl.create_default_context(cafile=None if root == "system" else root)
        context.check_hostname = mode == "verify-full"
        if not root:
            context.verify_mode = ssl.CERT_NONE
        if cert:
            context.load_cert_chain(cert, key)
    except (ssl.SSLError, OSError):
        raise ValueError("sslrootcert, sslcert or sslkey names a file that is no PEM") from None
    return context
