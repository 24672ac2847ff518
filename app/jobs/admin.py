"""The pages on which administrators look after background jobs."""

from uuid import UUID

from quart import Blueprint, ResponseReturnValue, flash, redirect, render_template, url_for
from quart_schema import validate_querystring

from app.auth.models import Permission
from app.database import db
from app.jobs import service
from app.jobs.models import State
from app.jobs.schemas import JobOut, JobRow, JobsQuery
from app.web.access import limit, requires

admin = Blueprint("jobs", __name__, url_prefix="/admin/jobs", template_folder="templates")

administers = requires(Permission.ADMINISTER)

# act → the message of success, and the function
ACTS = {
    "retry": ("The job is due now, with all its attempts.", service.retry_jobs),
    "discard": ("The job is discarded: it will not run.", service.discard_jobs),
}


@admin.get("")
@administers
@limit("PAGE_LIMIT")
@validate_querystring(JobsQuery)
async def index(query_args: JobsQuery) -> str:
    """List the jobs in one state."""
    async with db.session() as session:
        page = await service.page_of_jobs(session, query_args)
    jobs = [JobRow.of(job) for job in page.items]
    return await render_template(
        "jobs/index.html", page=page, jobs=jobs, wanted=query_args, states=State
    )


@admin.get("/<uuid:job_id>")
@administers
@limit("PAGE_LIMIT")
async def show(job_id: UUID) -> str:
    """Show everything about one job."""
    async with db.session() as session:
        job = await service.find_job(session, job_id)
    can_discard = service.is_unfinished(job)
    return await render_template(
        "jobs/job.html",
        job=JobOut.of(job),
        can_retry=can_discard or job.state == State.DISCARDED,
        can_discard=can_discard,
    )


@admin.post("/<uuid:job_id>/<any(retry, discard):act>")
@administers
@limit("PAGE_LIMIT")
async def act_on(job_id: UUID, act: str) -> ResponseReturnValue:
    """Retry or discard a job."""
    done, function = ACTS[act]
    try:
        async with db.transaction() as session:
            await service.change_one(session, function, job_id)
    except service.WrongState as error:
        await flash(error.message, "error")
    else:
        await flash(done, "success")
    return redirect(url_for("jobs.show", job_id=job_id), 303)
