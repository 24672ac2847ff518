"""URLs of PostgreSQL as platforms hand them out: each parameter works or is refused in words."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Config, load_settings
from app.database import create_engine
from app.validators.database_url import database_url
from app.validators.postgresql_url import SSL_MODES, connecting
from tests.conftest import create_database

# A self-signed certificate and its key, for `certificate.example`; nothing trusts it.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBkzCCATmgAwIBAgIULwzf6757GskJLFydZgiSiaLf1d0wCgYIKoZIzj0EAwIw
HjEcMBoGA1UEAwwTY2VydGlmaWNhdGUuZXhhbXBsZTAgFw0yNjExMjYwNDIzMTha
GA8yMTI2MTEwMjA0MjMxOFowHjEcMBoGA1UEAwwTY2VydGlmaWNhdGUuZXhhbXBs
ZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEW4yZpgOMfzCuS7ePlmZcXnalz4
d8AzRqjDE5218vxMA+iHBxZYdgeGGBjebuIQeNdmD3/we+nGNusz7s3rIfyjUzBR
MB0GA1UdDgQWBBS9V544oX2con15GsWauyoHMOWiXTAfBgNVHSMEGDAWgBS9V544
oX2con15GsWauyoHMOWiXTAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gA
MEUCIQDF0o1esUEvRgU4h9JF7WrNw7Caum9xJy3zLmzPHMQk5AIgdDg4+XFCo/gQ
E+QUDpHkOKVXGKjgwHIVX9lUnFjNAmg=
-----END CERTIFICATE-----
"""
KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg2NbrPEqxJJSV8XLd
WZERowAbz9l5WS2YygwvBxxP2yShRANCAARFuMmaYDjH8wrku3j5ZmXF52pc+HfA
M0aowxOdtfL8TAPohwcWWHYHhhgY3m7iEHjXZg9/8HvpxjbrM+7N6yH8
-----END PRIVATE KEY-----
"""


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "50% ä.pem"
    path.write_text(KEY + CERTIFICATE)
    return path


def driver(value: str) -> dict[str, Any]:
    """Return what the driver is connected with for a URL."""
    found = connecting(make_url(database_url(value)))
    (_, arguments) = found.url.get_dialect()().create_connect_args(found.url)
    settings = {"server_settings": found.server_settings} if found.server_settings else {}
    pooler = {"pgbouncer": True} if found.pgbouncer else {}
    return {**arguments, **found.arguments, **settings, **pooler}


U = {"user": "u", "password": "p"}
PLATFORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "heroku": (
        "postgres://u:p@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1",
        U | {"host": "ec2-1-2-3-4.compute-1.amazonaws.com", "port": 5432, "database": "d1"},
    ),
    "neon": (
        "postgresql://u:p@ep-cool-1-pooler.eu-central-1.aws.neon.tech/neondb?sslmode=require",
        U
        | {
            "host": "ep-cool-1-pooler.eu-central-1.aws.neon.tech",
            "database": "neondb",
            "ssl": "require",
        },
    ),
    "neon by endpoint": (
        "postgres://u:p@ep-1.neon.tech/d?sslmode=require&options=endpoint%3Dep-1",
        U
        | {"host": "ep-1.neon.tech", "database": "d", "ssl": "require"}
        | {"server_settings": {"options": "endpoint=ep-1"}},
    ),
    "supabase": (
        "postgresql://postgres.ref:p@aws-0-eu-west-1.pooler.supabase.com:6543/postgres"
        "?pgbouncer=true",
        {
            "user": "postgres.ref",
            "password": "p",
            "host": "aws-0-eu-west-1.pooler.supabase.com",
            "port": 6543,
            "database": "postgres",
            "pgbouncer": True,
        },
    ),
    "render": (
        "postgresql://u:p@dpg-abc-a.frankfurt-postgres.render.com/d",
        U | {"host": "dpg-abc-a.frankfurt-postgres.render.com", "database": "d"},
    ),
    "fly": (
        "postgres://u:p@app-db.flycast:5432/d?sslmode=disable",
        U | {"host": "app-db.flycast", "port": 5432, "database": "d", "ssl": "disable"},
    ),
    "railway": (
        "postgresql://postgres:p@containers-us-west-1.railway.app:6543/railway",
        {
            "user": "postgres",
            "password": "p",
            "host": "containers-us-west-1.railway.app",
            "port": 6543,
            "database": "railway",
        },
    ),
    "azure": (
        "postgres://u%40server:p@server.postgres.database.azure.com:5432/d?sslmode=require",
        {
            "user": "u@server",
            "password": "p",
            "host": "server.postgres.database.azure.com",
            "port": 5432,
            "database": "d",
            "ssl": "require",
        },
    ),
    "digitalocean": (
        "postgresql://u:p@db-1.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
        U
        | {
            "host": "db-1.b.db.ondigitalocean.com",
            "port": 25060,
            "database": "defaultdb",
            "ssl": "require",
        },
    ),
    "cloud sql": (
        "postgresql://u:p@/d?host=/cloudsql/project:region:instance",
        U | {"host": "/cloudsql/project:region:instance", "database": "d"},
    ),
    "libpq": (
        "postgresql:///d?host=/run/postgresql&user=u&password=p&connect_timeout=7"
        "&application_name=web&client_encoding=UTF8&gssencmode=prefer&sslcompression=0"
        "&channel_binding=prefer&target_session_attrs=read-write&sslnegotiation=postgres",
        U
        | {"host": "/run/postgresql", "database": "d", "timeout": 7.0}
        | {"target_session_attrs": "read-write", "server_settings": {"application_name": "web"}},
    ),
    "several hosts": (
        "postgresql://u:p@h1:5432,h2:5433/d?target_session_attrs=primary",
        U
        | {"host": ["h1", "h2"], "port": [5432, 5433], "database": "d"}
        | {"target_session_attrs": "primary"},
    ),
    "several hosts, one port": (
        "postgresql://u:p@/d?host=h1,h2&port=6000",
        U | {"host": ["h1", "h2"], "port": [6000, 6000], "database": "d"},
    ),
    "several hosts without ports": (
        "postgresql://u:p@h1,h2/d",
        U | {"host": ["h1", "h2"], "port": [5432, 5432], "database": "d"},
    ),
    "a comma in the password": (
        "postgresql://u:p%2Cq,r@h/d",
        {"user": "u", "password": "p,q,r", "host": "h", "database": "d"},
    ),
    "cockroach": (
        "postgresql://u:p@h:26257/d?options=--cluster%3Dcool-1",
        U
        | {"host": "h", "port": 26257, "database": "d"}
        | {"server_settings": {"options": "--cluster=cool-1"}},
    ),
}


@pytest.mark.parametrize(("given", "expected"), PLATFORMS.values(), ids=PLATFORMS)
def test_what_a_platform_hands_out_reaches_the_driver(given: str, expected: dict[str, Any]) -> None:
    assert driver(given) == expected


REFUSED = {
    "channel_binding=require": "sslmode=verify-full&sslrootcert=system",
    "sslmode=require&channel_binding=require": "sslmode=verify-full&sslrootcert=system",
    "channel_binding=yes": "channel_binding=yes",
    "sslmode=no-verify": "sslmode is one of disable, allow",
    "sslmode=REQUIRED": "sslmode is one of disable, allow",
    "sslmode=require&sslmode=disable": "sslmode is given twice",
    "sslmode=require&sslrootcert=system": "write sslmode=verify-full",
    "sslmode=verify-full&sslrootcert=/none.pem": "sslrootcert names a file that does not exist",
    "sslmode=verify-full": "needs sslrootcert",
    "sslmode=verify-ca": "needs sslrootcert",
    "sslmode=require&sslcert=/none.pem": "sslcert and sslkey are given together",
    "sslmode=require&sslcert=/none.pem&sslkey=/none.pem": "sslcert names a file",
    "sslmode=prefer&sslrootcert=/none.pem": "sslrootcert has no effect",
    "sslmode=disable&sslcert=/none.pem&sslkey=/none.pem": "sslcert has no effect",
    "sslcompression=1": "sslcompression=1",
    "sslnegotiation=fast": "sslnegotiation is",
    "sslpassword=x": "sslpassword: remove it",
    "ssl=true": "write sslmode=require",
    "connect_timeout=soon": "connect_timeout is a number",
    "connect_timeout=0": "connect_timeout is a number",
    "pgbouncer=maybe": "pgbouncer is true or false",
    "connection_limit=1": "set DATABASE_POOL_SIZE",
    "pool_timeout=1": "set DATABASE_POOL_TIMEOUT",
    "schema=public": "options=-csearch_path%3DNAME",
    "statement_cache_size=0": "pgbouncer=true",
    "options=-cstatement_timeout%3D5s": "set DATABASE_STATEMENT_TIMEOUT",
    "options=-c%20lock_timeout%3D5s": "set DATABASE_LOCK_TIMEOUT",
    "options=--jit%3Don": "it is always off",
    "options='": "options cannot be read",
    "target_session_attrs=standby": "the application writes",
    "client_encoding=latin1": "client_encoding=latin1",
    "gssencmode=require": "gssencmode=require",
    "keepalives=1": "tcp_keepalives_idle",
    "keepalives_idle=60": "tcp_keepalives_idle",
    "service=x": "service: remove it",
    "supa=base-pooler.x": "supa: remove it",
    "host=h1,h2&port=1,2,3": "numbers of hosts and ports differ",
}


@pytest.mark.parametrize(("query", "words"), REFUSED.items(), ids=REFUSED)
def test_what_would_have_no_effect_is_refused_and_says_what_to_do(
    query: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    with pytest.raises(ValueError, match=r".+") as raised:
        database_url(f"postgresql://u:canary@h/d?{query}")
    assert words in str(raised.value)
    assert "canary" not in str(raised.value)


def test_a_password_in_the_query_is_hidden_like_one_before_the_host() -> None:
    url = make_url(database_url("postgresql:///d?host=h&user=u&password=canary"))
    assert "canary" not in url.render_as_string(hide_password=True)


def context(query: str) -> ssl.SSLContext:
    found = driver(f"postgresql://h/d?{query}")["ssl"]
    assert isinstance(found, ssl.SSLContext)
    return found


def test_certificates_are_verified_as_the_mode_says(pem: Path) -> None:
    path = str(pem).replace("%", "%25").replace(" ", "%20")
    for mode in ("require", "verify-ca"):  # with a root certificate these are the same, as in libpq
        found = context(f"sslmode={mode}&sslrootcert={path}")
        assert (found.verify_mode, found.check_hostname) == (ssl.CERT_REQUIRED, False)
        assert [dict(cert)["serialNumber"] for cert in found.get_ca_certs()]
    full = context(f"sslmode=verify-full&sslrootcert={path}&sslcert={path}&sslkey={path}")
    assert (full.verify_mode, full.check_hostname) == (ssl.CERT_REQUIRED, True)
    for query in ("sslrootcert=system", "sslmode=verify-full&sslrootcert=system"):
        system = context(query)
        assert (system.verify_mode, system.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert len(system.get_ca_certs()) > 1 or not Path("/etc/ssl/certs").is_dir()
    own = context(f"sslmode=require&sslcert={path}&sslkey={path}")
    assert (own.verify_mode, own.check_hostname) == (ssl.CERT_NONE, False)


def test_channel_binding_may_be_required_where_the_certificate_is_verified_in_full() -> None:
    context("channel_binding=require&sslmode=verify-full&sslrootcert=system")


def test_the_usual_root_certificate_is_found(
    pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".postgresql").mkdir()
    pem.rename(tmp_path / ".postgresql" / "root.crt")
    assert context("sslmode=verify-full").get_ca_certs()


def test_a_file_that_holds_no_certificate_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("nonsense")
    with pytest.raises(ValueError, match="no PEM"):
        database_url(f"postgresql://h/d?sslmode=verify-ca&sslrootcert={tmp_path}/a.pem")


@asynccontextmanager
async def connected(
    query: str, worker_number: int, monkeypatch: pytest.MonkeyPatch, for_requests: bool = True
) -> AsyncIterator[AsyncConnection]:
    url = await create_database(f"test_urls_{worker_number}")
    monkeypatch.setenv("TEST_DATABASE_URL", f"{url}&{query}")
    settings: Config = load_settings("testing")
    engine = create_engine(settings, for_requests=for_requests)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def test_parameters_have_their_effect_on_a_real_server(
    worker_number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = (
        "options=-csearch_path%3Dpg_catalog%20-c%20work_mem%3D5MB&application_name=web&"
        "connect_timeout=3&target_session_attrs=read-write&gssencmode=disable&client_encoding=utf8"
    )
    async with connected(query, worker_number, monkeypatch) as connection:
        for name, value in (
            ("search_path", "pg_catalog"),
            ("work_mem", "5MB"),
            ("application_name", "web"),
            ("statement_timeout", "10s"),
            ("client_encoding", "UTF8"),
        ):
            assert (await connection.execute(text(f"SHOW {name}"))).scalar() == value


@pytest.mark.parametrize("mode", SSL_MODES[:3])
async def test_modes_that_do_without_tls_connect_to_a_server_without_it(
    mode: str, worker_number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(f"sslmode={mode}", worker_number, monkeypatch) as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1


async def test_a_transaction_pooler_gets_neither_settings_nor_prepared_statements(
    worker_number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected("pgbouncer=true", worker_number, monkeypatch) as connection:
        assert (await connection.execute(text("SHOW statement_timeout"))).scalar() == "0"
        raw = (await connection.get_raw_connection()).driver_connection
        assert isinstance(raw, asyncpg.Connection)
        assert raw._config.statement_cache_size == 0
