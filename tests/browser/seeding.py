"""A hundred thousand jobs of a week, written by COPY: what a table looks like that has been in use."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
from uuid_utils.compat import uuid7

JOBS = 100_000
RARE = "a heron at dawn"
"""Words that a few of them hold: one in RARE_EVERY."""
RARE_EVERY = 5000
RARE_USER = "user-31"

HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "\"><svg onload=document.title='owned'>",
    "javascript:document.title='owned'",
    "{{constructor.constructor('document.title=1')()}} ${document.title='owned'} \u202e",
)
HOSTILE_USER = "<b>mallory</b>"
CAREFUL_USER = "careful"
"""Whose purchase it is of which nobody knows whether it was made."""

_PLAN = {"provider": "replicate", "model": "black-forest-labs/flux-schnell", "endpoint": "/", "body": {}}
_INTENT = """
INSERT INTO jobrunner.steps (job_id, name, state, sequence, fence, provider, plan)
VALUES ($1, 'generate', 'intent', 1, 1, 'replicate', $2::jsonb)
"""

_TASKS = (
    ("generate_scene_image", "image"),
    ("generate_character_image", "image"),
    ("generate_scene_video", "video"),
    ("generate_speech", "audio"),
    ("lipsync_video", "lipsync"),
    ("merge_videos", "merge"),
)
_SCENES = ("a lighthouse in a storm", "a fox in the snow", "an empty station", "rain on a tin roof", "two old friends")
_ERRORS = (
    {"code": "provider_failed", "message": "The model ran out of memory.", "retryable": True, "provider": "replicate"},
    {"code": "content_policy", "message": "The provider refuses the prompt.", "retryable": False, "provider": "openai"},
    {"code": "timeout", "message": "It passed its hard timeout of 0:30:00.", "retryable": False},
)


async def seed(database_url: str) -> None:
    """JOBS that have ended, over the last week; one of each hostile text; and a purchase of unknown outcome."""
    unknown = _row(
        *("generate_scene_image", "image", "failed", datetime.now(UTC)),
        user_id=CAREFUL_USER,
        prompt="bought, or not",
        metadata={},
        error={"code": "submit_outcome_unknown", "message": "The answer was lost.", "provider": "replicate"},
    )
    rows = [*_ended(), *_hostile(), unknown]
    connection = await asyncpg.connect(database_url)
    try:
        await connection.copy_records_to_table(
            "jobs", schema_name="jobrunner", columns=list(rows[0]), records=[tuple(row.values()) for row in rows]
        )
        await connection.execute(_INTENT, unknown["id"], _json(_PLAN))
        await connection.execute("ANALYZE jobrunner.jobs")
    finally:
        await connection.close()


def _ended() -> Iterator[dict[str, Any]]:
    now = datetime.now(UTC) - timedelta(hours=2)
    every = timedelta(days=7) / JOBS
    for n in range(JOBS):
        task, module = _TASKS[n % 11 % len(_TASKS)]
        status = "failed" if n % 23 == 0 else "cancelled" if n % 97 == 0 else "completed"
        yield _row(
            *(task, module, status, now - n * every),
            user_id=f"user-{n % 40}",
            prompt=RARE if n % RARE_EVERY == 7 else _SCENES[n % len(_SCENES)],
            metadata={"story": n % 500},
            error=_ERRORS[n % 3] if status == "failed" else None,
        )


def _hostile() -> Iterator[dict[str, Any]]:
    now = datetime.now(UTC) - timedelta(minutes=5)
    for text in HOSTILE:
        yield _row(
            *("generate_scene_image", "image", "failed", now),
            user_id=HOSTILE_USER,
            prompt=text,
            metadata={text: text},
            error={"code": "provider_failed", "message": text, "provider": text, "provider_code": text},
            note=text,
        )


def _row(
    task: str,
    module: str,
    status: str,
    created_at: datetime,
    *,
    user_id: str,
    prompt: str,
    metadata: dict[str, Any],
    error: dict[str, Any] | None,
    note: str | None = None,
) -> dict[str, Any]:
    """Always the same columns in the same order."""
    ended_at = created_at + timedelta(seconds=42)
    params = {"user_id": user_id, "scene_description": prompt, "scene_number": 1}
    return {
        "id": uuid7(),
        "task": task,
        "module": module,
        "status": status,
        "user_id": user_id,
        "record_id": note,
        "params": _json(params),
        "metadata": _json(metadata),
        "error": _json(error),
        "progress_note": note,
        "retries": 3,
        "fence": 1,
        "failures": int(error is not None),
        "created_at": created_at,
        "due_at": created_at,
        "started_at": created_at,
        "completed_at": ended_at,
        "updated_at": ended_at,
    }


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
