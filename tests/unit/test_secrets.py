"""Secrets in files: what an operator mounts is read, what does not fit is told, and what it holds is never shown."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from jobrunner.errors import ConfigError
from jobrunner.settings import Settings, load
from jobrunner.settings.tree import inner_model, secrets_of
from tests.unit.test_settings import Write, bare, write

__all__ = ["bare", "write"]

CANARY = "hunter2-canary"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{CANARY}\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def every_secret() -> list[str]:
    """As paths, each with names in place of free keys."""

    def below(model: type[BaseModel], at: str) -> list[str]:
        found = [f"{at}{name}" for name in secrets_of(model)]
        for name, field in model.model_fields.items():
            inner, free_keys = inner_model(field.annotation)
            if inner is not None:
                found += below(inner, f"{at}{name}.free." if free_keys else f"{at}{name}.")
        return found

    return below(Settings, "")


def variable(path: str) -> str:
    return f"JOBRUNNER_{path.replace('.', '__').upper()}"


def valid(path: str) -> str:
    """A value that this setting takes."""
    words = {
        "database_url": f"postgresql://u:{CANARY}@h/d",
        "redis_url": f"rediss://:{CANARY}@h",
        "webhooks.secret": "whsec_" + "A" * 32,
        "http.url_secret": CANARY * 3,
    }
    return words.get(path, CANARY)


def read(settings: Settings, path: str) -> Any:
    value: Any = settings
    for part in path.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    assert isinstance(value, SecretStr)
    return value.get_secret_value()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("path", every_secret())
def test_every_secret_may_stand_in_a_file_that_the_environment_names(
    path: str, end: str, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret.write_bytes(f"{valid(path)}{end}".encode())
    monkeypatch.setenv(f"{variable(path)}_FILE", str(secret))
    assert read(load(), path) == valid(path)


def test_the_secrets_are_found() -> None:
    known = {"database_url", "redis_url", "mint.signing_key", "webhooks.secret", "providers.free.api_key"}
    assert known | {"providers.free.webhook_secret"} <= set(every_secret())


def test_settings_toml_names_files_too_and_the_environment_wins(
    write: Write, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(f'[providers.openai]\napi_key_file = "{secret}"\n[providers.fal]\napi_key_file = "gone"\n')
    monkeypatch.setenv("JOBRUNNER_PROVIDERS", f'{{"luma": {{"api_key_file": "{secret}"}}}}')
    with pytest.raises(ConfigError, match=r"setting `providers\.fal\.api_key_file`: gone cannot be read"):
        load()
    write(f'[providers.openai]\napi_key_file = "{secret}"\n[providers.fal]\napi_key = "in the file"\n')
    monkeypatch.setenv("JOBRUNNER_PROVIDERS__FAL__API_KEY_FILE", str(secret))
    providers = load().providers
    assert {name: read(load(), f"providers.{name}.api_key") for name in providers} == dict.fromkeys(
        ("openai", "fal", "luma"), CANARY
    )


def test_a_caller_s_own_word_wins_over_files(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBRUNNER_REDIS_URL_FILE", str(secret))
    assert read(load(redis_url="redis://own"), "redis_url") == "redis://own"


def test_a_secret_given_twice_stops_the_start(write: Write, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(f'database_url = "postgresql://u:{CANARY}@h/d"\ndatabase_url_file = "{secret}"\n')
    with pytest.raises(ConfigError, match="`database_url` and setting `database_url_file` are both given") as refused:
        load()
    assert CANARY not in str(refused.value)
    write("")
    monkeypatch.setenv("JOBRUNNER_PROVIDERS__REPLICATE__API_KEY", CANARY)
    monkeypatch.setenv("JOBRUNNER_PROVIDERS__REPLICATE__API_KEY_FILE", str(secret))
    both = r"JOBRUNNER_PROVIDERS__REPLICATE__API_KEY and .* JOBRUNNER_PROVIDERS__REPLICATE__API_KEY_FILE are both"
    with pytest.raises(ConfigError, match=both) as refused:
        load()
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (None, 0, "cannot be read: No such file or directory"),
        (b"", 0o600, "is empty"),
        (b"\n", 0o600, "is empty"),
        (b"canary\xff", 0o600, "holds no UTF-8 text"),
        (b"canary", 0o604, "everyone can get at .*; `chmod 600 "),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_setting_and_path(
    content: bytes | None, mode: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "minter"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    monkeypatch.setenv("JOBRUNNER_MINT__SIGNING_KEY_FILE", str(path))
    with pytest.raises(ConfigError, match=f"JOBRUNNER_MINT__SIGNING_KEY_FILE: {path} {says}|{says}") as refused:
        load()
    assert str(path) in str(refused.value)
    assert "JOBRUNNER_MINT__SIGNING_KEY_FILE" in str(refused.value)
    assert "canary" not in str(refused.value).replace(str(path), "")


def test_a_secret_that_does_not_fit_is_not_shown(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBRUNNER_WEBHOOKS__SECRET_FILE", str(secret))
    with pytest.raises(ConfigError, match=r"`webhooks\.secret`.*must read whsec_") as refused:
        load()
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("name", ["WORKER__LEASE_S", "HTTP__HOST", "DATABASE_POOL_SIZE"])
def test_only_secrets_have_files(name: str, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"JOBRUNNER_{name}_FILE", str(secret))
    with pytest.raises(ConfigError, match="there is no setting `"):
        load()
