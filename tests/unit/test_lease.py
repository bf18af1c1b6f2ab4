"""A worker's lease: the time that it tells."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from jobrunner.store.postgres import Store
from jobrunner.worker.lease import Lease


class Slow:
    """Leases of a Postgres that is long in being asked."""

    async def register(self, *_: Any, **__: Any) -> datetime:
        await asyncio.sleep(0.1)
        return datetime.now(UTC)


async def test_its_time_is_never_early() -> None:
    lease = Lease(cast("Store", SimpleNamespace(leases=Slow())), queue="q", tasks=(), max_jobs=1, lease_s=30)
    await lease.take()
    assert lease.now() <= datetime.now(UTC)
