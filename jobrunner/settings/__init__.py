"""All settings, read once into one frozen tree. The only reader of settings.toml and of the environment.

Order, later wins: defaults, `settings.toml` (or the file that JOBRUNNER_SETTINGS names), then environment variables
`JOBRUNNER_<KEY>`, nested with `__`: `JOBRUNNER_WORKER__MAX_JOBS=200`. A key that does not exist stops the start.
"""

import difflib
import os
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from jobrunner.errors import ConfigError
from jobrunner.settings.tables import (
    ROUTES,
    Artifacts,
    Http,
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
