"""Providers: whether each key is good, by a question that costs nothing, and each route has somebody to ask."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from jobrunner.errors import RateLimited
from jobrunner.observe.probes import Check, Checks
from jobrunner.providers.driver import Driver, Tried

_PATIENCE_S = 10.0


async def providers(
    drivers: Mapping[str, Driver], routes: Mapping[str, Sequence[str]], *, keyless: Collection[str], sandbox: bool
) -> Checks:
    """`keyless` providers have no key of their own; `sandbox`: it answers in their stead."""
    keyed = [name for name in drivers if name not in keyless]
    tried = await asyncio.gather(*(_tried(drivers[name]) for name in keyed))
    found = {f"provider {name}": check for name, check in zip(keyed, tried, strict=True)}
    if sandbox:
        found["sandbox"] = Check(ok=True, detail=f"stands in for {', '.join(keyless)}, which have no key")
    return {"routes": judge_routes(routes, known=drivers, able={*keyed, *(keyless if sandbox else ())}), **found}


async def _tried(driver: Driver) -> Check:
    if not isinstance(driver, Tried):
        return Check(ok=True, detail="not tried: its driver has no check_key")
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await driver.check_key()
    except RateLimited as error:
        return Check(ok=True, detail=f"answers, and asks to wait: {error}")
    except TimeoutError:
        detail = f"did not answer within {_PATIENCE_S:g} s: is its base_url right, and may this machine go out?"
        return Check(ok=False, detail=detail)
    except Exception as error:  # noqa: BLE001  # whatever a driver raises, a user's own as well, is what its line says
        return Check(ok=False, detail=str(error) or type(error).__name__)
    return Check(ok=True, detail="answers, and takes the key")


def judge_routes(routes: Mapping[str, Sequence[str]], *, known: Collection[str], able: Collection[str]) -> Check:
    """`able`: the providers that can be asked. Pure."""
    strange = sorted({name for entries in routes.values() for name in map(_provider, entries)} - set(known))
    if strange:
        detail = f"name {', '.join(strange)}, and there is no such provider: correct [routes], or set its driver"
        return Check(ok=False, detail=detail)
    idle = [route for route, entries in routes.items() if entries and not set(map(_provider, entries)) & set(able)]
    if idle:
        first = " or ".join(dict.fromkeys(map(_provider, routes[idle[0]])))
        detail = (
            f"nobody makes {', '.join(idle)}, for want of a key: set one ({first} for {idle[0]}), or empty what you "
            f"do not make (`{idle[0]} = []` under [routes])"
        )
        return Check(ok=False, detail=detail)
    return Check(ok=True, detail=f"{len([each for each in routes.values() if each])} have somebody to ask")


def _provider(entry: str) -> str:
    return entry.partition(":")[0]
