"""Every setting, with every kind of value that people give it by mistake.

A value is refused at start in words that name the variable, or it means what a reader would expect.
None is taken and dropped.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from app import environment
from app.auth.models import Purpose
from app.config import Config, config, load_settings
from app.environment import PROJECT_ROOT
from app.errors import ConfigurationError
from development.settings import OTHERS

CLASSES = sorted({each.NAME for each in config.values()})
CANARY = "canary-with-no-less-than-32-characters"

# A right value for each setting that has no default, or whose default is not to be written.
GIVEN: dict[str, str] = {
    "BASE_URL": "https://app.example.org",
    "CORS_ORIGINS": "https://one.example.org,https://two.example.org",
    "ADMIN_EMAIL": "boss@example.org",
    "ADMIN_PASSWORD": CANARY,
    "SECRET_KEY": CANARY,
    "SECRET_KEY_FALLBACKS": f"{CANARY}-1,{CANARY}-2",
    "DATABASE_URL": f"postgresql+asyncpg://app:{CANARY}@db.example.org/app",
    "REDIS_URL": f"redis://:{CANARY}@cache.example.org:6379/2",
    "MAIL_SERVER": "smtp.example.org",
    "MAIL_USERNAME": "us",
    "MAIL_PASSWORD": CANARY,
    "MAIL_DEFAULT_SENDER": "Acme <post@example.org>",
    "INSTANCE_PATH": "/tmp/an-instance",
    "REDIS_PASSWORD": CANARY,
    "REDIS_PREFIX": "acme",
    "INSTALLATION_ID": "acme",
    "SECURITY_CONTACT": "mailto:security@example.org",
    "REDIS_VERIFY_CERTIFICATE": "true",
}
# Without these a configuration, or another setting, cannot be used.
NEEDED = {"BASE_URL", "SECRET_KEY", "DATABASE_URL", "REDIS_URL"}
TOGETHER = {
    "MAIL_USERNAME": {"MAIL_PASSWORD"},
    "MAIL_PASSWORD": {"MAIL_USERNAME"},
    "MAIL_SERVER": {"MAIL_DEFAULT_SENDER"},
}
# A password of Redis stands in its URL or beside it.
BESIDE = {"REDIS_PASSWORD": {"REDIS_URL": "redis://cache.example.org:6379/2"}}
# Settings that hold any text.
TEXTS = {
    "APP_NAME",
    "ADMIN_PASSWORD",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "MAIL_USERNAME",
    "MAIL_PASSWORD",
    "REDIS_PASSWORD",
    "INSTANCE_PATH",
}
MISTAKES = {
    "ten minutes": "10 minutes",
    "a unit": "5s",
    "a unit of bytes": "1GB",
    "thirty digits": "9" * 30,
    "thousands of digits": "9" * 5000,
    "below zero": "-1",
    "no number": "nan",
    "endless": "inf",
    "beyond a float": "1e400",
    "a list": "1, 2",
    "yes and no": "y",
    "words": "none of these",
}


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Provide an environment without settings."""
    before = os.environ.copy()
    for name in {*Config.model_fields, *(name for group in OTHERS.values() for name in group)}:
        os.environ.pop(name, None)
    monkeypatch.setattr(environment, "PROJECT_ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    yield
    os.environ.clear()
    os.environ.update(before)


def variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return str(alias.choices[0] if isinstance(alias, AliasChoices) else alias or name)


def settings_of(configuration: str) -> list[tuple[str, FieldInfo]]:
    """Return all settings of production, and of the others those that they declare anew."""
    fields = config[configuration].model_fields
    if configuration == "production":
        return [*fields.items()]
    own = config[configuration].__annotations__.keys() & fields.keys()
    return [(name, field) for name, field in fields.items() if name in own]


def right(name: str, field: FieldInfo) -> str:
    if name in GIVEN:
        return GIVEN[name]
    value = field.default
    return str(value).lower() if isinstance(value, bool) else str(value)


def load(configuration: str, name: str, raw: str) -> Any:
    """Load a configuration in which one setting has this value, and return its value."""
    fields = config[configuration].model_fields
    needed = (NEEDED | TOGETHER.get(name, set())) - {name}
    for each in needed & fields.keys():
        os.environ[variable(each, fields[each])] = (GIVEN | BESIDE.get(name, {}))[each]
    key = variable(name, fields[name])
    os.environ[key] = raw
    try:
        return getattr(load_settings(configuration), name)
    finally:
        for each in needed & fields.keys():
            del os.environ[variable(each, fields[each])]
        del os.environ[key]


def refusal(configuration: str, name: str, raw: str) -> str:
    """Return the message of a refusal, which must name the variable and show no secret."""
    field = config[configuration].model_fields[name]
    with pytest.raises(ConfigurationError) as raised:
        load(configuration, name, raw)
        pytest.fail(f"{name}={raw[:60]!r} is taken")
    message = raised.value.message
    assert variable(name, field) in message, (name, raw)
    assert "canary" not in message, name
    assert len(message) < 1000, name
    return message


@pytest.mark.parametrize("configuration", CLASSES)
def test_a_right_value_arrives(configuration: str) -> None:
    for name, field in settings_of(configuration):
        value = load(configuration, name, right(name, field))
        written = ",".join(value) if isinstance(value, list) else str(value)
        if isinstance(value, float):
            written = f"{value:g}"
        assert written.lower() == right(name, field).lower(), name


@pytest.mark.parametrize("configuration", CLASSES)
def test_an_empty_value_counts_as_unset(configuration: str) -> None:
    for name, field in settings_of(configuration):
        try:
            value = load(configuration, name, "")
        except ConfigurationError as error:
            assert f"{variable(name, field)}: is not set" in error.message
            continue
        if field.default is not None:
            assert value == getattr(config[configuration](**unset(configuration)), name), name


def unset(configuration: str) -> dict[str, Any]:
    return {name: GIVEN[name] for name in NEEDED} if config[configuration].PRODUCTION else {}


@pytest.mark.parametrize("configuration", CLASSES)
def test_blanks_alone_are_refused(configuration: str) -> None:
    for name, _ in settings_of(configuration):
        for raw in (" ", "\t  ", "\n", " \u00a0 "):
            assert "only whitespace" in refusal(configuration, name, raw), name


@pytest.mark.parametrize("configuration", CLASSES)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_a_newline_at_the_end_is_none_of_the_value(configuration: str, end: str) -> None:
    for name, field in settings_of(configuration):
        value = load(configuration, name, right(name, field) + end)
        assert value == load(configuration, name, right(name, field)), name


@pytest.mark.parametrize("configuration", CLASSES)
def test_blanks_around_a_value_are_none_of_it_but_for_passwords(configuration: str) -> None:
    for name, field in settings_of(configuration):
        value = load(configuration, name, f"  {right(name, field)} ")
        expected = load(configuration, name, right(name, field))
        if name in ("ADMIN_PASSWORD", "MAIL_PASSWORD", "REDIS_PASSWORD", "SECRET_KEY"):
            expected = f"  {expected} "
        assert value == expected, name


@pytest.mark.parametrize("configuration", CLASSES)
@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_around_a_value_are_named(configuration: str, quote: str) -> None:
    for name, field in settings_of(configuration):
        raw = f"{quote}{right(name, field)}{quote}"
        assert "quotes around it" in refusal(configuration, name, raw), name


@pytest.mark.parametrize("configuration", CLASSES)
@pytest.mark.parametrize("character", ["\x01", "\n", "\x1b", "\x85", "\u2028", "\udcff"])
def test_control_characters_are_refused(configuration: str, character: str) -> None:
    for name, field in settings_of(configuration):
        value = right(name, field)
        refusal(configuration, name, f"{value[:1]}{character}{value[1:] or 0}")


@pytest.mark.parametrize("configuration", CLASSES)
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_or_is_a_text(configuration: str, mistake: str) -> None:
    for name, _ in settings_of(configuration):
        if name in TEXTS:
            try:
                value = load(configuration, name, mistake)
            except ConfigurationError as error:
                assert name in error.message
                continue
            texts = value if isinstance(value, list) else [str(value)]
            expected = mistake.split(", ") if isinstance(value, list) else [mistake]
            if name == "INSTANCE_PATH":
                expected = [str(Path.cwd() / mistake)]
            assert texts == expected, name
        elif not may_be(name, mistake):
            assert "Expected: " in refusal(configuration, name, mistake), (name, mistake)


def may_be(name: str, mistake: str) -> bool:
    """Tell whether these few settings can mean it: a host or an installation has any name."""
    return (
        (name == "MAIL_SERVER" and mistake.isalnum() and not mistake.isdigit())
        or name == "REDIS_PREFIX"
        or (name == "INSTALLATION_ID" and mistake.isalnum())
    )


def used() -> set[str]:
    """Return every name of a setting that some source reads."""
    folders = ("app", "development", "alembic")
    paths = [path for folder in folders for path in (PROJECT_ROOT / folder).rglob("*.py")]
    text = "\n".join(path.read_text() for path in paths if path.parent.name != "settings")
    attributes = r"(?:settings|loaded|configured|self|config\[configuration\])\.([A-Z][A-Z0-9_]+)"
    return set(re.findall(attributes, text)) | set(re.findall(r'"([A-Z][A-Z0-9_]+)"', text))


def test_every_setting_is_read_somewhere() -> None:
    by_quart = {"MAX_CONTENT_LENGTH", "MAX_FORM_PARTS", "SECRET_KEY", "SECRET_KEY_FALLBACKS"}
    of_links = {f"{purpose.upper()}_LIFETIME" for purpose in Purpose}  # accounts/links.py
    of_audit = {"TRAIL_RETENTION"}  # a feature that may have been removed
    known = used() | by_quart | of_links | of_audit
    assert sorted(Config.model_fields.keys() - known) == []
