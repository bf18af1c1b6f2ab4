"""The whole task on a real chain: pinned, minted once, too late to cancel once it is signed, retried by a person."""

import base64
from pathlib import Path
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from jobrunner.errors import Conflict
from jobrunner.job import Job, Status
from jobrunner.providers.ethereum.ledger import Mint
from jobrunner.request import MintRequest
from jobrunner.runtime import Runtime, with_sandbox
from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import Sandbox
from jobrunner.sandbox.artists.artist import draw
from jobrunner.settings import Settings
from jobrunner.tasks.blockchain import MintResult, mint_nft
from jobrunner.worker.loop import WorkerLoop
from tests.integration.worker.conftest import ended, until, working

OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PICTURE = f"data:image/png;base64,{base64.b64encode(draw('a kite', 1, 64, 64)).decode()}"


@pytest.fixture
def settings(settings: Settings, sandbox: Sandbox) -> Settings:
    return with_sandbox(settings, sandbox.base_url)


async def submitted(name: str = "A kite") -> UUID:
    return (await mint_nft.delay(asset=PICTURE, name=name, to=OWNER, user_id="u1")).id


async def signed(runtime: Runtime, id: UUID) -> Mint:
    mint = await until(lambda: runtime.store.mints.find(MintRequest("", "", id).key))
    assert isinstance(mint, Mint)
    return mint


def result_of(job: Job) -> MintResult:
    assert job.status is Status.COMPLETED, job.error
    return MintResult.model_validate(job.result)


async def test_a_picture_becomes_a_token(runtime: Runtime, worker: WorkerLoop, sandbox: Sandbox) -> None:
    job = await ended(runtime, await submitted())
    minted = result_of(job)
    assert (minted.token_id, minted.owner, job.result_url) == ("1", OWNER.lower(), minted.token_uri)
    async with aiohttp.ClientSession() as http:

        async def pinned(uri: str) -> bytes:
            async with http.get(f"{sandbox.base_url}/pinata/ipfs/{uri.removeprefix('ipfs://')}") as answer:
                assert answer.status == 200
                return await answer.read()

        assert await pinned(minted.token_uri) == (
            b'{"attributes":[],"description":"","image":"%b","name":"A kite"}' % minted.asset_uri.encode()
        )
        assert await pinned(minted.asset_uri) == draw("a kite", 1, 64, 64)


async def test_once_signed_a_job_cannot_be_cancelled_and_completes(runtime: Runtime, worker: WorkerLoop) -> None:
    id = await submitted("A kite [slow]")
    await signed(runtime, id)
    with pytest.raises(Conflict, match="too late to cancel"):
        await runtime.client.cancel(id)
    assert result_of(await ended(runtime, id)).token_id == "1"


async def test_a_mint_handed_to_another_worker_is_the_same_one(runtime: Runtime, sold: Path) -> None:
    async with working(runtime):
        id = await submitted()
        mint = await signed(runtime, id)
    async with working(runtime):
        job = await ended(runtime, id)
    assert result_of(job).transaction == mint.newest.hash
    assert len(ledger.read(sold, "eth")) == 1


async def test_a_persons_retry_mints_no_second_token(
    runtime: Runtime, worker: WorkerLoop, database: asyncpg.Connection, sold: Path
) -> None:
    """Whatever became of the step: here it counts as failed, so that it is bought anew under its next number."""
    id = await submitted()
    first = result_of(await ended(runtime, id))
    await database.execute("ALTER TABLE jobrunner.jobs DISABLE TRIGGER guard_transition")
    await database.execute("UPDATE jobrunner.jobs SET status = 'failed', result = NULL")
    await database.execute("UPDATE jobrunner.steps SET state = 'failed' WHERE name = 'mint'")
    await database.execute("ALTER TABLE jobrunner.jobs ENABLE TRIGGER guard_transition")
    await runtime.client.retry(id)
    job = await ended(runtime, id)
    steps = {step.name: step.sequence for step in await runtime.client.steps(id)}
    assert (result_of(job), steps["mint"]) == (first, 2)
    assert len(ledger.read(sold, "eth")) == 1
