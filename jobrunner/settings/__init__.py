"""All settings, read once into one frozen tree. The only reader of settings.toml and of the environment.

Order, later wins: defaults, `settings.toml` (or the file that JOBRUNNER_SETTINGS names), then environment variables
`JOBRUNNER_<KEY>`, nested with `__`: `JOBRUNNER_WORKER__MAX_JOBS=200`. A key that does not exist stops the start.
Every secret may stand in a file instead, which `<key>_file` names: `JOBRUNNER_DATABASE_URL_FILE=/run/secrets/database`.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from jobrunner.errors import ConfigError
from jobrunner.settings.secrets import with_files
from jobrunner.settings.servers import PostgresUrl, RedisUrl
from jobrunner.settings.tables import (
    ROUTES,
    Artifacts,
    Http,
    Keys,
    LogLevel,
    Mint,
    Net,
    Provider,
    RecordTable,
    Retention,
    Routes,
    Webhooks,
    Words,
    Worker,
)
from jobrunner.settings.tree import FILE, nearest, secrets_of, unknown_part

PREFIX = "JOBRUNNER_"
NESTED = "__"
DEFAULT_FILE = Path("settings.toml")
NOT_SETTINGS = frozenset({"JOBRUNNER_SETTINGS", "JOBRUNNER_FAILPOINT"})


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        env_ignore_empty=True,  # compose passes unset keys on as empty ones
    )

    database_url: PostgresUrl | None = None
    database_pool_size: Annotated[int, Field(ge=2, le=200)] = 10
    redis_url: RedisUrl | None = None
    log_level: LogLevel = "INFO"
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
    keys: Keys = {}
    worker: Worker = Worker()
    artifacts: Artifacts = Artifacts()
    mint: Mint = Mint()
    retention: Retention = Retention()
    providers: Mapping[str, Provider] = {}
    routes: Routes = ROUTES
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
        said = (
            (init_settings(), _as_key),
            (_said_by_environment(env_settings), _as_variable),
            (_read_file(), _as_key),
        )
        return tuple(
            InitSettingsSource(settings_cls, init_kwargs=with_files(each, settings_cls, naming))
            for each, naming in said
        )


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


def _said_by_environment(source: PydanticBaseSettingsSource) -> dict[str, Any]:
    """pydantic-settings looks only for the names of fields, and so for no `name_file` beside them."""
    variables = source.env_vars if isinstance(source, EnvSettingsSource) else {}
    names = [f"{name}{FILE}" for name in secrets_of(Settings)]
    files = {name: variables.get(f"{PREFIX}{name}".lower()) for name in names}
    return {**source(), **{name: path for name, path in files.items() if path}}


def _as_key(path: str) -> str:
    return f"setting `{path}`"


def _as_variable(path: str) -> str:
    return f"environment variable {PREFIX}{path.replace('.', NESTED).upper()}"


def _check_environment(environ: Mapping[str, str]) -> None:
    """pydantic-settings ignores a misspelt prefixed variable silently; a job runner must not."""
    problems = [
        f"environment variable {name}: there is no setting `{bad}`{nearest(bad, known)}"
        for name in sorted(environ)
        if name.upper().startswith(PREFIX) and name not in NOT_SETTINGS
        for bad, known in unknown_part(Settings, name[len(PREFIX) :].lower().split(NESTED))
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def _explain(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False):
        path = [str(part) for part in each["loc"]]
        key = ".".join(path)
        if each["type"] == "extra_forbidden":
            found = next(unknown_part(Settings, path), None)
            yield f"setting `{key}` does not exist{nearest(*found) if found else ''}"
        elif each["type"] == "missing":
            yield f"setting `{key}` is missing, and has no default."
        else:
            yield f"setting `{key}` = {_shown(path, each['input'])}: {each['msg']}"


def _shown(path: list[str], value: Any) -> str:
    secret = any(word in part for part in path for word in ("key", "secret", "password", "_url"))
    holds_secrets = path == ["mint"] or (path[0] == "providers" and len(path) < len(("providers", "NAME", "key")))
    return "'**********'" if secret or holds_secrets else repr(value)[:200]
