"""Behind a real nginx that sends what it should, too little, or something odd."""

import contextlib
import http.client
import json
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import select

from app.auth.models import Credential, Purpose
from app.environment import PROJECT_ROOT
from app.web.middleware.proxies import IN_A_ROW
from app.web.middleware.sightings import SEEN_KEY
from tests.faults.conftest import ADMINISTRATOR, set_up, transaction
from tests.faults.serving import refuses
from tests.processes import Served, free_port, manage, served

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")

pytestmark = [
    pytest.mark.faults,
    pytest.mark.waits,
    pytest.mark.skipif(NGINX is None, reason="nginx is missing: apt-get install nginx-light"),
]

CLIENT = "127.0.0.7"
OTHER = "127.0.0.8"
FORGED = "6.6.6.6"

# Lines of nginx's configuration. This nginx stands for one that has ended TLS: `$scheme` would be
# http, as it is for one behind another.
FOR = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
PROTO = "proxy_set_header X-Forwarded-Proto https;"
HTTP_1_1 = 'proxy_http_version 1.1; proxy_set_header Connection "";'


def header(name: str, value: str) -> str:
    return f"proxy_set_header {name} '{value}';"


@contextlib.contextmanager
def nginx(folder: Path, port: int, *servers: str) -> Iterator[None]:
    """Run nginx with these servers until the block ends."""
    folder.mkdir()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {paths}\n" + "\n".join(servers) + "\n}\n"
    )
    command = [str(NGINX), "-p", str(folder), "-e", f"{folder}/error.log"]
    process = subprocess.Popen([*command, "-c", f"{folder}/nginx.conf"])
    try:
        deadline = time.monotonic() + 10
        while refuses(port):
            assert process.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(10)


def server(port: int, upstream: int, directives: str) -> str:
    return (
        f"server {{ listen 127.0.0.1:{port}; location / {{ "
        f"proxy_pass http://127.0.0.1:{upstream}; {directives} }} }}"
    )


class Visitor:
    """A client of nginx that has an ip of its own and forges X-Forwarded-For if it may."""

    def __init__(self, port: int, ip: str = CLIENT, *, forges: bool = True, tls: bool = False):
        self.port, self.ip, self.tls = port, ip, tls
        self.headers = {"Host": "app.example.com"}
        if forges:
            self.headers["X-Forwarded-For"] = FORGED

    def send(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, str, str]:
        """Return the status, the Location and the text of the answer."""
        address = ("127.0.0.1", self.port)
        connection: http.client.HTTPConnection
        if self.tls:
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(
                *address, timeout=20, source_address=(self.ip, 0), context=context
            )
        else:
            connection = http.client.HTTPConnection(
                *address, timeout=20, source_address=(self.ip, 0)
            )
        with contextlib.closing(connection):
            sent = self.headers | headers
            if body is not None:
                sent["Content-Type"] = "application/json"
            connection.request(method, path, json.dumps(body) if body else None, sent)
            response = connection.getresponse()
            text = response.read().decode()
            return response.status, response.headers.get("Location", ""), text

    def follow(self, path: str) -> tuple[int, str]:
        """Follow redirects to https, fewer than browsers do, which arrive at this nginx again."""
        for _ in range(15):
            status, location, text = self.send("GET", path)
            if status != 308:
                return status, text
            assert location == f"https://app.example.com{path}"
        raise AssertionError("redirected for ever")

    def log_in(self, password: str = ADMINISTRATOR["password"]) -> int:
        return self.send("POST", "/api/v1/session", ADMINISTRATOR | {"password": password})[0]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an installation that has been set up, whose database is copied."""
    folder = tmp_path_factory.mktemp("prepared")
    return set_up(f"sqlite:///{folder / 'test.sqlite3'}", folder)


def behind(prepared: dict[str, str], tmp_path: Path, proxies: int) -> dict[str, str]:
    """The environment of a copy of an installation, behind so many proxies."""
    shutil.copy(Path(prepared["INSTANCE_PATH"]) / "test.sqlite3", tmp_path)
    with contextlib.closing(Redis.from_url(prepared["REDIS_URL"])) as redis:
        for key in redis.scan_iter(f"*{SEEN_KEY}"):
            redis.delete(key)
    return prepared | {
        "BASE_URL": "https://app.example.com",
        "TRUSTED_PROXIES": str(proxies),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'test.sqlite3'}",
        "INSTANCE_PATH": str(tmp_path),
    }


def said(app: Served) -> list[str]:
    """What the server has logged about proxies."""
    lines = [json.loads(x) for x in app.log.read_text().splitlines() if x.startswith("{")]
    return [x["message"] for x in lines if x["logger"].endswith(".sightings")]


def found(env: dict[str, str]) -> set[str]:
    """The ids of what `check` finds about proxies, in a process of its own."""
    time.sleep(0.3)  # what was seen is stored in the background
    process = manage("check", env=env)
    return set(re.findall(r"qb\.[EW]03\d|qb\.W001", process.stdout + process.stderr))


async def ips(env: dict[str, str]) -> set[str]:
    """The ips that sessions were begun from, as the page of sessions shows them."""
    async with transaction(env) as session:
        return set(
            await session.scalars(
                select(Credential.address).where(Credential.purpose == Purpose.SESSION)
            )
        )


@pytest.mark.parametrize(
    ("proxies", "directives", "ip", "findings"),
    [
        pytest.param(1, FOR + PROTO, CLIENT, [], id="as it should be"),
        pytest.param(1, FOR + PROTO + HTTP_1_1, CLIENT, [], id="HTTP/1.1"),
        pytest.param(
            1, FOR + header("X-Forwarded-Proto", "HTTPS"), CLIENT, [], id="proto in capitals"
        ),
        pytest.param(
            1, PROTO + header("X-Forwarded-For", "$remote_addr:$remote_port"), CLIENT, [], id="port"
        ),
        pytest.param(
            1, PROTO + header("X-Forwarded-For", "[::ffff:$remote_addr]:80"), CLIENT, [], id="IPv6"
        ),
        pytest.param(
            1,
            header("X-Forwarded-For", "")
            + header("Forwarded", 'for=6.6.6.6, for="$remote_addr:80";proto=HTTPS'),
            CLIENT,
            [],
            id="Forwarded alone",
        ),
        pytest.param(1, PROTO + header("X-Forwarded-For", ""), "", ["W030"], id="no for"),
        pytest.param(
            1,
            PROTO + header("X-Forwarded-For", "") + header("X-Real-IP", "$remote_addr"),
            "",
            ["W030"],
            id="X-Real-IP alone",
        ),
        pytest.param(
            1, PROTO + header("X-Forwarded-For", "6.6.6.6, unknown"), "", ["W031"], id="unknown"
        ),
        pytest.param(
            2, PROTO + header("X-Forwarded-For", "$remote_addr"), CLIENT, ["W032"], id="few"
        ),
        pytest.param(
            1, FOR + PROTO + header("X-Forwarded-Prefix", "/app"), CLIENT, ["W035"], id="prefix"
        ),
    ],
)
async def test_pages_are_served_and_limits_are_each_clients_own(
    prepared: dict[str, str],
    tmp_path: Path,
    proxies: int,
    directives: str,
    ip: str,
    findings: list[str],
) -> None:
    env, port = behind(prepared, tmp_path, proxies), free_port()
    with served(env, tmp_path / "log") as app:
        with nginx(tmp_path / "nginx", port, server(port, app.port, directives)):
            visitor, other = Visitor(port), Visitor(port, OTHER)
            assert visitor.follow("/account/login")[0] == 200
            assert visitor.log_in() == 201
            assert await ips(env) == {ip}
            failures = [visitor.log_in("wrong") for _ in range(6)]
            # An unknown ip is never locked out after five: it is everybody's.
            assert failures == [401] * 5 + [429 if ip else 401]
            assert other.log_in() == 201
            assert found(env) == {f"qb.{finding}" for finding in findings}
        assert len(said(app)) == len(findings), said(app)


@pytest.mark.parametrize(
    ("proxies", "directives", "words", "findings"),
    [
        pytest.param(1, FOR, "does not say whether", ["E030"], id="no proto"),
        pytest.param(
            1, FOR + header("X-Forwarded-Proto", "on"), "does not say", ["E031"], id="odd proto"
        ),
        pytest.param(
            1, header("X-Forwarded-For", ""), "does not say", ["E030", "W030"], id="nothing"
        ),
        pytest.param(
            1,
            HTTP_1_1 + header("X-Forwarded-For", ""),
            "does not say",
            ["E030", "W030", "W038"],
            id="nothing, HTTP/1.1",
        ),
        pytest.param(
            1, FOR + header("X-Forwarded-Proto", "http"), "says http although", ["W038"], id="inner"
        ),
        pytest.param(0, FOR + PROTO, "TRUSTED_PROXIES is 0", ["W034"], id="not trusted"),
        pytest.param(
            0, header("X-Forwarded-For", ""), "does not say", ["W038"], id="not trusted, nothing"
        ),
    ],
)
async def test_no_redirect_goes_round_in_circles(
    prepared: dict[str, str],
    tmp_path: Path,
    proxies: int,
    directives: str,
    words: str,
    findings: list[str],
) -> None:
    env, port = behind(prepared, tmp_path, proxies), free_port()
    with served(env, tmp_path / "log") as app:
        with nginx(tmp_path / "nginx", port, server(port, app.port, directives)):
            for _ in range(2):
                status, text = Visitor(port).follow("/account/login")
                assert (status, words in text) == (500, True), text
            assert Visitor(port).send("GET", "/livez")[0] == 200
            assert found(env) == {f"qb.{finding}" for finding in findings}
        assert len(said(app)) == len(findings), said(app)


@pytest.mark.parametrize(("proxies", "ip"), [(2, CLIENT), (1, "127.0.0.1")])
async def test_behind_two_proxies(
    prepared: dict[str, str], tmp_path: Path, proxies: int, ip: str
) -> None:
    env, outer, inner = behind(prepared, tmp_path, proxies), free_port(), free_port()
    passed_on = FOR + header("X-Forwarded-Proto", "$http_x_forwarded_proto")
    with served(env, tmp_path / "log") as app:
        chain = server(outer, inner, FOR + PROTO), server(inner, app.port, passed_on)
        with nginx(tmp_path / "nginx", outer, *chain):
            visitor = Visitor(outer, forges=False)
            assert visitor.log_in() == 201
            assert await ips(env) == {ip}
            for _ in range(IN_A_ROW):
                assert visitor.follow("/account/login")[0] == 200
            assert found(env) == (set() if proxies == 2 else {"qb.W033"})
        assert len(said(app)) == 2 - proxies


async def test_the_configuration_that_comes_with_the_product(
    prepared: dict[str, str], tmp_path: Path
) -> None:
    env, port, plain = behind(prepared, tmp_path, 1), free_port(), free_port()
    subject = ["-subj", "/CN=app.example.com", "-days", "2"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files],
        check=True,
        capture_output=True,
    )
    proof = tmp_path / ".well-known" / "acme-challenge" / "token"
    proof.parent.mkdir(parents=True)
    proof.write_text("proof")
    with served(env, tmp_path / "log") as app:
        text = (PROJECT_ROOT / "deploy" / "nginx.conf").read_text()
        for theirs, ours in {
            "listen [::]:80;": "",
            "listen [::]:443 ssl http2;": "",
            "/var/www/html": f"{tmp_path}",
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ": f"listen 127.0.0.1:{port} ",
            "/etc/letsencrypt/live/app.example.com/fullchain.pem": f"{tmp_path}/cert.pem",
            "/etc/letsencrypt/live/app.example.com/privkey.pem": f"{tmp_path}/key.pem",
            "127.0.0.1:8000": f"127.0.0.1:{app.port}",
        }.items():
            assert theirs in text
            text = text.replace(theirs, ours)
        with nginx(tmp_path / "nginx", port, text):
            visitor = Visitor(port, tls=True)
            assert visitor.follow("/account/login")[0] == 200
            forged = {"Forwarded": "for=6.6.6.6;proto=http", "X-Forwarded-Prefix": "/app"}
            assert visitor.send("GET", "/account/login", **forged)[0] == 200
            assert visitor.log_in() == 201
            assert await ips(env) == {CLIENT}
            status, location, _ = Visitor(plain).send("GET", "/about?a=b")
            assert (status, location) == (308, "https://app.example.com/about?a=b")
            status, _, text = Visitor(plain).send("GET", "/.well-known/acme-challenge/token")
            assert (status, text) == (200, "proof"), "of a certificate authority"
            # What is too large gets the site's own words.
            cookies = "; ".join(f"c{number}={'x' * 3500}" for number in range(16))
            for each in (cookies, "c=" + "x" * 70_000):
                status, _, text = visitor.send("GET", "/account/login", Cookie=each)
                assert (status, "Delete this site's cookies" in text) == (431, True)
            status, _, text = visitor.send("POST", "/api/v1/session", {"email": "x" * 2_000_000})
            assert (status, json.loads(text)["status"]) == (413, 413)
            assert found(env) == set()
        assert said(app) == []
