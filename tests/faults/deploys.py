"""Deploys without end: a worker gets SIGTERM every few seconds and the next one starts, while slow work goes on.

`python -m tests.faults.deploys --jobs 200 --every_s 5 --for_s 60`: each job takes 30 s at its provider, so none ends
under the worker that bought it. Ends with 1 unless every job completed, was bought once, and nothing was counted.
"""

import argparse
import asyncio
import sys
import time

from tests.faults.chaos import own_world
from tests.faults.world import World

LEASE_S = 5.0


async def deploy(place: World, *, every_s: float, for_s: float) -> tuple[int, float]:
    """How many deploys there were, and the longest time that a worker took to leave."""
    ends = time.monotonic() + for_s
    deploys, longest_s = 0, 0.0
    while time.monotonic() < ends:
        async with place.process("worker") as worker:
            await asyncio.sleep(every_s)
            told = time.monotonic()
            await asyncio.to_thread(worker.stop)
            deploys, longest_s = deploys + 1, max(longest_s, time.monotonic() - told)
    return deploys, longest_s


async def main(jobs: int, every_s: float, for_s: float) -> bool:
    """Whether it went as promised."""
    async with own_world(speed=1.0) as (place, _):
        place.values["worker"] = {"lease_s": LEASE_S, "drain_s": 1.0, "max_jobs": 2 * jobs}
        prompts = [f"scene {number} [slow]" for number in range(jobs)]
        async with place.api() as http:
            await place.take(http, *prompts)
            deploys, longest_s = await deploy(place, every_s=every_s, for_s=for_s)
            async with place.working():
                rows = await place.all_end()
        wrong = [row["id"] for row in rows if (row["status"], row["failures"], row["crashes"]) != ("completed", 0, 0)]
        bought, highest = place.bought(), max(row["fence"] for row in rows)
        broken = [*await place.violations(), *(f"job {id} did not complete untouched" for id in wrong)]
        print(
            f"{jobs} jobs of 30 s, {deploys} deploys, slowest to leave {longest_s:.1f} s; "
            f"purchases: {len(bought)}; bought twice: {len(bought) - len(set(bought))}; highest fence: {highest}"
        )
        print("\n".join([f"violations: {len(broken)}", *broken]))
        return not broken and bought == sorted(prompts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, kind, default in (("jobs", int, 200), ("every_s", float, 5.0), ("for_s", float, 60.0)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    sys.exit(not asyncio.run(main(**vars(parser.parse_args()))))
