"""All settings, read once into one frozen tree. The only reader of settings.toml and of the environment.

Order, later wins: defaults, `settings.toml` (or the file that JOBRUNNER_SETTINGS names), then environment variables
`JOBRUNNER_<KEY>`, nested with `__`: `JOBRUNNER_WORKER__MAX_JOBS=200`. A key that does not exist stops the start.
"""

import base64
import difflib
import os
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from jobrunner.errors import ConfigError

PREFIX = "JOBRUNNER_"
NESTED = "__"
DEFAULT_FILE = Path("settings.toml")
NOT_SETTINGS = frozenset({"JOBRUNNER_SETTINGS", "JOBRUNNER_FAILPOINT"})


def _words(value: Any) -> Any:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
Days = Annotated[float, Field(gt=0)]
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


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Http(_Table):
    host: str = "127.0.0.1"
    port: Port = 8080
    trust_network: bool = False
    """There are no API keys yet: a bind beyond loopback lets everyone who reaches the port in, so it must be said."""
    public_url: Annotated[str, Field(pattern=r"^https?://[^/?#]+(/[^?#]*)?$")] | None = None
    """Where providers reach this API from outside; unset: they are polled, and call nobody."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1_048_576
    max_upload_bytes: Annotated[int, Field(ge=1024)] = 536_870_912


class Worker(_Table):
    max_jobs: Annotated[int, Field(ge=1, le=100_000)] = 1000
    queue: Annotated[str, Field(min_length=1, max_length=200)] = "arq:queue"
    drain_s: Annotated[float, Field(ge=0)] = 8.0
    lease_s: Annotated[float, Field(ge=1)] = 30.0
    watchdog_s: Seconds = 60.0
    """A process, also the server's, whose event loop stands still for this long is ended; all stacks are logged."""


class Artifacts(_Table):
    url: Annotated[str, Field(pattern=r"^file://")] | None = None
    """Where files are kept; unset: `artifacts` in the data directory."""


class Retention(_Table):
    jobs_days: Days | None = None
    """How long ended jobs are kept, with their steps and files; unset: for good, they are what was paid for."""
    uploads_days: Days = 30.0
    """How long an upload is kept that no unfinished job names."""


class Provider(_Table):
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


class Mint(_Table):
    """Who mints NFTs, where, and what it may cost; the node is `providers.ethereum.base_url`."""

    chain_id: Annotated[int, Field(ge=1)] | None = None
    contract: Address | None = None
    function: Annotated[str, AfterValidator(_mint_function)] = "mint(address,string,bytes32)"
    """Filled in by type: address is the recipient, string the token's URI, bytes32 the mint key."""
    signing_key: SecretStr | None = None
    signing_key_file: Path | None = None
    """Outranks `signing_key`."""
    confirmations: Annotated[int, Field(ge=1, le=100)] = 3
    max_fee_gwei: Annotated[float, Field(gt=0)] = 100.0
    max_priority_fee_gwei: Annotated[float, Field(gt=0)] = 3.0
    replace_after_s: Seconds = 180.0

    @property
    def signs(self) -> bool:
        return self.signing_key is not None or self.signing_key_file is not None


class RecordTable(_Table):
    """The application's own table: which columns to keep in step. `table` may be schema-qualified."""

    table: Identifier
    id: Identifier = "id"
    status: Identifier | None = "status"
    result_url: Identifier | None = None
    error: Identifier | None = None


class Net(_Table):
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


class Webhooks(_Table):
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


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        env_ignore_empty=True,  # compose passes unset keys on as empty ones
    )

    database_url: SecretStr | None = None
    database_pool_size: Annotated[int, Field(ge=2, le=200)] = 10
    redis_url: SecretStr | None = None
    data_dir: Path = Path("~/.local/share/jobrunner")
    task_modules: Words = (
        "jobrunner.tasks.image",
        "jobrunner.tasks.video",
        "jobrunner.tasks.audio",
        "jobrunner.tasks.lipsync",
        "jobrunner.tasks.ai",
        "jobrunner.tasks.merge",
        "jobrunner.tasks.blockchain",
    )
    http: Http = Http()
    worker: Worker = Worker()
    artifacts: Artifacts = Artifacts()
    mint: Mint = Mint()
    retention: Retention = Retention()
    providers: Mapping[str, Provider] = {}
    routes: Annotated[Mapping[str, Words], BeforeValidator(_routes)] = ROUTES
    record_tables: Mapping[str, RecordTable] = {}
    net: Net = Net()
    webhooks: Webhooks = Webhooks()

    @property
    def directory(self) -> Path:
        return self.data_dir.expanduser().resolve()

    @property
    def artifact_dir(self) -> Path:
        url = self.artifacts.url
        return self.directory / "artifacts" if url is None else Path(url.removeprefix("file://"))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic-settings' signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = InitSettingsSource(settings_cls, init_kwargs=_read_file())
        return init_settings, env_settings, file


def load(**overrides: Any) -> Settings:
    """Read file and environment; `overrides` win over both. Raises ConfigError naming the key and the remedy."""
    _check_environment(os.environ)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(error))) from None
    except SettingsError as error:
        raise ConfigError(
            f"{error}: a whole table in one environment variable is JSON. One variable a key is easier: "
            "JOBRUNNER_WORKER__MAX_JOBS=200."
        ) from None


def revealed(settings: Settings) -> dict[str, Any]:
    """All of it as JSON values, secrets in clear: what `load(**values)` in a child process makes the same of."""
    values: dict[str, Any] = orjson.loads(orjson.dumps(settings.model_dump(), default=_reveal))
    return values


def _reveal(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _read_file() -> dict[str, Any]:
    named = os.environ.get("JOBRUNNER_SETTINGS")
    path = Path(named) if named else DEFAULT_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named:
            raise ConfigError(f"JOBRUNNER_SETTINGS names {path}, and there is no such file.") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None


def _check_environment(environ: Mapping[str, str]) -> None:
    """pydantic-settings ignores a misspelt prefixed variable silently; a job runner must not."""
    problems = [
        f"environment variable {name}: there is no setting `{bad}`{_nearest(bad, known)}"
        for name in sorted(environ)
        if name.upper().startswith(PREFIX) and name not in NOT_SETTINGS
        for bad, known in _unknown_part(Settings, name[len(PREFIX) :].lower().split(NESTED))
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def _unknown_part(model: type[BaseModel], path: list[str], at: str = "") -> Iterator[tuple[str, list[str]]]:
    """The first part of `path` that is no key of `model`, with the keys there are."""
    head, *rest = path
    if head not in model.model_fields:
        yield f"{at}{head}", [f"{at}{known}" for known in model.model_fields]
        return
    inner, free_keys = _inner_model(model.model_fields[head].annotation)
    place = f"{at}{head}"
    if free_keys and rest:
        place, rest = f"{place}.{rest[0]}", rest[1:]
    if inner is not None and rest:
        yield from _unknown_part(inner, rest, f"{place}.")
    elif rest:
        yield f"{place}.{rest[0]}", [place]


def _inner_model(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model below a field, and whether free keys (`providers.NAME`) come first."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    if typing.get_origin(annotation) is Mapping or "Mapping" in str(typing.get_origin(annotation)):
        value = typing.get_args(annotation)[1]
        return (value if isinstance(value, type) and issubclass(value, BaseModel) else None), True
    return None, False


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean `{near[0]}`?" if near else f"; known: {', '.join(sorted(known))}."


def _explain(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False):
        path = [str(part) for part in each["loc"]]
        key = ".".join(path)
        if each["type"] == "extra_forbidden":
            found = next(_unknown_part(Settings, path), None)
            yield f"setting `{key}` does not exist{_nearest(*found) if found else ''}"
        elif each["type"] == "missing":
            yield f"setting `{key}` is missing, and has no default."
        else:
            yield f"setting `{key}` = {_shown(path, each['input'])}: {each['msg']}"


def _shown(path: list[str], value: Any) -> str:
    secret = any(word in part for part in path for word in ("key", "secret", "password", "_url"))
    holds_secrets = path == ["mint"] or (path[0] == "providers" and len(path) < len(("providers", "NAME", "key")))
    return "'**********'" if secret or holds_secrets else repr(value)[:200]
