"""The tables of the settings: frozen models, their defaults, and what their values may be."""

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import NoDecode


def _words(value: Any) -> Any:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
Days = Annotated[float, Field(gt=0)]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
"""A list of words; in the environment separated by commas."""
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?$")]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
"""Of a contract or an account on Ethereum."""


def _mint_function(value: str) -> str:
    signature = re.fullmatch(r"[A-Za-z_]\w*\(((address|string|bytes32)(,(address|string|bytes32))*)\)", value)
    types = signature[1].split(",") if signature else []
    if "address" not in types or len(set(types)) < len(types):  # each is filled by its type
        raise ValueError("must be like mint(address,string,bytes32): an address, and no type twice")
    return value


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("is no SHA-256 in hex; paste the lines that `jobrunner keys create NAME --scope ...` prints")
    return value


def _origin(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@*]+", value) or value != value.lower():
        raise ValueError("must be an origin as browsers send it, such as https://app.example.com: in full, no path")
    return value


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Http(Table):
    host: str = "127.0.0.1"
    port: Port = 8080
    trust_network: bool = False
    """Without API keys a bind beyond loopback lets everyone who reaches the port in, so it must be said."""
    hosts: Words = ()
    """Names and addresses, no ports, that requests may be for, beside those of loopback. Unset: any, once there are
    keys or the network is trusted; else none."""
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_words)] = ()
    """Origins whose pages may call the API from a browser, with a key of theirs."""
    url_secret: Annotated[SecretStr, Field(min_length=32)] | None = None
    """Signs the URLs that let whoever holds them download one artifact for a while."""
    public_url: Annotated[str, Field(pattern=r"^https?://[^/?#]+(/[^?#]*)?$")] | None = None
    """Where providers reach this API from outside; unset: they are polled, and call nobody."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1_048_576
    max_upload_bytes: Annotated[int, Field(ge=1024)] = 536_870_912


USER_CHARS = 255
Scope = Literal["submit", "read", "operate", "admin"]
SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))


class Key(Table):
    """What an API key may do. One that is bound to a `user_id` sees and touches only what is that user's.

    Kept as a plain SHA-256: a key is 256 random bits, so nobody finds it by trying, and a slow hash, which passwords
    need, would only slow every request down.
    """

    hash: Annotated[str, AfterValidator(_sha256)]
    scopes: Annotated[tuple[Scope, ...], NoDecode, BeforeValidator(_words), Field(min_length=1)]
    user_id: Annotated[str, Field(min_length=1, max_length=USER_CHARS)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    jobs_at_once: Annotated[int, Field(ge=1)] | None = None


def _unlike(keys: Mapping[str, Key]) -> Mapping[str, Key]:
    names: dict[str, str] = {}
    for name, key in keys.items():
        if (other := names.setdefault(key.hash, name)) != name:
            raise ValueError(f"{other} and {name} have the same hash; make a key for each with `jobrunner keys create`")
    return keys


Keys = Annotated[Mapping[str, Key], AfterValidator(_unlike)]


class Worker(Table):
    max_jobs: Annotated[int, Field(ge=1, le=100_000)] = 1000
    queue: Annotated[str, Field(min_length=1, max_length=200)] = "arq:queue"
    drain_s: Annotated[float, Field(ge=0)] = 4.0
    lease_s: Annotated[float, Field(ge=1)] = 30.0
    watchdog_s: Seconds = 60.0
    """A process, also the server's, whose event loop stands still for this long is ended; all stacks are logged."""
    probe_host: str = "127.0.0.1"
    probe_port: Port | None = None
    """Where a worker answers /livez, /readyz, /startupz and /metrics, to everyone who reaches it; unset: nowhere."""


class Artifacts(Table):
    url: Annotated[str, Field(pattern=r"^file://")] | None = None
    """Where files are kept; unset: `artifacts` in the data directory."""


class Retention(Table):
    jobs_days: Days | None = None
    """How long ended jobs are kept, with their steps and files; unset: for good, they are what was paid for."""
    uploads_days: Days = 30.0
    """How long an upload is kept that no unfinished job names."""
    logs_days: Days = 30.0
    """How long the lines are kept that tasks logged."""


class Provider(Table):
    base_url: Annotated[Annotated[str, Field(pattern=r"^https?://")] | None, Field(repr=False)] = None
    """Shown nowhere: an Ethereum node's holds its key."""
    api_key: SecretStr | None = None
    driver: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    """`module:Class` of a driver of your own, under a name of its own."""
    max_connections: Annotated[int, Field(ge=1)] = 1000
    timeout_s: Seconds = 600.0
    """The longest that one request may take; a sync provider draws for minutes."""
    webhook_secret: SecretStr | None = None
    """What the provider signs its webhooks with, where it does not tell us itself."""


class Mint(Table):
    """Who mints NFTs, where, and what it may cost; the node is `providers.ethereum.base_url`."""

    chain_id: Annotated[int, Field(ge=1)] | None = None
    contract: Address | None = None
    function: Annotated[str, AfterValidator(_mint_function)] = "mint(address,string,bytes32)"
    """Filled in by type: address is the recipient, string the token's URI, bytes32 the mint key."""
    signing_key: SecretStr | None = None
    confirmations: Annotated[int, Field(ge=1, le=100)] = 3
    max_fee_gwei: Annotated[float, Field(gt=0)] = 100.0
    max_priority_fee_gwei: Annotated[float, Field(gt=0)] = 3.0
    replace_after_s: Seconds = 180.0

    @property
    def signs(self) -> bool:
        return self.signing_key is not None


class RecordTable(Table):
    """The application's own table: which columns to keep in step. `table` may be schema-qualified."""

    table: Identifier
    id: Identifier = "id"
    status: Identifier | None = "status"
    result_url: Identifier | None = None
    error: Identifier | None = None


class Net(Table):
    allow: Words = ()
    """Private hosts, `host`, `host:port` or CIDR, that URLs named by users or providers may lead to."""


ROUTES: Mapping[str, tuple[str, ...]] = {
    "image": ("replicate:black-forest-labs/flux-schnell", "openai:gpt-image-2"),
    "image_edit": ("openai:gpt-image-2",),
    "text": ("openai:gpt-5.4-mini",),
    "video": ("runway:gen4.5", "replicate:bytedance/seedance-2.0-fast"),
    "speech": ("elevenlabs:eleven_multilingual_v2",),
    "music": ("elevenlabs:music_v1",),
    "sound": ("elevenlabs:eleven_text_to_sound_v2",),
    "lipsync": ("sync:lipsync-2", "fal:fal-ai/sync-lipsync/v2"),
    "pin": ("pinata:public",),
    "mint": ("ethereum:collection",),
}
"""Which provider and model makes what; a route that settings name replaces the one here."""


def _routes(named: Any) -> Any:
    return {**ROUTES, **named} if isinstance(named, Mapping) else named


Routes = Annotated[Mapping[str, Words], BeforeValidator(_routes)]


class Webhooks(Table):
    """Who is told how jobs ended. `secret` signs what we send; `urls` hear of jobs that name no webhook themselves."""

    urls: Words = ()
    secret: SecretStr | None = None

    @field_validator("secret")
    @classmethod
    def _signs(cls, secret: SecretStr | None) -> SecretStr | None:
        """A Standard Webhooks secret: `whsec_` and 24 to 64 bytes in base64."""
        if secret is not None:
            prefix, mark, key = secret.get_secret_value().partition("whsec_")
            try:
                long_enough = 24 <= len(base64.b64decode(key, validate=True)) <= 64  # noqa: PLR2004
            except ValueError:
                long_enough = False
            if prefix or not mark or not long_enough:
                raise ValueError(
                    'must read whsec_... with 24 to 64 bytes in base64: echo "whsec_$(openssl rand -base64 32)"'
                )
        return secret
