"""What providers list, read once for all who look for lost work: after a crash that may be every job of a worker."""

from collections.abc import Sequence
from functools import partial

from jobrunner.batch import Batcher
from jobrunner.providers.driver import Driver, Listed


class Listings:
    """Who asks while a list is being read waits for the next reading: it may not hold yet what they look for."""

    def __init__(self) -> None:
        self._readings: dict[str, Batcher[float, list[Listed]]] = {}

    async def since(self, driver: Driver, since: float) -> list[Listed]:
        """All that is listed since then (unix seconds), and maybe older work. Raises as `Driver.listed` does."""
        if driver.name not in self._readings:
            self._readings[driver.name] = Batcher(partial(_read, driver))
        return await self._readings[driver.name].add(since)


async def _read(driver: Driver, sinces: Sequence[float]) -> list[list[Listed]]:
    listed = await driver.listed(min(sinces))
    return [listed] * len(sinces)
