"""What administrators do with jobs."""

from collections.abc import Awaitable, Callable

from app.database import db
from app.jobs.queue import enqueue
from tests.accounts.surfaces import Request
from tests.scenes import Stage, scene


def on_job(path: str) -> Callable[[Stage], Awaitable[object]]:
    """Play an act on a job that waits."""

    async def play(stage: Stage) -> None:
        async with db.transaction() as session:
            key = await enqueue(session, "jobs.delete_finished")
        request = Request("POST", path.format(id=key), by_page=path.startswith("/admin"))
        await stage.send(await stage.administrator(), request)

    return play


SCENES = [
    scene("jobs.act_on retry", "job.retried", on_job("/admin/jobs/{id}/retry")),
    scene("jobs.act_on discard", "job.discarded", on_job("/admin/jobs/{id}/discard")),
    scene("jobs_api.retry_job", "job.retried", on_job("/api/v1/jobs/{id}/retry")),
    scene("jobs_api.discard_job", "job.discarded", on_job("/api/v1/jobs/{id}/discard")),
]

NOTHING: dict[str, str] = {}
