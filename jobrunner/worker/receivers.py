"""Sending to webhooks that others run: one that is down, slow or flooded must hold back neither jobs nor the others."""

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr
from yarl import URL

from jobrunner.errors import PermanentError, PutOff, Retry, TransientError, UrlNotAllowed
from jobrunner.net import Answered, Net
from jobrunner.net.signing import standard_headers
from jobrunner.worker.breaker import Breaker

TOTAL_S = 15.0
"""How long one delivery may take, from its name's resolution to the answer's status."""

AT_ONCE = 8
"""Deliveries under way to one host, in one worker."""

_LINE_CAP_S = 600.0
_ASKED_CAP_S = 86_400.0
_KNOWN_HOSTS = 1000

_GONE = 410
_TOO_MANY = 429


@dataclass(slots=True)
class Way:
    """The way to one host, `now` in monotonic seconds.

    `took_s` is the usual time of a delivery; `line_ends` is when the last of those who were put off gets its turn.
    """

    breaker: Breaker = field(default_factory=Breaker)
    under_way: int = 0
    took_s: float = 0.1
    line_ends: float = 0.0

    def enter(self, now: float, jitter: float) -> None:
        """Raises PutOff, with a place in line, where the host has enough to do or gave no answer lately."""
        wait_s = self.breaker.delay_s(now, jitter) if self.under_way < AT_ONCE else self.took_s
        if wait_s is None:
            self.under_way += 1
            return
        self.line_ends = max(now + wait_s, self.line_ends) + self.took_s / AT_ONCE
        delay_s = min(self.line_ends - now, _LINE_CAP_S)
        raise PutOff("The receiver's host is busy, or does not answer: this delivery waits its turn.", delay_s=delay_s)

    def leave(self, now: float, took_s: float, jitter: float, *, answered: bool) -> None:
        """`answered`: by the application itself, whatever it said."""
        self.under_way -= 1
        self.took_s += (took_s - self.took_s) / 4
        if answered:
            self.breaker.answered()
            self.line_ends = now
        else:
            self.breaker.failed(now, jitter)

    def forgotten(self, now: float) -> bool:
        return self.under_way == 0 and now - self.line_ends > _LINE_CAP_S


class Receivers:
    """`disable` is told the URL, and why, of a receiver that says it is gone."""

    def __init__(self, net: Net, secret: SecretStr | None, disable: Callable[[str, str], Awaitable[None]]) -> None:
        self._net = net
        self._secret = secret
        self._disable = disable
        self._ways: dict[str, Way] = {}

    async def send(self, url: str, message_id: str, body: bytes) -> int:
        """The 2xx status of a delivery that was taken.

        Raises PutOff; Retry, where the receiver names a time; TransientError for any other answer or none, redirects
        included; PermanentError `webhook_gone` for 410, `url_not_allowed` and `webhooks_off` (there is no secret).
        """
        if self._secret is None:
            raise PermanentError("There is no `webhooks.secret` to sign with: set it, and replay.", code="webhooks_off")
        headers = standard_headers(self._secret.get_secret_value(), message_id, int(time.time()), body)
        try:
            answer = await self._post(url, body, headers | {"Content-Type": "application/json"})
        except UrlNotAllowed as error:
            raise PermanentError(str(error), code=error.code) from error
        return await self._judged(url, answer)

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answered:
        self._net.check_url(url)  # an application's own row was never checked
        way, answered, began = self._way(url), False, time.monotonic()
        way.enter(began, random.random())  # noqa: S311  # spreads a crowd
        try:
            answer = await self._net.post(url, body, headers=headers, total_s=TOTAL_S)
            answered = answer.status < 500 and answer.status != _TOO_MANY  # noqa: PLR2004
            return answer
        finally:
            now = time.monotonic()
            way.leave(now, now - began, random.random(), answered=answered)  # noqa: S311

    async def _judged(self, url: str, answer: Answered) -> int:
        if 200 <= answer.status < 300:  # noqa: PLR2004
            return answer.status
        said = f"The webhook answers HTTP {answer.status}"
        if answer.status == _GONE:
            await self._disable(url, f"{said} (Gone).")
            raise PermanentError(f"{said} (Gone): nothing more is sent there until a replay.", code="webhook_gone")
        if answer.retry_after_s is not None:
            asked_s = min(answer.retry_after_s, _ASKED_CAP_S)
            raise Retry(f"{said} and asks to wait {asked_s:g} s.", after=asked_s)
        hint = "; redirects are not followed, name the final URL" if answer.status // 100 == 3 else ""  # noqa: PLR2004
        raise TransientError(f"{said}{hint}.", code="webhook_refused")

    def _way(self, url: str) -> Way:
        if len(self._ways) > _KNOWN_HOSTS:
            now = time.monotonic()
            self._ways = {host: way for host, way in self._ways.items() if not way.forgotten(now)}
        return self._ways.setdefault(str(URL(url).origin()), Way())
