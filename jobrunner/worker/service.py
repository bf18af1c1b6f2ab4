"""What runs beside a worker's jobs: each service is a `run_once`, which `forever` calls; outages are sat out."""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

from jobrunner.errors import Unavailable
from jobrunner.events import emit


class Service(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def every_s(self) -> float: ...
    async def run_once(self) -> None: ...


@runtime_checkable
class Woken(Service, Protocol):
    """One that something may wake before its time."""

    async def rest(self, timeout_s: float) -> None: ...


class OnDemand(ABC):
    """A service that sleeps while there is nothing to do; what comes within one interval is done in one round."""

    def __init__(self) -> None:
        self._came = asyncio.Event()

    @property
    @abstractmethod
    def waits(self) -> bool:
        """Whether something is to be done."""

    def came(self) -> None:
        """Something is."""
        self._came.set()

    async def rest(self, timeout_s: float) -> None:
        while not self.waits:
            self._came.clear()
            await self._came.wait()
        await asyncio.sleep(timeout_s)


async def forever(service: Service) -> None:
    """Run until cancelled. An error of one round is reported and the next round tries again."""
    rest = service.rest if isinstance(service, Woken) else asyncio.sleep
    while True:
        try:
            await service.run_once()
        except Unavailable as error:
            emit("upkeep.waits", logging.WARNING, service=service.name, error=str(error))
        except Exception as error:  # noqa: BLE001  # a service that ended would be missed only when it is needed
            emit("upkeep.failed", logging.ERROR, service=service.name, exception=error)
        await rest(service.every_s * random.uniform(0.9, 1.1))  # noqa: S311  # spreads the workers
