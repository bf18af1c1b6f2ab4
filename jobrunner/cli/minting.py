"""`mint`: the contract behind the task `mint_nft`."""

import asyncio
import logging
import secrets
from pathlib import Path

import click

from jobrunner.cli.process import Signals, data_dir_option, json_option, run, settings_of
from jobrunner.cli.showing import console, to_json
from jobrunner.errors import TransientError
from jobrunner.events import emit
from jobrunner.observe import observing
from jobrunner.providers.driver import Desk, Failed, Finished
from jobrunner.request import DeployRequest
from jobrunner.runtime import Runtime, opened, resolve
from jobrunner.work import Handle, Intent

_ASK_AGAIN_S = 1.0


@click.group()
def mint() -> None:
    """The contract that NFTs are minted with."""


@mint.command()
@click.option("--name", default="jobrunner collection", show_default=True, help="At most 64 bytes.")
@click.option("--symbol", default="JOB", show_default=True, help="At most 16 bytes.")
@json_option
@data_dir_option
def deploy(name: str, symbol: str, as_json: bool, data_dir: Path | None) -> None:
    """Deploy jobrunner's own ERC-721 contract with the signer in `[mint]`, and wait for its confirmations.

    Only that signer may mint with it, and only once under each mint key.
    """
    request = DeployRequest(name, symbol, secrets.token_hex(32))

    async def program(_signals: Signals) -> None:
        with observing("WARNING"):
            async with opened(resolve(settings_of(data_dir))) as runtime:
                made = (await _deployed(runtime, request)).meta
        if as_json:
            print(to_json(made))
            return
        where = f"chain {made['chain_id']}, block {made['block']}, transaction {made['transaction']}"
        console().print(f'Deployed ({where}). For settings.toml:\n\n[mint]\ncontract = "{made["contract"]}"')

    run(program)


async def _deployed(runtime: Runtime, request: DeployRequest) -> Finished:
    """Raises AttemptError for what the chain or the node will not have."""
    driver = runtime.drivers["ethereum"]
    desk = Desk(runtime.settings.directory, lambda artifact: runtime.artifacts.path(artifact.key))
    plan = driver.prepare("collection", request)
    answer = await driver.submit(Intent(request.key, plan), desk)
    if not isinstance(answer, Handle):
        return answer
    while True:
        try:
            found = await driver.poll(answer)
        except TransientError as error:
            emit("poll.failed", logging.WARNING, provider=driver.name, error=str(error))
        else:
            if isinstance(found, Failed):
                raise found.error
            if isinstance(found, Finished):
                return found
        await asyncio.sleep(_ASK_AGAIN_S)
