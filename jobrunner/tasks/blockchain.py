"""NFTs: a picture, clip or sound and its metadata on IPFS, and an ERC-721 token that points there."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from jobrunner.declare import TaskContext, task
from jobrunner.job import Backoff
from jobrunner.request import MintRequest, PinRequest
from jobrunner.tasks.params import Name, Params, Source
from jobrunner.work import Artifact

Address = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^0x[0-9a-fA-F]{40}$")]
"""An account or a contract; capital letters, where there are any, are its checksum."""


class Attribute(BaseModel):
    """A trait as marketplaces show it; `display_type` is number, date, boost_number, ..."""

    model_config = ConfigDict(extra="forbid")

    trait_type: Name
    value: str | int | float
    display_type: Name | None = None


class Mint(Params):
    """`asset` is a picture, clip or sound; `to` will own the token.

    `collection` is the contract's address, for a caller who wants to be sure which one it is.
    """

    asset: Source
    name: Name
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=8000)] = ""
    attributes: Annotated[tuple[Attribute, ...], Field(max_length=100)] = ()
    to: Address
    collection: Address | None = None

    def metadata(self, asset: Artifact, uri: str) -> dict[str, Any]:
        """ERC-721's metadata; `animation_url` is where marketplaces look for what moves or sounds."""
        shown = {"image": uri} if asset.kind == "image" else {"image": uri, "animation_url": uri}
        attributes = [each.model_dump(exclude_none=True) for each in self.attributes]
        return {"name": self.name, "description": self.description, "attributes": attributes, **shown}


class MintResult(BaseModel):
    """`token_id` is a decimal string of up to 78 digits. `url`, what the row shows as `nft_url`, is the token's URI.

    `transaction` and `block` are null where the token was found on the chain, minted by an earlier try.
    """

    url: str
    token_id: str
    owner: str
    contract: str
    chain_id: int
    transaction: str | None = None
    block: int | None = None
    token_uri: str
    asset_uri: str
    standard: Literal["ERC-721"] = "ERC-721"


@task(module="blockchain", timeout=timedelta(hours=6), soft_timeout=timedelta(hours=5), retries=8, backoff=Backoff())
async def mint_nft(ctx: TaskContext, params: Mint) -> MintResult:
    """An NFT: asset and metadata pinned, the token minted once. Too late to cancel once its transaction is signed."""
    asset = await ctx.input(params.asset, kind=None)
    asset_uri = await _pinned(ctx, f"{params.name} ({asset.kind})", asset, step="pin.asset")
    ctx.progress(0.2, "asset pinned")
    metadata = params.metadata(asset, asset_uri)
    token_uri = await _pinned(ctx, f"{params.name} (metadata)", metadata, step="pin.metadata")
    ctx.progress(0.3, "metadata pinned")
    request = MintRequest(params.to, token_uri, ctx.job.id, contract=params.collection)
    minted = await ctx.generate(request, step="mint")
    return MintResult.model_validate({**minted.meta, "url": token_uri, "token_uri": token_uri, "asset_uri": asset_uri})


async def _pinned(ctx: TaskContext, name: str, content: Artifact | dict[str, Any], *, step: str) -> str:
    """Its URI: ipfs://CID."""
    made = await ctx.generate(PinRequest(name, content), step=step)
    return str(made.meta["uri"])
