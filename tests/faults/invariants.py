"""I1 to I8 of FAULTS.md, checked on what a run left behind in Postgres, Redis, the artifact store and the ledger.

`gather` reads it all, once; `violations` judges it. The history comes from the triggers of `audit`.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import asyncpg
import orjson
from arq.connections import ArqRedis

from jobrunner.errors import PermanentError
from jobrunner.job import TERMINAL, TRANSITIONS, Status
from jobrunner.media.examining import media_info
from jobrunner.sandbox import ledger
from tests.faults.chain import CHAIN

Row = asyncpg.Record

BOUNDS_S = {"worker killed": 45.0, "api killed": 15.0, "server back": 15.0, "drained": 10.0}
"""How long each recovery may take (I7)."""


_TRANSACTIONS = """
SELECT signed.hash, signed.nonce, mint.key, mint.job_id
FROM jobrunner.transactions AS signed JOIN jobrunner.mints AS mint ON mint.key = signed.mint_key
"""


@dataclass(frozen=True)
class Recovery:
    """`what` is a key of BOUNDS_S; `took_s` was measured."""

    what: str
    took_s: float


@dataclass(frozen=True)
class Evidence:
    """`accepted`: the ids of jobs whose submission was answered with 202. `moves` and `step_writes` are the audit's.

    `leaks`: places where a canary was found. `tokens`: (mint key, token id) as the chain has them. `transactions`: all
    that was ever signed. `pinned`: the URIs of all pinned files. `resubmit`: the tasks that may buy again where nobody
    knows whether they have bought.
    """

    accepted: Sequence[UUID]
    jobs: Mapping[UUID, Row]
    steps: Sequence[Row]
    artifacts: Sequence[Row]
    moves: Mapping[UUID, Sequence[Row]]
    step_writes: Sequence[Row]
    transactions: Sequence[Row]
    artifact_dir: Path
    purchases: Sequence[ledger.Purchase]
    pinned: Collection[str]
    resubmit: Collection[str]
    recoveries: Sequence[Recovery]
    tokens: Sequence[tuple[str, str]]
    leaks: Sequence[str]


async def gather(
    database: asyncpg.Connection,
    redis: ArqRedis,
    *,
    artifact_dir: Path,
    purchases: Sequence[ledger.Purchase],
    pinned: Collection[str],
    resubmit: Collection[str],
    accepted: Sequence[UUID],
    recoveries: Sequence[Recovery] = (),
    tokens: Sequence[tuple[str, str]] = (),
    canaries: Sequence[str] = (),
    said: Mapping[str, str],
) -> Evidence:
    """`said`: what logs, errors and pages said, by where; canaries are looked for in it, in all rows and in Redis."""
    moves = defaultdict(list)
    for move in await database.fetch("SELECT * FROM audit.moves ORDER BY seq"):
        moves[move["job_id"]].append(move)
    leaks = [place for place, text in said.items() if any(canary in text for canary in canaries)]
    leaks += await _leaks_in_rows(database, canaries)
    leaks += await _leaks_in_redis(redis, canaries)
    return Evidence(
        accepted=accepted,
        jobs={row["id"]: row for row in await database.fetch("SELECT * FROM jobrunner.jobs")},
        steps=await database.fetch("SELECT * FROM jobrunner.steps"),
        artifacts=await database.fetch("SELECT * FROM jobrunner.artifacts"),
        moves=moves,
        step_writes=await database.fetch("SELECT * FROM audit.step_writes ORDER BY seq"),
        transactions=await database.fetch(_TRANSACTIONS),
        artifact_dir=artifact_dir,
        purchases=purchases,
        pinned=pinned,
        resubmit=resubmit,
        recoveries=recoveries,
        tokens=tokens,
        leaks=leaks,
    )


def violations(evidence: Evidence) -> list[str]:
    """A line for each, `I3 ...`; none where all invariants hold."""
    checks = (_i1, _i2, _i3, _i4, _i5, _i6, _i7, _i8)
    return [f"{check.__name__[1:].upper()} {found}" for check in checks for found in check(evidence)]


def _i1(evidence: Evidence) -> Iterator[str]:
    for id in evidence.accepted:
        if id not in evidence.jobs:
            yield f"job {id} was accepted and has no row"
        elif evidence.jobs[id]["status"] not in TERMINAL:
            yield f"job {id} was accepted and is still {evidence.jobs[id]['status']}"
    for id, moves in evidence.moves.items():
        reopened = 0
        for move in moves:
            if move["old_status"] not in TERMINAL or move["new_status"] is None:
                continue
            if move["new_status"] != move["old_status"]:
                reopened += 1
            elif move["outcome_changed"]:
                yield f"job {id} had ended as {move['old_status']} when {move['who']} changed its outcome"
        if id in evidence.jobs and reopened > _retries(evidence.jobs[id]):
            yield f"job {id} was taken up again after its end, and no person had asked for it"


def _i2(evidence: Evidence) -> Iterator[str]:
    for id, moves in evidence.moves.items():
        for move in moves:
            before, after = move["old_status"], move["new_status"]
            if before is None:
                continue
            if after is None:
                if before not in TERMINAL:
                    yield f"job {id} was deleted while it was {before}"
                continue
            if after != before and after not in TRANSITIONS[Status(before)]:
                yield f"job {id} went from {before} to {after}, by {move['who']}"
            if move["new_fence"] < move["old_fence"]:
                yield f"job {id}: its fence fell from {move['old_fence']} to {move['new_fence']}, by {move['who']}"


def _i3(evidence: Evidence) -> Iterator[str]:
    """A purchase is told by its prompt, so a test gives each step of each job words of its own; see `_on_chain`."""
    allowed: Counter[str] = Counter()
    for step in evidence.steps:
        if step["plan"] is not None:
            job = evidence.jobs[step["job_id"]]
            times = step["sequence"] if job["task"] in evidence.resubmit else 1 + _retries(job)
            allowed.update(dict.fromkeys(_words(orjson.loads(step["plan"])["body"]), times))
    bought = Counter(purchase.prompt for purchase in evidence.purchases if purchase.provider != CHAIN)
    for prompt, times in bought.items():
        if times > allowed[prompt]:
            yield f"{prompt!r} was bought {times} times, where {allowed[prompt]} had been committed to"
    yield from _on_chain(evidence)


def _on_chain(evidence: Evidence) -> Iterator[str]:
    """A transaction is told by its hash; of all that were sent for one mint only one can use the nonce they share."""
    sent = {purchase.id for purchase in evidence.purchases if purchase.provider == CHAIN}
    for stray in sent - {each["hash"] for each in evidence.transactions}:
        yield f"transaction {stray} was sent, and its bytes had not been kept before"
    nonces = defaultdict(set)
    for each in evidence.transactions:
        if each["hash"] in sent:
            nonces[each["key"], each["job_id"]].add(each["nonce"])
    for (key, id), used in nonces.items():
        allowed = 1 + (_retries(evidence.jobs[id]) if id in evidence.jobs else 0)
        if len(used) > allowed:
            yield f"mint {key} was sent at nonces {sorted(used)}, where {allowed} had been committed to"


def _i4(evidence: Evidence) -> Iterator[str]:
    for artifact in evidence.artifacts:
        path = evidence.artifact_dir / artifact["key"]
        if not path.is_file():
            yield f"artifact {artifact['id']} has a row and no file"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != artifact["sha256"]:
            yield f"artifact {artifact['id']}: its file is not the one that was hashed"
        else:
            try:
                media_info(path)
            except PermanentError as error:
                yield f"artifact {artifact['id']} does not decode: {error}"
    known = {f"/v1/artifacts/{artifact['id']}" for artifact in evidence.artifacts} | set(evidence.pinned)
    for id, job in evidence.jobs.items():
        if job["result_url"] is not None and job["result_url"] not in known:
            yield f"job {id} shows {job['result_url']}, which is nowhere"


def _i5(evidence: Evidence) -> Iterator[str]:
    for key, minted in Counter(key for key, _ in evidence.tokens).items():
        if minted > 1:
            yield f"mint key {key} has {minted} tokens"


def _i6(evidence: Evidence) -> Iterator[str]:
    for id, moves in evidence.moves.items():
        holder = ""
        for move in moves:
            if move["new_status"] == Status.IN_PROGRESS != move["old_status"]:
                holder = move["who"]
            left = move["old_status"] == Status.IN_PROGRESS != move["new_status"]
            if left and not move["crashed"] and move["who"] != holder:
                yield f"job {id}: {move['who']} wrote its end at fence {move['old_fence']}, which {holder} held"
    by_hand = {(move["job_id"], move["tx"]) for moves in evidence.moves.values() for move in moves if _reopens(move)}
    for write in evidence.step_writes:
        held = write["job_status"] == Status.IN_PROGRESS and write["fence"] == write["job_fence"]
        if not held and (write["job_id"], write["tx"]) not in by_hand:
            yield (
                f"job {write['job_id']}: step {write['name']} was written {write['state']} at fence {write['fence']}, "
                f"where the job was {write['job_status']} at {write['job_fence']}"
            )


def _i7(evidence: Evidence) -> Iterator[str]:
    for recovery in evidence.recoveries:
        if recovery.took_s > BOUNDS_S[recovery.what]:
            bound_s = BOUNDS_S[recovery.what]
            yield f"{recovery.what}: recovered after {recovery.took_s:.1f} s, where {bound_s:g} s are promised"


def _i8(evidence: Evidence) -> Iterator[str]:
    for place in evidence.leaks:
        yield f"a secret stands in {place}"


def _retries(job: Row) -> int:
    """How often a person asked for this job again."""
    return sum(error["code"] == "retried_by_hand" for error in orjson.loads(job["errors"]))


def _reopens(move: Row) -> bool:
    return move["old_status"] in TERMINAL and move["new_status"] == Status.PENDING


def _words(value: Any) -> Iterator[str]:
    """Every text in a plan's body."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _words(each)


async def _leaks_in_rows(database: asyncpg.Connection, canaries: Iterable[str]) -> list[str]:
    tables = await database.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'jobrunner'")
    leaks = []
    for (table,) in tables:
        asked = f"SELECT count(*) FROM jobrunner.{table} AS row WHERE strpos(row::text, $1) > 0"
        counts = [await database.fetchval(asked, canary) for canary in canaries]
        leaks += [f"{count} rows of jobrunner.{table}" for count in counts if count]
    return leaks


async def _leaks_in_redis(redis: ArqRedis, canaries: Sequence[str]) -> list[str]:
    read: Mapping[bytes, Callable[[bytes], Awaitable[Any]]] = {
        b"string": redis.get,
        b"list": lambda key: cast("Any", redis).lrange(key, 0, -1),
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"set": cast("Any", redis).smembers,
        b"hash": cast("Any", redis).hgetall,
        b"stream": redis.xrange,
        b"none": redis.get,  # it expired while we looked
    }
    leaks = []
    async for key in redis.scan_iter():
        text = f"{key} {await read[await redis.type(key)](key)}"
        leaks += [f"Redis key {key!r}" for canary in canaries if canary in text]
    return leaks
