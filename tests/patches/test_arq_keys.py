"""arq's keys, which have no prefix unless its constants are changed."""

import inspect
import sys
from collections.abc import Iterator

import pytest
from arq import constants
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker

from app.patches.arq_keys import NAMES, ORIGINAL, prefix_keys

BEGINNING = "arq:"


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    before = constants.job_key_prefix.removesuffix(ORIGINAL["job_key_prefix"])
    yield
    prefix_keys(before)


def test_arq_still_takes_no_prefix() -> None:
    parameters = [*inspect.signature(Worker).parameters, *inspect.signature(ArqRedis).parameters]
    parameters += inspect.signature(RedisSettings).parameters
    if any("prefix" in name or "namespace" in name for name in parameters):
        pytest.fail("app/patches/arq_keys.py may be needed no more: arq takes a prefix")


def test_every_name_of_a_key_in_every_module_of_arq_gets_the_prefix() -> None:
    assert {"job_key_prefix", "in_progress_key_prefix", "retry_key_prefix"} <= set(NAMES)
    for prefix in ("one:", "two:"):
        prefix_keys(prefix)
        held = {
            (module, name): value
            for module, imported in sys.modules.items()
            if module.partition(".")[0] == "arq"
            for name, value in vars(imported).items()
            if isinstance(value, str) and BEGINNING in value and name[0] != "_"
        }
        assert len(held) > len(NAMES)
        assert [place for place, value in held.items() if not value.startswith(prefix)] == []
