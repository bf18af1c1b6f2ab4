"""Rows: what a provider answers wrongly; a reset after the submit was accepted; an artifact whose URL expired."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, cast

import asyncpg
import orjson
import pytest

from jobrunner import runtime
from jobrunner.errors import SubmitUnknown
from jobrunner.providers import answers
from jobrunner.providers.driver import Desk
from jobrunner.providers.replicate import Replicate
from jobrunner.work import Handle, Intent
from tests.faults.odd import HUGE_BYTES, Odd, Oddity
from tests.faults.world import World

SAYS = {
    "429": ("completed", None, 3, 0),
    "500": ("completed", None, 3, 2),
    "503": ("completed", None, 3, 2),
    "slow_drip": ("completed", None, 1, 0),
    "truncate": ("failed", "transient", 3, 3),
    "wrong_type": ("failed", "media_invalid", 1, 1),
    "quota": ("failed", "provider_quota", 1, 1),
    "moderation": ("failed", "content_policy", 1, 1),
    "fail": ("failed", "provider_failed", 1, 1),
    "expire": ("failed", "artifact_expired", 1, 1),
}
"""How a job ends whose prompt holds the word: status, code, attempts, failures. `fail` is an error inside a 200."""

REFUSED = {"quota"}
"""What buys nothing; all else buys once, however often it is tried."""

POLLED = ("429", "503", "reset", "hang", "truncate", "wrong_type")
HANGS_S = 5.0
"""After this a request that hangs is given up; a picture has to come sooner, also on a loaded machine."""

FLUX, OPENAI = "replicate:black-forest-labs/flux-schnell", "openai:gpt-image-2"


def end(row: asyncpg.Record) -> tuple[str, str | None, int, int]:
    code = None if row["error"] is None else orjson.loads(row["error"])["code"]
    return row["status"], code, row["fence"], row["failures"]


async def test_provider_429_5xx_slow_drip_truncated_wrong_type_and_200_with_error(world: World) -> None:
    prompts = {word: f"a harbour [{word}]" for word in SAYS}
    async with world.api() as http, world.working():
        await world.take(http, *prompts.values())
        rows = await world.all_end()
    assert {word: end(row) for word, row in zip(SAYS, rows, strict=True)} == SAYS
    assert world.bought() == sorted(prompts[word] for word in SAYS.keys() - REFUSED)
    claims = await world.database.fetch(
        "SELECT at FROM audit.moves WHERE job_id = $1 AND old_status = 'pending' ORDER BY seq", rows[0]["id"]
    )
    refused = datetime.fromisoformat(orjson.loads(rows[0]["errors"])[0]["at"])
    assert claims[1]["at"] - refused >= timedelta(seconds=1), "it named a second in its Retry-After"


async def test_provider_hangs_resets_and_talks_nonsense_when_polled(world: World) -> None:
    """The work goes on there, and it is asked again: no failure, nothing bought anew."""
    for word in POLLED:
        await world.fault(provider="replicate", on="poll", fail=word, count=2)
    prompts = [f"a harbour {number}" for number in range(len(POLLED))]
    async with world.api() as http, world.working(providers=world.providers(timeout_s=HANGS_S)):
        await world.take(http, *prompts)
        await world.all_end(status="completed", fence=1, failures=0)
    assert world.bought() == prompts


@pytest.mark.parametrize(
    ("oddity", "expected"),
    [
        ("huge", ("completed", None, 1, 0)),
        ("cut", ("failed", "media_invalid", 1, 1)),
        ("stale", ("completed", None, 1, 0)),
    ],
)
async def test_provider_huge_body_cut_file_and_stale_url(
    world: World, monkeypatch: pytest.MonkeyPatch, oddity: Oddity, expected: tuple[Any, ...]
) -> None:
    """A body too large is read no further, and what it would have named is looked up.

    A file without a length is believed only if it decodes; a URL that has expired is asked for again.
    """
    monkeypatch.setattr(answers, "JSON_BYTES", HUGE_BYTES // 2)
    async with Odd(oddity).serving() as odd, world.api() as http, world.working(**odd.settings()):
        await world.take(http, "a harbour")
        rows = await world.all_end()
    assert [end(row) for row in rows] == [expected]
    assert len(odd.sold) == 1


# ---- reset after the submit was accepted -------------------------------------------------------


async def test_reset_after_submit_is_found(world: World) -> None:
    """Where the provider has a list."""
    await world.fault(provider="replicate", on="create", fail="reset", count=1)
    async with world.api() as http, world.working():
        await world.take(http, "a harbour")
        await world.all_end(status="completed", fence=1, failures=0)
    assert world.bought() == ["a harbour"]


async def test_reset_after_submit_stays_unknown_until_a_person_decides(world: World) -> None:
    """Where the provider has neither list nor key."""
    await world.fault(provider="openai", on="create", fail="reset", count=1)
    async with world.api() as http, world.working(routes={"image": (OPENAI,)}):
        [job] = await world.take(http, "a harbour")
        rows = await world.all_end()
        assert [end(row) for row in rows] == [("failed", "submit_outcome_unknown", 1, 1)]
        shown = await world.ask(http, "GET", f"/v1/jobs/{job}")
        assert [step["state"] for step in shown.body["steps"]] == ["intent"]
        assert world.bought() == ["a harbour"]
        assert (await world.ask(http, "POST", f"/v1/jobs/{job}/retry")).status == 202
        await world.all_end(status="completed", fence=2)
    assert world.bought() == ["a harbour"] * 2


class Keyed(Replicate):
    """A provider that lists nothing and honours our key, of which it knows more than it answered."""

    name = "keyed"
    capabilities = replace(Replicate.capabilities, lists=False, idempotent=True)
    known: ClassVar[dict[str, Handle]] = {}

    async def submit(self, intent: Intent, desk: Desk) -> Handle:
        if intent.key in self.known:
            return self.known[intent.key]
        self.known[intent.key] = await super().submit(intent, desk)
        raise SubmitUnknown("the connection was reset")


async def test_reset_after_submit_is_repeated_by_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast("dict[str, Any]", runtime.DRIVERS), Keyed.name, Keyed)
    keyed = {Keyed.name: world.providers()["replicate"]}
    routes = {"image": (FLUX.replace("replicate", Keyed.name),)}
    async with world.api() as http, world.working(routes=routes, providers={**world.providers(), **keyed}):
        await world.take(http, "a harbour")
        await world.all_end(status="completed", fence=2, failures=1)
    assert world.bought() == ["a harbour"]
