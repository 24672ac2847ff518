"""What the trail records of background jobs."""

from app.trail import Act

RETRIED = Act("job.retried", "Job retried")
DISCARDED = Act("job.discarded", "Job discarded")
RUN = Act("job.run", "Job run by hand")
