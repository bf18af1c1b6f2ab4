"""A short run of `chaos`: random blows on mixed work; the long one is `python -m tests.faults.chaos`."""

import random

from tests.faults.chaos import Plan, unleash
from tests.faults.servers import Mortals
from tests.faults.world import World


async def test_chaos(mortal_world: World, mortals: Mortals) -> None:
    plan = Plan(jobs=300, workers=2, kills=4, redis=2, postgres=1, seed=random.randrange(1_000_000))
    summary = await unleash(plan, mortal_world, mortals)
    print(f"seed {plan.seed}\n{summary}")
    assert not summary.violations
