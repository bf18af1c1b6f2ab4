"""What comes out of a row must go into one again."""

from typing import Any, cast
from uuid import UUID

import orjson
from asyncpg.pgproto import pgproto

from jobrunner.store.rows import artifact_of, to_json
from jobrunner.work import Artifact, Plan

ARTIFACT = Artifact(UUID(int=1), UUID(int=2), "image", "image/png", 9, "00", "01/a.png", 8, 8)


def test_an_artifact_that_was_read_can_be_written_in_a_plan() -> None:
    row: dict[str, Any] = {name: getattr(ARTIFACT, name) for name in Artifact.__slots__}
    for name in ("id", "job_id"):
        row[name] = pgproto.UUID(str(row[name]))
    found = artifact_of(cast("Any", row))
    written = to_json(Plan("p", "m", "e", {}, (found,)))
    assert found == ARTIFACT
    assert Plan.from_json(orjson.loads(written or "")).files == (ARTIFACT,)
