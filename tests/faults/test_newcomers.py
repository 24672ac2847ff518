"""The README's first steps with the API, as it says them, on a clean clone."""

import http.cookiejar
import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clones import environment
from tests.faults.serving import Serve

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.partition("## Use the API\n")[2].partition("\n## ")[0]
WRITTEN = "http://localhost:8000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


class Visitor:
    """A browser without scripts, of somebody who logs in."""

    def __init__(self, url: str) -> None:
        self.url = url
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def post(self, path: str, **fields: str | list[str]) -> str:
        body = urllib.parse.urlencode(fields, doseq=True).encode()
        with self.opener.open(f"{self.url}{path}", body, timeout=30) as answer:
            return str(answer.read().decode())

    def get(self, path: str) -> str:
        with self.opener.open(f"{self.url}{path}", timeout=30) as answer:
            return str(answer.read().decode())


def make_token(url: str) -> str:
    """Log in as the README says, and make a token on its page."""
    visitor = Visitor(url)
    visitor.post("/account/login", email="admin@example.com", password="password")
    form = re.search(r'name="form_id"[^>]*value="([^"]+)"', visitor.get("/account/tokens"))
    assert form
    page = visitor.post(
        "/account/tokens",
        name="First steps",
        scopes=["read", "administer"],
        expires_in_days="7",
        form_id=form[1],
    )
    found = re.search(r"qb_[0-9A-Za-z]{49}", page)
    assert found, page
    return found[0]


@pytest.mark.faults
@pytest.mark.waits
def test_a_newcomer_makes_a_token_and_pages_through_people(
    project: Path, serve: Callable[..., Serve]
) -> None:
    served = serve("--no-reload", "--no-worker").started()
    url = f"http://localhost:{served.port}"
    subprocess.run(
        [sys.executable, "manage.py", "add-fake-data", "-n", "150"],
        cwd=project,
        env=environment(),
        capture_output=True,
        check=True,
    )
    env = {**os.environ, "TOKEN": make_token(url)}

    [_, *calls] = "".join(blocks("sh")).replace(WRITTEN, url).splitlines()
    [one, few] = [
        subprocess.run(["bash", "-c", call], env=env, capture_output=True, text=True, check=True)
        for call in calls
    ]
    assert json.loads(one.stdout)["email"] == "admin@example.com"
    page = json.loads(few.stdout)
    assert len(page["items"]) == 2
    assert page["next"]

    [script] = blocks("python")
    listed = subprocess.run(
        [sys.executable, "-c", script.replace(WRITTEN, url)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert len(listed) == len(set(listed)) == 151
    assert "admin@example.com" in listed
