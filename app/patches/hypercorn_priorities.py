"""Hypercorn 0.18: clients of HTTP/2 make the tree of priorities overflow, which is a traceback.

It takes 1,000 streams. Those that a client only names in PRIORITY frames count, and those that it
has reset as long as more frames keep arriving. A tree that is some hundred streams deep overflows
the stack.
"""

import asyncio

import h2.events
from hypercorn.protocol.h2 import H2Protocol

_handle_events = H2Protocol._handle_events


def ignore_priorities() -> None:
    """Take turns among streams, whatever the client prefers; RFC 9113 (5.3) deprecates priorities.

    Call this when the application starts. Changes nothing for servers other than Hypercorn.
    """
    H2Protocol._handle_events = _handle_one_by_one  # type: ignore[assignment, method-assign]
    H2Protocol._priority_updated = _ignore  # type: ignore[assignment, method-assign]


async def _handle_one_by_one(protocol: H2Protocol, events: list[h2.events.Event]) -> None:
    """Handle what a client sent, and after each frame let the sending task forget what is reset."""
    for event in events:
        await _handle_events(protocol, [event])
        await asyncio.sleep(0)


async def _ignore(protocol: H2Protocol, event: h2.events.PriorityUpdated) -> None:
    """Do nothing."""
