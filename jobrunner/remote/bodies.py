"""What the verbs send, as the API takes it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson

from jobrunner.declare import TaskSpec
from jobrunner.errors import InvalidParams
from jobrunner.verbs import Submission, Wanted, Watched, as_json

_BATCH_JOBS = 1000
_BATCH_BYTES = 8 * 1024 * 1024
"""Both below what the API takes with its default settings."""


def keyed(asked: Submission) -> Submission:
    """With an idempotency key, a new one unless it has its own: so it may be sent again when an answer is lost."""
    if asked.options.idempotency_key is not None:
        return asked
    return replace(asked, options=replace(asked.options, idempotency_key=f"auto-{uuid4()}"))


def submission(asked: Submission) -> bytes:
    """The body of POST /v1/jobs. Raises InvalidParams for what is no JSON."""
    options = asked.options
    name = asked.task.name if isinstance(asked.task, TaskSpec) else asked.task
    said = {
        "task": name,
        "params": as_json(asked.params),
        "delay_s": None if options.delay is None else options.delay.total_seconds(),
        "run_at": options.run_at,
        "idempotency_key": options.idempotency_key,
        "record_id": options.record_id,
        "retries": options.retries,
        "metadata": options.metadata,
        "webhook": options.webhook,
    }
    try:
        return orjson.dumps({key: value for key, value in said.items() if value is not None}, default=_as_dict)
    except orjson.JSONEncodeError as error:
        raise InvalidParams(f"{name}: params and metadata must be plain JSON: {error}") from error


def batches(bodies: Mapping[int, bytes]) -> Iterator[tuple[list[int], bytes]]:
    """Submissions by their places, as bodies of POST /v1/jobs:batch, each with the places that it holds."""
    places: list[int] = []
    size = 0
    for place, body in bodies.items():
        if places and (len(places) == _BATCH_JOBS or size + len(body) > _BATCH_BYTES):
            yield places, _batch(bodies, places)
            places, size = [], 0
        places.append(place)
        size += len(body)
    if places:
        yield places, _batch(bodies, places)


def _batch(bodies: Mapping[int, bytes], places: list[int]) -> bytes:
    return b'{"jobs":[' + b",".join(bodies[place] for place in places) + b"]}"


def query(wanted: Wanted | Watched) -> dict[str, str]:
    """The query of GET /v1/jobs, or of GET /v1/events."""
    return {name: _word(value) for name, value in wanted.items() if value is not None}


def _word(value: Any) -> str:
    match value:
        case str():
            return value
        case datetime():
            return value.isoformat()
        case Mapping():
            return orjson.dumps(value, default=_as_dict).decode()
        case _:
            return ",".join(value)


def _as_dict(value: Any) -> Any:
    """For orjson, which writes no other mapping."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
