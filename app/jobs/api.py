"""Background jobs as JSON, under /api/v1."""

from uuid import UUID

from quart import Blueprint, Response, ResponseReturnValue
from quart_schema import validate_querystring, validate_response

from app.auth.models import Permission
from app.database import db
from app.jobs import service
from app.jobs.schemas import JobOut, JobRow, JobRows, JobsQuery
from app.jobs.service import WrongState
from app.web.access import limit, requires
from app.web.api import raises, tag

jobs_api = Blueprint("jobs_api", __name__, url_prefix="/api/v1")
tag(jobs_api, "jobs", "Background jobs, for administrators.")

administers = requires(Permission.ADMINISTER)


@jobs_api.get("/jobs")
@administers
@limit("API_LIMIT")
@validate_querystring(JobsQuery)
@validate_response(JobRows)
async def list_jobs(query_args: JobsQuery) -> JobRows:
    """List the jobs in one state: the next due first, or of those that ended the newest."""
    async with db.session() as session:
        page = await service.page_of_jobs(session, query_args)
    return JobRows(items=[JobRow.of(job) for job in page.items], next=page.next)


@jobs_api.get("/jobs/<uuid:job_id>")
@administers
@limit("API_LIMIT")
@validate_response(JobOut)
async def get_job(job_id: UUID) -> JobOut:
    """Return everything about one job."""
    async with db.session() as session:
        return JobOut.of(await service.find_job(session, job_id))


@jobs_api.post("/jobs/<uuid:job_id>/retry")
@administers
@limit("API_LIMIT")
@raises(WrongState)
async def retry_job(job_id: UUID) -> ResponseReturnValue:
    """Make a waiting, dead or discarded job due now, with all its attempts."""
    async with db.transaction() as session:
        await service.change_one(session, service.retry_jobs, job_id)
    return Response(status=204)


@jobs_api.post("/jobs/<uuid:job_id>/discard")
@administers
@limit("API_LIMIT")
@raises(WrongState)
async def discard_job(job_id: UUID) -> ResponseReturnValue:
    """Discard a waiting or dead job: it never runs."""
    async with db.transaction() as session:
        await service.change_one(session, service.discard_jobs, job_id)
    return Response(status=204)
