"""The driver: sends what a step does to the app, and reads the mails that come of it."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from quart import Quart
from quart.wrappers import Response
from sqlalchemy import delete, select

from app.auth.models import Purpose
from app.config import Config
from app.database import Base, db
from app.jobs.models import Job
from app.jobs.queue import KINDS
from app.mail.message import Email
from app.redis import redis
from tests.accounts.any_order.model import Account, Clock, Proof, World, normal
from tests.accounts.surfaces import LINKS, SET_UP, Flow, Request, cookie_in, session_in
from tests.conftest import reset_limits
from tests.factories.people import insert_roles

# All that an answer may be; 200 stands for everything that means yes.
STATUSES = (200, 201, 202, 204, 303, 401, 403, 404, 409, 410)


class Driver(World):
    """A world, and the app that should agree with it."""

    def __init__(
        self,
        app: Quart,
        settings: Config,
        clock: Clock,
        outbox: list[Email],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__()
        self.app, self.settings, self.clock = app, settings, clock
        self.outbox, self.loop = outbox, loop
        self._forget()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        async def within() -> None:
            async with self.app.app_context():
                await work

        self.loop.run_until_complete(within())

    async def _status(
        self, flow: Flow, page: bool, fields: dict[str, Any] | None = None, **options: Any
    ) -> int:
        """Return the status of a flow that needs a session: 401 where a page sends to log-in."""
        status, _ = await self._answer(flow, page, fields, **options)
        return status

    async def _answer(
        self,
        flow: Flow,
        page: bool,
        fields: dict[str, Any] | None = None,
        *,
        by: Proof | None = None,
        guarded: bool = True,
        **path: object,
    ) -> tuple[int, Response]:
        """Send a flow by page or by API; 200 stands for everything that means yes.

        Where the flow is `guarded`, a page's redirect to log-in counts as 401.
        """
        status, response = await self._send(flow.request(fields, by_page=page, **path), by)
        if status == 303 and by and guarded and is_log_in(response):
            status = 401
        return (200 if status < 400 else status), response

    async def _send(self, request: Request, by: Proof | None = None) -> tuple[int, Response]:
        carried = request.headers(by.secret if by else None, self.browser)
        options: dict[str, Any] = {"headers": carried}
        if request.fields is not None:
            options["form" if request.by_page else "json"] = request.fields
        if by and self._is_recognised(by, request.by_page):
            self._touch(by)
        client = self.app.test_client()
        response = await client.open(request.path, method=request.method, **options)
        status = response.status_code
        assert status in STATUSES, await response.get_data(as_text=True)
        return status, response

    async def _begin(
        self,
        owner: Account,
        page: bool,
        response: Response,
        *,
        shown: datetime | None,
        remember: bool = False,
        replaces: Proof | None = None,
    ) -> None:
        if replaces and replaces.purpose is Purpose.SESSION:
            self._end(replaces)
        body = await response.get_data(as_text=True)
        secret = session_in(response.headers.getlist("Set-Cookie"), body, by_page=page)
        now = self.clock.time
        session = Proof(Purpose.SESSION, owner, now, self._expiry(now, remember), secret, used=now)
        session.remember, session.shown = remember, shown
        self.sessions.append(session)

    async def _use(
        self,
        link: Proof,
        request: Request,
        at_once: int = 1,
        *,
        expected: int | None = None,
        by: Proof | None = None,
    ) -> Response | None:
        """Use a link, once or several times at the same moment; return the answer that says yes."""
        expected = expected or self._outcome(link)
        answers = await asyncio.gather(*(self._send(request, by) for _ in range(at_once)))
        statuses = sorted(200 if status < 400 else status for status, _ in answers)
        assert statuses == [expected, *([410 if expected == 200 else expected] * (at_once - 1))]
        if expected != 200:
            return None
        if link.owner:
            self.proven[link.owner].add(str(link.mailed_to))
        others = [*self.links[link.purpose], *self.prepared]
        self._end(link, *(other for other in others if is_ended(other, link)))
        return next(response for status, response in answers if status < 400)

    async def _work(self, now: bool) -> None:
        """Run the jobs as the worker would; exactly the mails that should be sent must arrive."""
        if not now:
            return
        self.outbox.clear()
        await work()
        expected = [mail for mail in (promise() for promise in self.queue) if mail]
        self.queue.clear()
        for mail in self.outbox:
            to = normal(mail.to)  # it is sent to the form that was typed
            about = (to, mail.subject, mail.context.get("name", ""))
            found = next((each for each in expected if each[:3] == about), None)
            assert found, f"nobody should have got {about}"
            expected.remove(found)
            if link := found[3]:
                beginning, _, link.secret = str(mail.context["link"]).rpartition("/")
                kind = SET_UP if mail.subject == SET_UP.subject else LINKS[link.purpose]
                assert f"{beginning}/" == self.settings.BASE_URL + kind.page
                link.mailed_to = to
                self.links[link.purpose].append(link)
        assert not expected, "mails are missing"


async def work() -> None:
    """Run the jobs as a worker would, and those that they enqueue."""
    while True:
        async with db.transaction() as session:
            due = (await session.execute(select(Job).order_by(Job.created_at))).scalars().all()
            await session.execute(delete(Job))
        if not due:
            return
        for job in due:
            await KINDS[job.name].function(**job.args)


def is_ended(other: Proof, link: Proof) -> bool:
    """Return whether the use of a link ends another one."""
    if other.purpose is not link.purpose or other.owner is not link.owner:
        return False
    if link.purpose is Purpose.CONFIRM:
        return other.email == link.email
    return link.purpose is not Purpose.OBJECT or other.created >= link.created


def is_log_in(response: Response) -> bool:
    return response.headers["Location"].partition("?")[0] == "/account/login"


def cookie_of(response: Response) -> str | None:
    return cookie_in(response.headers.getlist("Set-Cookie"))


async def empty(app: Quart) -> None:
    """Delete what the example before has left."""
    async with db.transaction() as session:
        for table in reversed(Base.metadata.sorted_tables):
            await session.execute(table.delete())
    await redis.flushdb()
    reset_limits(app)
    await insert_roles()
