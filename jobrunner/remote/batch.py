"""Many submissions in few requests."""

from collections.abc import Sequence

import aiohttp

from jobrunner.errors import InvalidParams, JobrunnerError, Unavailable
from jobrunner.remote.answers import Accepted, Batch, Taken, read_as
from jobrunner.remote.bodies import batches, submission
from jobrunner.remote.line import JSON, Ask, Line, Trouble, read_json
from jobrunner.remote.problems import error_of, unreadable
from jobrunner.verbs import Submission

_LONGER_S = 90.0
"""A thousand submissions take longer than one."""

_IF_LOST = (
    "Some of the jobs may be kept. Give each submission an idempotency_key of its own, and submit all of them again: "
    "that never makes two."
)


async def submit_all(line: Line, asked: Sequence[Submission]) -> list[Accepted | JobrunnerError]:
    """Each in its place: the job, or why there is none. They must have idempotency keys. Raises as `Line.ask` does."""
    answers: dict[int, Accepted | JobrunnerError] = {}
    bodies: dict[int, bytes] = {}
    for place, each in enumerate(asked):
        try:
            bodies[place] = submission(each)
        except InvalidParams as error:
            answers[place] = error
    for places, body in batches(bodies):
        ask = Ask("POST", "v1/jobs:batch", body=body, headers=JSON, longer_s=_LONGER_S, safe=True, if_lost=_IF_LOST)
        taken = (await line.read(ask, _read_batch)).data
        if len(taken) != len(places):
            raise unreadable(f"{len(places)} jobs were submitted, and {len(taken)} answers came.", 200)
        answers.update(zip(places, map(_outcome, taken), strict=True))
    return [answers[place] for place in range(len(asked))]


async def _read_batch(answer: aiohttp.ClientResponse) -> Batch:
    """All are sent again if one could not be kept: those that were, are answered as before."""
    batch = read_as(Batch, await read_json(answer))
    for each in batch.data:
        if each.problem is not None and each.problem.code == Unavailable.code:
            raise Trouble(each.problem.detail, undone=False)
    return batch


def _outcome(taken: Taken) -> Accepted | JobrunnerError:
    if taken.job is not None:
        return taken.job
    if taken.problem is not None:
        return error_of(taken.problem)
    return unreadable("A submission was answered with neither a job nor a problem.", 200)
