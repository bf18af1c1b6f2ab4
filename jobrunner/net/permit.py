"""The last word before the bytes of a request leave.

Between the decision to send and the wire lie a queue for a connection, a name to resolve, a handshake, and perhaps
minutes in which the process stood still: what was allowed then need not be allowed any more.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import aiohttp

Permit = Callable[[], Awaitable[None]]
"""Returns once something may leave; raises where it must not."""

_permit: ContextVar[Permit | None] = ContextVar("permit", default=None)


@contextmanager
def permitted(permit: Permit) -> Iterator[None]:
    """Each part of a body that the block sends to a provider waits for `permit`.

    What that raises breaks off the request, which fails with aiohttp.ClientConnectionError.
    """
    token = _permit.set(permit)
    try:
        yield
    finally:
        _permit.reset(token)


def asking_permit() -> aiohttp.TraceConfig:
    """For a session. aiohttp awaits this signal before it writes a part (3.14), and headers leave with the first."""
    config = aiohttp.TraceConfig()
    config.on_request_chunk_sent.append(_ask)
    return config


async def _ask(*_: object) -> None:
    permit = _permit.get()
    if permit is not None:
        await permit()
