"""What a worker says of a service that is away."""

import logging
import time

import pytest

from app.jobs.engine.outages import SAID_EVERY, Outage


def test_an_outage_is_said_once_now_and_then_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    caplog.set_level(logging.INFO, logger="app.jobs")
    outage = Outage("Jobs cannot be looked for")
    outage.is_over()
    assert caplog.messages == []
    for _ in range(3):
        outage.goes_on(OSError("refused"))
    assert caplog.messages == ["Jobs cannot be looked for: OSError: refused"]
    outage.goes_on(OSError("starting"))
    assert caplog.messages[1:] == ["Jobs cannot be looked for: OSError: starting"]
    now += SAID_EVERY
    outage.goes_on(OSError("starting"))
    assert len(caplog.messages) == 3
    for _ in range(2):
        outage.is_over()
    assert caplog.messages[3:] == ["Jobs cannot be looked for: that is over"]
    outage.goes_on(OSError("starting"))
    assert len(caplog.messages) == 5
