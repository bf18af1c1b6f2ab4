"""What an operator is promised of settings.toml and the environment."""

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, ValidationError

from jobrunner.errors import ConfigError
from jobrunner.runtime import DRIVERS
from jobrunner.settings import Settings, load, revealed
from jobrunner.settings.tables import ROUTES, Http, Key, Mint, Net, Provider, RecordTable, Retention, Webhooks, Worker

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "settings.example.toml"
TABLES: Mapping[str, type[BaseModel]] = {
    "": Settings,
    "http.": Http,
    "keys.web.": Key,
    "worker.": Worker,
    "retention.": Retention,
    "mint.": Mint,
    "net.": Net,
    "webhooks.": Webhooks,
    **{f"providers.{name}.": Provider for name in (*DRIVERS, "easel")},
    "record_tables.image.": RecordTable,
}
HASH = "0" * 64
SIGNING_BY_SECRET = {"replicate", "openai", "sync"}
"""The providers whose webhooks are told by a secret; the others publish a key, sign nothing, or send none."""

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings.toml here, and no variable of ours in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith("JOBRUNNER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "named.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("JOBRUNNER_SETTINGS", str(path))
        return path

    return write


def uncommented(text: str) -> str:
    """The example with each commented-out setting and table switched on; prose stays a comment."""
    return re.sub(r"^# (?=(\w+ = |\[[\w.]+\]$))", "", text, flags=re.MULTILINE)


def key_paths(table: Mapping[str, Any], at: str = "") -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from key_paths(value, f"{at}{key}.")
        else:
            yield f"{at}{key}"


def test_the_example_says_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = load()
    monkeypatch.setenv("JOBRUNNER_SETTINGS", str(EXAMPLE))
    example = load()
    assert example.model_copy(update={"providers": {}}) == defaults
    assert {name: Provider() for name in example.providers} == example.providers


def test_the_example_names_every_setting_and_loads_uncommented(write: Write) -> None:
    text = uncommented(EXAMPLE.read_text(encoding="utf-8"))
    write(text)
    load()
    free_or_nested = {at.rstrip(".") for at in TABLES if at.count(".") == 1}
    free_or_nested |= {"artifacts", "keys", "providers", "routes", "record_tables"}
    built_in = {f"providers.{name}.driver" for name in DRIVERS}
    telling = {f"providers.{name}.webhook_secret" for name in (*DRIVERS, "easel") if name not in SIGNING_BY_SECRET}
    wanted = {at + key for at, model in TABLES.items() for key in model.model_fields}
    wanted -= free_or_nested | built_in | telling
    routed = {f"routes.{route}" for route in Settings.model_fields["routes"].default}
    assert wanted | {"artifacts.url"} | routed == set(key_paths(tomllib.loads(text)))


def test_settings_toml_in_the_working_directory_is_read_unasked(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[worker]\nmax_jobs = 7\n", encoding="utf-8")
    assert load().worker.max_jobs == 7


def test_later_sources_win_key_by_key(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write('[worker]\nmax_jobs = 7\nlease_s = 9\n[routes]\nvideo = ["a:b"]\nimage = ["c:d"]\n')
    monkeypatch.setenv("JOBRUNNER_WORKER__LEASE_S", "3")
    monkeypatch.setenv("JOBRUNNER_ROUTES__IMAGE", "e:f")
    settings = load(database_pool_size=4)
    assert settings.worker == Worker(max_jobs=7, lease_s=3)
    assert settings.routes == {**ROUTES, "video": ("a:b",), "image": ("e:f",)}
    assert settings.database_pool_size == 4


@pytest.mark.parametrize(
    ("variable", "value", "read", "expected"),
    [
        ("WORKER__MAX_JOBS", "200", lambda s: s.worker.max_jobs, 200),
        ("HTTP__TRUST_NETWORK", "true", lambda s: s.http.trust_network, True),
        ("TASK_MODULES", "a.b, c.d,", lambda s: s.task_modules, ("a.b", "c.d")),
        ("NET__ALLOW", "minio:9000,10.0.0.0/8", lambda s: s.net.allow, ("minio:9000", "10.0.0.0/8")),
        ("ROUTES__VIDEO", "a:b,c:d", lambda s: s.routes["video"], ("a:b", "c:d")),
        ("PROVIDERS__OPENAI__API_KEY", "sk", lambda s: s.providers["openai"].api_key.get_secret_value(), "sk"),
        ("RECORD_TABLES__IMAGE__TABLE", "app.images", lambda s: s.record_tables["image"].table, "app.images"),
        ("WORKER", '{"max_jobs": 3}', lambda s: s.worker.max_jobs, 3),
    ],
)
def test_the_environment_reaches_every_depth(
    variable: str, value: str, read: Callable[[Settings], object], expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"JOBRUNNER_{variable}", value)
    assert read(load()) == expected


def test_a_child_process_is_handed_all_of_it(write: Write) -> None:
    file = write('[providers.fal]\napi_key = "k"\n[routes]\nimage = ["a:b"]\n[record_tables.image]\ntable = "t"\n')
    settings = load(database_url="postgresql://u:secret@h/d", data_dir="~/here")
    file.write_text("", encoding="utf-8")
    assert load(**orjson.loads(orjson.dumps(revealed(settings)))) == settings


def test_an_empty_variable_is_an_unset_one(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("[worker]\nmax_jobs = 7\n")
    for name in ("DATABASE_URL", "WORKER__MAX_JOBS", "PROVIDERS__OPENAI__API_KEY", "TASK_MODULES"):
        monkeypatch.setenv(f"JOBRUNNER_{name}", "")
    settings = load()
    assert settings.worker.max_jobs == 7
    assert (settings.database_url, settings.providers) == (None, {})
    assert settings.task_modules


@pytest.mark.parametrize(
    ("text", "bad", "near"),
    [
        ("databse_url = 'x'", "databse_url", "database_url"),
        ("[worker]\nmax_job = 1", "worker.max_job", "worker.max_jobs"),
        ("[providers.openai]\napikey = 'x'", "providers.openai.apikey", "providers.openai.api_key"),
        ("[record_tables.image]\ntable = 'a'\nresult = 'b'", "record_tables.image.result", "record_tables.image."),
    ],
)
def test_an_unknown_key_in_the_file_is_told_with_the_nearest(text: str, bad: str, near: str, write: Write) -> None:
    write(text)
    with pytest.raises(ConfigError, match=f"`{re.escape(bad)}` does not exist; did you mean `{re.escape(near)}"):
        load()


@pytest.mark.parametrize(
    ("variable", "bad", "near"),
    [
        ("JOBRUNNER_WROKER__MAX_JOBS", "wroker", "worker"),
        ("jobrunner_wroker__max_jobs", "wroker", "worker"),
        ("JOBRUNNER_WORKER__MAX_JOB", "worker.max_job", "worker.max_jobs"),
        ("JOBRUNNER_WORKER__MAX_JOBS__X", "worker.max_jobs.x", "worker.max_jobs"),
        ("JOBRUNNER_DATABASE_URL__HOST", "database_url.host", "database_url"),
        ("JOBRUNNER_PROVIDERS__OPENAI__APIKEY", "providers.openai.apikey", "providers.openai.api_key"),
    ],
)
def test_an_unknown_variable_is_told_with_the_nearest(
    variable: str, bad: str, near: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ConfigError, match=rf"{variable}: there is no setting `{bad}`; did you mean `{near}`\?"):
        load()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[worker]\nmax_jobs = 0", "setting `worker.max_jobs` = 0: Input should be greater than"),
        ("[http]\nport = 'www'", "setting `http.port` = 'www': "),
        ("[artifacts]\nurl = 's3://b'", "setting `artifacts.url` = 's3://b': "),
        ("[record_tables.image]\ntable = 'a; drop'", "setting `record_tables.image.table` = 'a; drop': "),
        ("[record_tables.image]\nid = 'a'", "setting `record_tables.image.table` is missing"),
        ("[http]\ncors_origins = ['*']", "setting `http.cors_origins.0` = '*': Value error, must be an origin"),
        (
            "[keys.web]\nhash = 'jr_'\nscopes = ['read']",
            "setting `keys.web.hash` = '**********': Value error, is no SHA-256",
        ),
        (f"[keys.web]\nhash = '{HASH}'\nscopes = []", "setting `keys.web.scopes` = "),
        (f"[keys.web]\nhash = '{HASH}'\nscopes = ['reed']", "Input should be 'submit', 'read', 'operate' or 'admin'"),
        (
            "".join(f"[keys.{name}]\nhash = '{HASH}'\nscopes = ['read']\n" for name in "ab"),
            "a and b have the same hash",
        ),
        ("net = [", "cannot be read as TOML"),
    ],
)
def test_a_wrong_value_is_told_with_its_key(text: str, says: str, write: Write) -> None:
    write(text)
    with pytest.raises(ConfigError, match=re.escape(says)):
        load()


def test_a_named_file_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBRUNNER_SETTINGS", "gone.toml")
    with pytest.raises(ConfigError, match=r"names gone\.toml, and there is no such file"):
        load()


@pytest.mark.parametrize(
    "text",
    [
        "database_url = ['hunter2']",
        "[redis_url]\nhunter2 = 1",
        "providers = 'hunter2'",
        "[providers]\nopenai = 'hunter2'",
        "[[providers.openai]]\napi_key = 'hunter2'",
        "[providers.openai]\napi_key = ['hunter2']",
        "[providers.ethereum]\nbase_url = 'wss://node.example/v3/hunter2'",
        "mint = 'hunter2'",
        "[keys.web]\nhash = 'jr_hunter2'\nscopes = ['read']",
        "[http]\nurl_secret = 'hunter2'",
        "[mint]\nsigning_key = ['hunter2']",
    ],
)
def test_a_refusal_shows_no_secret(text: str, write: Write) -> None:
    write(text)
    with pytest.raises(ConfigError) as refused:
        load()
    assert "hunter2" not in str(refused.value)
    assert "'**********'" in str(refused.value)


def test_broken_json_in_a_variable_is_told_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBRUNNER_PROVIDERS", '{"openai": {"api_key": "hunter2')
    with pytest.raises(ConfigError, match=r'"providers".*JSON') as refused:
        load()
    assert "hunter2" not in str(refused.value)


def test_what_was_read_neither_shows_its_secrets_nor_changes() -> None:
    settings = load(
        database_url="postgres://u:hunter2@h/d",
        providers={"openai": {"api_key": "hunter2"}},
        mint={"signing_key": "hunter2", "chain_id": 1},
    )
    assert "hunter2" not in repr(settings) + str(settings.model_dump())
    assert "hunter2" not in repr(load(providers={"ethereum": {"base_url": "https://node.example/v3/hunter2"}}))
    with pytest.raises(ValidationError, match="frozen"):
        settings.database_pool_size = 3  # type: ignore[misc]  # what is tested
    with pytest.raises(ValidationError, match="frozen"):
        settings.worker.max_jobs = 3  # type: ignore[misc]  # what is tested


def test_artifacts_live_in_the_data_directory_unless_told_otherwise(tmp_path: Path) -> None:
    assert load(data_dir=tmp_path).artifact_dir == tmp_path / "artifacts"
    assert load(artifacts={"url": "file:///srv/files"}).artifact_dir == Path("/srv/files")
    assert load().directory.is_absolute()


@pytest.mark.parametrize(
    "function",
    ["mint", "mint()", "mint(string,bytes32)", "mint(address,address)", "mint(address,uint256)", "mint(address,)"],
)
def test_a_mint_function_that_cannot_be_filled_in_stops_the_start(function: str) -> None:
    with pytest.raises(ConfigError, match=r"setting `mint\.function`.*mint\(address,string,bytes32\)"):
        load(mint={"function": function})


def test_a_mint_function_may_leave_out_what_it_does_not_take() -> None:
    assert load(mint={"function": "safeMint(address,string)"}).mint.function == "safeMint(address,string)"
