"""A jobrunner as people have it: one process with its servers, sandbox, API and worker, keys, and a full table."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from jobrunner.api.guard.keys import hash_of, new_key
from jobrunner.settings import Settings
from tests.browser.seeding import seed
from tests.conftest import apart
from tests.processes import Jobrunner
from tests.receiver import SECRET

DEAF = "127.0.0.1:9"
"""Where webhooks may be sent, and nobody hears them."""
LASTING_S = 600.0
"""A suite that takes longer hangs."""

KEYS = {
    "admin": {"scopes": "admin"},
    "viewer": {"scopes": "read"},
    "tenant": {"scopes": "submit,read,operate", "user_id": "tenant"},
}


@dataclass
class World:
    url: str
    keys: dict[str, str]
    directory: Path
    _gates: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.keys['admin']}"}
        self.api = httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def submit(self, task: str, how: Mapping[str, Any] | None = None, **params: Any) -> str:
        """The job's id. `how`: what else its submission says."""
        answer = self.api.post("/v1/jobs", json={"task": task, "params": params, **(how or {})})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def draw(self, scene: str, *, user_id: str, **params: Any) -> str:
        """Submit a picture that the sandbox draws; the job's id."""
        return self.submit("generate_scene_image", user_id=user_id, scene_description=scene, scene_number=1, **params)

    def job(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/v1/jobs/{id}").raise_for_status().json()
        return found

    def ended(self, id: str) -> dict[str, Any]:
        """The job, once it has ended."""
        found: dict[str, Any] = self.api.get(f"/v1/jobs/{id}", headers={"Prefer": "wait=50"}).raise_for_status().json()
        assert found["completed_at"], found
        return found

    def jobs(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get("/v1/jobs", params=query).raise_for_status().json()["data"]
        return found

    def gate(self) -> Path:
        """A gate for the task `paint`, shut."""
        gate = self.directory / f"gate-{next(self._gates)}"
        gate.mkdir()
        return gate


def let(gate: Path, *strokes: int) -> None:
    """Let the painter at this gate paint these strokes."""
    for stroke in strokes:
        (gate / str(stroke)).touch()


@contextmanager
def world(directory: Path, *, seeded: bool = True) -> Iterator[World]:
    keys = {name: new_key() for name in KEYS}
    jobrunner = Jobrunner(directory / "data", _environment(keys))
    with jobrunner.start("up", "--port", "0", "--json", lasting_s=LASTING_S) as up:
        ready = up.ready()
        if seeded:
            apart(seed(ready["database_url"]))
        made = World(ready["api"], keys, directory)
        with made.api:
            yield made
        assert up.stop() == 0, up.said()


def _environment(keys: dict[str, str]) -> dict[str, str]:
    said = {
        "TASK_MODULES": ",".join([*Settings.model_fields["task_modules"].default, "tests.browser.tasks"]),
        "WEBHOOKS__SECRET": SECRET,
        "NET__ALLOW": DEAF,
        "WORKER__LEASE_S": "12",  # figures come with the heartbeat
    }
    for name, key in keys.items():
        for word, value in {**KEYS[name], "hash": hash_of(key)}.items():
            said[f"KEYS__{name.upper()}__{word.upper()}"] = value
    return {f"JOBRUNNER_{word}": value for word, value in said.items()}
