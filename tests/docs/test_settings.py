"""The settings page and `.env.example` say what the code says."""

import re
from collections.abc import Callable

import pytest

from app.config import Config, HerokuConfig
from app.environment import PROJECT_ROOT
from app.settings.fields import GROUPS
from development.settings import FILES, OTHERS, own_fields, title

BESIDE = {name for variables in OTHERS.values() for name in variables}


@pytest.mark.parametrize(("name", "text"), FILES.items())
def test_generated_files_are_up_to_date(name: str, text: Callable[[], str]) -> None:
    assert (PROJECT_ROOT / name).read_text() == text(), "run: python -m development.settings"


def test_every_setting_is_in_a_group_and_described() -> None:
    names = [name for group in GROUPS for name in own_fields(group)]
    assert sorted(names) == sorted(Config.model_fields)
    assert all(title(group) for group in GROUPS)
    descriptions = [str(field.description) for field in Config.model_fields.values()]
    assert all(words and words != "None" and words[-1] != "." for words in descriptions)


def test_every_setting_is_on_the_page_and_in_the_example() -> None:
    page = (PROJECT_ROOT / "docs" / "settings.md").read_text()
    example = (PROJECT_ROOT / ".env.example").read_text()
    known = set(Config.model_fields) | BESIDE
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == known
    assert set(re.findall(r"^# ([A-Z_0-9]+)=", example, re.MULTILINE)) == known
    assert HerokuConfig.model_fields["TRUSTED_PROXIES"].default == 1


def test_a_duration_has_its_unit_in_its_description() -> None:
    words = ("LIFETIME", "TIMEOUT", "IDLE", "INTERVAL", "RETENTION", "BACKOFF", "WAIT", "DELAY")
    for name, field in Config.model_fields.items():
        if name.startswith(words) or name.endswith(words):
            assert "seconds" in str(field.description), name
