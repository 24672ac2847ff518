"""Behind a real nginx with a rule for a path, which nobody gets past by spelling it differently."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import set_up
from tests.faults.test_nginx import FOR, NGINX, header, nginx
from tests.processes import Served, exchange, free_port, served
from tests.web.test_paths import ELSEWHERE, OTHERS

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(NGINX is None, reason="nginx is missing: apt-get install nginx-light"),
]

RULE = 'location /account { return 403 "by the rule"; }'
HOST = b"Host: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("paths")
    env = set_up(f"sqlite:///{folder / 'test.sqlite3'}", folder)
    with served(
        env | {"TRUSTED_PROXIES": "1", "PAGE_LIMIT": "100000/minute"}, folder / "log"
    ) as it:
        yield it


def get(port: int, target: str) -> tuple[int, bytes]:
    """Send a request target as it is written; return the status and the whole answer."""
    answer = exchange(port, f"GET {target} HTTP/1.1\r\n".encode() + HOST)
    found = re.match(rb"HTTP/1\.1 (\d+)", answer)
    assert found, answer
    return int(found[1]), answer


@pytest.mark.parametrize("rest", ["", "/"], ids=["the path as it came", "the path decoded"])
@pytest.mark.parametrize("merging", ["on", "off"])
def test_no_spelling_gets_past_a_rule(
    upstream: Served, tmp_path: Path, merging: str, rest: str
) -> None:
    port = free_port()
    proxied = f"proxy_pass http://127.0.0.1:{upstream.port}{rest}; proxy_set_header Host $host; "
    proxied += FOR + header("X-Forwarded-Proto", "http")
    configuration = (
        f"server {{ listen 127.0.0.1:{port}; merge_slashes {merging}; {RULE} "
        f"location / {{ {proxied} }} }}"
    )
    with nginx(tmp_path / "nginx", port, configuration):
        assert get(port, "/about")[0] in (200, 404), "what no rule is for is passed on"
        assert get(port, "/account/manage")[0] == 403
        passed = {}
        for path in (*OTHERS, *ELSEWHERE):
            for target in (path, f"http://localhost{path}"):
                status, answer = get(port, target)
                if status not in (400, 403, 404):
                    passed[target] = answer
        assert not passed


def test_the_server_alone_serves_one_spelling(upstream: Served) -> None:
    assert get(upstream.port, "/account/manage")[0] == 303
    assert get(upstream.port, "http://localhost/account/manage")[0] == 303
    found = {path: get(upstream.port, path)[0] for path in (*OTHERS, *ELSEWHERE)}
    assert set(found.values()) == {404}, found
