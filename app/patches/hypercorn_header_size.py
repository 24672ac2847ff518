"""Hypercorn 0.18: `h2_max_header_list_size` has no effect on what is read over HTTP/2.

It is announced to clients, but h2's decoder keeps its own limit of 64 KiB, beyond which the whole
connection ends without an answer.
"""

from typing import Any

from hypercorn.protocol.h2 import H2Protocol

_init = H2Protocol.__init__


def read_announced_header_size() -> None:
    """Let HTTP/2 connections read as much as they announce. Call this when the application starts.

    Changes nothing for servers other than Hypercorn.
    """
    H2Protocol.__init__ = _init_with_limit  # type: ignore[assignment, method-assign]  # all arguments are passed on


def _init_with_limit(protocol: H2Protocol, *args: Any, **options: Any) -> None:
    _init(protocol, *args, **options)
    protocol.connection.decoder.max_header_list_size = protocol.config.h2_max_header_list_size
