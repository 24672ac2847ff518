"""SMTP servers on real sockets: one that accepts mail, and one that replies by a script."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope

from app.config import Config


class Inbox:
    """The mails that a server of aiosmtpd has accepted."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 OK"


@asynccontextmanager
async def listening(
    settings: Config, protocol: Callable[[], Any], **options: Any
) -> AsyncIterator[None]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, **options)
    settings.MAIL_PORT = server.sockets[0].getsockname()[1]
    yield
    server.close()


HANG = "hang"
ANSWERS = {
    "GREETING": "220 ready",
    "EHLO": "250-localhost\r\n250 AUTH PLAIN",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go on",
    ".": "250 taken",
    "RSET": "250 ok",
    "QUIT": "221 bye",
}


@asynccontextmanager
async def scripted(settings: Config, **script: str) -> AsyncIterator[list[str]]:
    """Start a server that replies by this script; yield the lines that it receives."""
    answers = ANSWERS | script
    received: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = answers["GREETING"]
        while answer != HANG:
            writer.write(f"{answer}\r\n".encode())
            if answer.startswith("354"):
                received.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                answer = answers["."]
            elif line := (await reader.readline()).decode().strip():
                received.append(line)
                answer = answers.get(line.split()[0].upper(), "502 what?").replace("<echo>", line)
            else:
                break
        await reader.read()  # until the other side has had enough
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    settings.MAIL_PORT = server.sockets[0].getsockname()[1]
    yield received
    server.close()
