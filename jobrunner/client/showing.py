"""From rows and declarations to what callers are shown of them."""

from collections.abc import Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel

from jobrunner import shown
from jobrunner.declare import TaskSpec
from jobrunner.job import Job, artifact_json, job_json
from jobrunner.store.logs import Line
from jobrunner.store.rows import Step
from jobrunner.work import Artifact

Mode = Literal["validation", "serialization"]


def step_json(step: Step) -> dict[str, Any]:
    """Without the handle's URLs: some carry a signature that lets anybody in.

    `cost` is what the provider says a purchase cost, `{amount, unit}`; null while, or where, it says nothing.
    `created_at` is the row's: null in what is told of a step while it is written.
    """
    return {
        "name": step.name,
        "state": step.state,
        "provider": step.plan.provider if step.plan else None,
        "model": step.plan.model if step.plan else None,
        "remote_id": step.handle.id if step.handle else None,
        "attempt": step.fence,
        "cost": step.result["cost"] if step.plan and step.state == "done" else None,
        "error": step.error,
        "created_at": step.created_at,
    }


def line_json(line: Line) -> dict[str, Any]:
    attempt, _ = line.place
    return {"at": line.at, "attempt": attempt, "level": line.level, "message": line.message, "fields": line.fields}


def show_job(job: Job, artifacts: Sequence[Artifact]) -> shown.Job:
    """The job, with those of `artifacts` that are its own."""
    return shown.Job.model_validate(job_json(job, artifacts))


def show_artifact(artifact: Artifact) -> shown.Artifact:
    return shown.Artifact.model_validate(artifact_json(artifact))


def show_step(step: Step) -> shown.Step:
    return shown.Step.model_validate(step_json(step))


def show_line(line: Line) -> shown.LogLine:
    return shown.LogLine.model_validate(line_json(line))


def show_task(spec: TaskSpec[Any, Any]) -> shown.Task:
    return shown.Task(
        name=spec.name,
        module=spec.module,
        summary=spec.summary,
        timeout_s=spec.timeout.total_seconds(),
        soft_timeout_s=spec.soft_timeout.total_seconds(),
        retries=spec.retries,
        params=schema_of(spec.params, "validation") or {},
        result=schema_of(spec.result, "serialization") or {},
    )


def schema_of(model: type[BaseModel], mode: Mode) -> dict[str, Any] | None:
    """None for a model that has none: a field of no JSON type, or hooks of its own that fail or answer no JSON."""
    try:
        schema: dict[str, Any] = orjson.loads(orjson.dumps(model.model_json_schema(mode=mode)))
    except Exception:  # noqa: BLE001  # whatever a user's model raises, it must not hide the others
        return None
    return schema
