"""A job with all that belongs to it, as JSON."""

from typing import Any

from jobrunner.client import Client
from jobrunner.client.showing import step_json
from jobrunner.job import Job, job_json


async def whole_job(client: Client, job: Job) -> dict[str, Any]:
    """Raises Unavailable."""
    steps = await client.steps(job.id)
    artifacts = await client.artifacts([job.id])
    more = {"steps": [step_json(step) for step in steps], "why": await client.why(job)}
    return {**job_json(job, artifacts), **more}
