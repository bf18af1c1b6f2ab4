"""The verbs over HTTP: a client of the API, which needs neither database nor Redis nor the tasks' code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL

from jobrunner.errors import ConfigError
from jobrunner.net import Net
from jobrunner.remote.line import ANSWER_S, Line
from jobrunner.remote.verbs import WAITS_AT_ONCE, Remote

_CONNECTIONS = WAITS_AT_ONCE + 100
"""Each wait holds one; other requests find one all the same."""


@asynccontextmanager
async def opened(url: str, api_key: str | None, patience_s: float) -> AsyncIterator[Remote]:
    """Nothing is asked before the first verb. Raises ConfigError for what is no http(s) URL or no key."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "jobrunner"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {_sendable(api_key)}"
    session = Net().provider_session(
        str(_checked(url)), headers=headers, max_connections=_CONNECTIONS, timeout_s=ANSWER_S
    )
    async with session:
        yield Remote(Line(session, url, patience_s))


def _checked(url: str) -> URL:
    try:
        checked = URL(url)
    except ValueError:
        checked = URL()
    if checked.scheme not in ("http", "https") or not checked.host or checked.user or checked.query_string:
        raise ConfigError(
            "JobRunner's `url` must be the API's address, such as http://127.0.0.1:8080 or https://jobs.example.com; "
            "a key goes into `api_key`."
        )
    return checked


def _sendable(key: str) -> str:
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("JobRunner's `api_key` is empty, or holds blanks or line ends; give it as it was shown.")
    return key
