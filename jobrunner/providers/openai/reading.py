"""What all good answers of OpenAI, and of servers that speak the same, have in common."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from jobrunner.providers.answers import judged
from jobrunner.work import Money


def raise_hidden(answer: Mapping[str, Any], request_id: str | None) -> None:
    """Compatible servers answer errors under HTTP 200, too. Raises PermanentError or TransientError for one."""
    error = answer.get("error")
    if error:
        said = error if isinstance(error, dict) else {"message": error}
        raise judged("openai", said.get("message") or "", said.get("code") or said.get("type"), request_id)


def tokens(usage: Any) -> Money | None:
    """What a call cost, from its `usage`."""
    total = usage.get("total_tokens") if isinstance(usage, Mapping) else None
    return Money(Decimal(total), "tokens") if isinstance(total, int) else None
