"""What a job cost, or would have cost had its providers been the real ones: by their price lists.

The amounts are what the API says of each step; the prices are the providers' public ones, before any volume discount.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from jobrunner.demo.jobs import Job

Unit = Literal["tokens", "credits", "pictures", "seconds", "calls"]

PRICES: Mapping[str, tuple[Unit, Decimal]] = {
    "openai:gpt-5.4-mini": ("tokens", Decimal("0.0000045")),  # of output; input costs a sixth, and is not told apart
    "replicate:black-forest-labs/flux-schnell": ("pictures", Decimal("0.003")),
    "runway": ("credits", Decimal("0.01")),
    "elevenlabs": ("credits", Decimal("0.0002")),  # 99 USD for 500,000 a month
    "sync:lipsync-2": ("seconds", Decimal("0.05")),
    "fal:fal-ai/sync-lipsync/v2": ("seconds", Decimal("0.05")),
    "pinata": ("calls", Decimal()),  # the free plan keeps a gigabyte
}
"""By `provider:model`, or by `provider` where it sells all its models for one currency of its own. In USD."""


@dataclass(frozen=True, slots=True)
class Item:
    """What was bought of one model. `usd` is None where the table has no price for it."""

    model: str
    calls: int
    amount: Decimal
    unit: str
    usd: Decimal | None


def bill(jobs: Sequence[Job]) -> list[Item]:
    """One item a model and unit, in the order in which they were first bought."""
    items: dict[tuple[str, str], Item] = {}
    for job in jobs:
        for model, amount, unit, usd in _bought(job):
            before = items.get((model, unit), Item(model, 0, Decimal(), unit, Decimal()))
            total = None if usd is None or before.usd is None else before.usd + usd
            items[model, unit] = Item(model, before.calls + 1, before.amount + amount, unit, total)
    return list(items.values())


def _bought(job: Job) -> Iterator[tuple[str, Decimal, str, Decimal | None]]:
    for step in job["steps"]:
        if step["provider"] is None or step["state"] != "done":
            continue
        name = f"{step['provider']}:{step['model']}"
        counted = step["cost"]["unit"] if step["cost"] else "calls"
        unit, usd = PRICES.get(name) or PRICES.get(step["provider"]) or (counted, None)
        amount = _amount(unit, step, job)
        yield name, amount, unit, None if usd is None else amount * usd


def _amount(unit: str, step: Mapping[str, Any], job: Job) -> Decimal:
    """What the provider counted; or where that is another unit, what it made."""
    cost = step["cost"]
    if cost is not None and cost["unit"] == unit:
        return Decimal(cost["amount"])
    if unit == "seconds":
        return Decimal(str(sum(each["duration_s"] or 0 for each in job["artifacts"])))
    return Decimal(len(job["artifacts"]) if unit == "pictures" else 1)
