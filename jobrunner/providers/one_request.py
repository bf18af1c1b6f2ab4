"""What a driver answers whose provider makes everything in one long request: there is no handle to ask about."""

from pathlib import Path

from jobrunner.errors import PermanentError
from jobrunner.providers.answers import Line
from jobrunner.providers.driver import CancelAnswer, Listed, Poll
from jobrunner.work import Handle, Output


class OneRequest:
    """Base of such drivers, which bring `name`, `capabilities`, `_line`, `prepare` and `submit`."""

    name: str
    _line: Line

    async def poll(self, handle: Handle) -> Poll:
        message = f"{self.name} gives no handle to ask for ({handle.id})."
        raise PermanentError(message, code="unsupported", provider=self.name)

    async def fetch(self, output: Output, spool: Path) -> Path:
        return await self._line.fetch(output, spool)

    async def cancel(self, handle: Handle) -> CancelAnswer:  # noqa: ARG002  # the Protocol's
        """Nothing to tell: a caller that stops waiting drops the connection, and may still be billed."""
        return "unknown"

    async def listed(self, since: float) -> list[Listed]:  # noqa: ARG002  # the Protocol's
        """Nothing can be found again."""
        return []

    async def aclose(self) -> None:
        await self._line.aclose()
