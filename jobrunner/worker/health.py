"""The sentinel that `arq --check` reads: one a host, kept by its workers and not by their wards."""

import socket
from collections.abc import Mapping
from datetime import UTC, datetime

from jobrunner.broker.queue import Queue


def health_check_key(queue: str) -> str:
    """One a host: `arq --check` on this host asks for this host's workers."""
    return f"{queue}:health-check:{socket.gethostname()}"


async def beat(queue: Queue, counts: Mapping[str, int], *, in_flight: int, lasting_s: float) -> None:
    """Raises Unavailable."""
    words = " ".join(f"j_{word}={count}" for word, count in counts.items())
    text = f"{datetime.now(UTC):%b-%d %H:%M:%S} {words} j_ongoing={in_flight} queued={await queue.depth()}"
    await queue.beat(health_check_key(queue.name), text, lasting_s)


async def leave(queue: Queue) -> None:
    """Raises Unavailable."""
    await queue.forget_beat(health_check_key(queue.name))
    await queue.wake()  # a wake that we swallowed while stopping belongs to another worker
