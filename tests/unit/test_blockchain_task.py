"""The mint task: what its params allow, what it pins and mints in which order, and what it answers."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from jobrunner.errors import InvalidParams
from jobrunner.job import Job, Status
from jobrunner.request import MintRequest, PinRequest, Request
from jobrunner.tasks.blockchain import MintResult, mint_nft
from jobrunner.work import Artifact, Generated, Kind
from tests.context import NoContext

NOW = datetime(2026, 11, 23, tzinfo=UTC)
JOB = Job(UUID(int=7), "mint_nft", "blockchain", Status.IN_PROGRESS, {}, "q", NOW, NOW, NOW, 3, 1, 0, 0)
TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
MINTED = {"token_id": "1" * 78, "owner": TO.lower(), "contract": "0x" + "2" * 40, "chain_id": 1, "transaction": "0xabc"}
ASKED = {"asset": str(UUID(int=1)), "name": "A kite", "to": TO, "user_id": "u1"}


class Context(NoContext):
    """A task's context with one file to give, that pins and mints without a chain."""

    def __init__(self, kind: Kind) -> None:
        self.file = Artifact(UUID(int=1), None, kind, f"{kind}/x", 9, "00", "01/a", None, None)
        self.ordered: dict[str, Request] = {}

    @property
    def job(self) -> Job:
        return JOB

    async def generate(self, request: Request, *, step: str = "generate") -> Generated:
        self.ordered[step] = request
        meta = MINTED | {"block": 5} if isinstance(request, MintRequest) else {"uri": f"ipfs://{step}"}
        return Generated((), None, meta, None)

    async def input(self, source: str, *, kind: Kind | None) -> Artifact:
        assert (source, kind) == (ASKED["asset"], None)
        return self.file

    def progress(self, fraction: float, note: str = "") -> None:
        pass


async def run(context: Context, **changes: Any) -> MintResult:
    result = await mint_nft(context, mint_nft.validate(ASKED | changes))
    assert isinstance(result, MintResult)
    return result


def metadata(context: Context) -> Any:
    pinned = context.ordered["pin.metadata"]
    assert isinstance(pinned, PinRequest)
    return pinned.content


async def test_asset_and_metadata_are_pinned_before_the_token_points_there() -> None:
    context = Context("image")
    result = await run(context, description="Red.", attributes=[{"trait_type": "colour", "value": "red"}])
    assert list(context.ordered) == ["pin.asset", "pin.metadata", "mint"]
    assert context.ordered["pin.asset"] == PinRequest("A kite (image)", context.file)
    assert metadata(context) == {
        "name": "A kite",
        "description": "Red.",
        "attributes": [{"trait_type": "colour", "value": "red"}],
        "image": "ipfs://pin.asset",
    }
    assert context.ordered["mint"] == MintRequest(TO, "ipfs://pin.metadata", JOB.id)
    assert result.token_id == "1" * 78
    assert (result.url, result.token_uri, result.asset_uri) == (
        "ipfs://pin.metadata",
        "ipfs://pin.metadata",
        "ipfs://pin.asset",
    )


@pytest.mark.parametrize("kind", ["video", "audio"])
async def test_what_moves_or_sounds_has_an_animation_url(kind: Kind) -> None:
    context = Context(kind)
    await run(context)
    assert metadata(context)["animation_url"] == metadata(context)["image"] == "ipfs://pin.asset"


async def test_a_named_collection_goes_into_the_order() -> None:
    context = Context("image")
    await run(context, collection=MINTED["contract"])
    assert context.ordered["mint"] == MintRequest(TO, "ipfs://pin.metadata", JOB.id, contract=str(MINTED["contract"]))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"to": "vitalik.eth"}, "params.to"),
        ({"to": TO[:-1]}, "params.to"),
        ({"collection": "0x0"}, "params.collection"),
        ({"asset": "a file"}, "params.asset"),
        ({"name": ""}, "params.name"),
        ({"attributes": [{"trait_type": "a", "value": [1]}]}, "params.attributes.0.value"),
        ({"attributes": [{"value": 1}]}, "params.attributes.0.trait_type"),
    ],
)
def test_what_cannot_be_minted_is_refused_at_once(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidParams) as error:
        mint_nft.validate(ASKED | changes)
    assert error.value.errors[0]["path"].startswith(path)
