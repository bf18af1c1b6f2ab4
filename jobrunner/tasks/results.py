"""How a file becomes a task's result."""

from typing import Any, TypeVar

from pydantic import BaseModel

from jobrunner.work import Artifact

R = TypeVar("R", bound=BaseModel)


def result_of(artifact: Artifact, model: type[R], **more: Any) -> R:
    """The artifact as a result of that shape, which takes of it what it has fields for; sizes in pixels, seconds."""
    return model.model_validate(
        {
            "url": artifact.url,
            "artifact_id": str(artifact.id),
            "mime": artifact.mime,
            "width": artifact.width,
            "height": artifact.height,
            "duration_s": artifact.duration_s,
            **more,
        }
    )
