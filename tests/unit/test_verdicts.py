"""What the bench beside the peers makes of the lines that it kept."""

from typing import Any

from tests.bench import verdicts
from tests.bench.verdicts import AT_ONCE, BIG_TABLE, CLAIM, SUBMIT, US, Line, Verdict

GETS = "plain aiohttp, 1,000 GETs of 1 s, uvloop"


def line(workload: str, name: str, rep: int = 0, **figures: Any) -> Line:
    return {"workload": workload, "name": name, "rep": rep, **figures}


def verdict(what: str, lines: list[Line]) -> Verdict:
    [found] = [each for each in verdicts.judged(lines) if each.row.what == what]
    return found


def row(what: str, lines: list[Line]) -> str:
    [found] = [
        each for each in verdicts.table(lines, verdicts.judged(lines)).splitlines() if each.startswith(f"| {what} |")
    ]
    return found


def test_the_bound_is_that_of_the_best_peer_in_the_same_repetition() -> None:
    lines = [
        line("drain", "SAQ", jobs_per_s=2000.0),
        line("drain", "arq tuned", jobs_per_s=1800.0),
        line("drain", US, jobs_per_s=4000.0),
        line("drain", AT_ONCE, jobs_per_s=9000.0),  # ours is no peer of ours
        line("drain", "SAQ", 1, jobs_per_s=2000.0),
        line("drain", "arq tuned", 1, jobs_per_s=2500.0),
        line("drain", US, 1, jobs_per_s=4999.0),
    ]
    assert verdict("5,000 empty jobs", lines).found == [(4000.0, 4000.0), (4999.0, 5000.0)]
    assert verdict("5,000 empty jobs", lines).met == 1
    assert row("5,000 empty jobs", lines) == (
        "| 5,000 empty jobs | arq tuned 2,150/s |  | 4,500/s (4,000-4,999) | ≥ 4,500/s | 1 of 2 |"
    )


def test_a_bound_by_the_machine_s_limit() -> None:
    limit = line("limit", GETS, makespan=1.2)
    assert verdict("1,000 calls of 1 s", [limit, line("io", US, makespan=1.38)]).met == 1
    assert verdict("1,000 calls of 1 s", [limit, line("io", US, makespan=1.39)]).met == 0


def test_a_pickup_may_cost_two_commits_more_than_the_fastest_peer_s() -> None:
    lines = [
        line("latency", "taskiq list", p50_ms=1.0, p99_ms=1.5),
        line("latency", "arq tuned", p50_ms=8.0, p99_ms=12.0),
        line("limit", SUBMIT, p50_ms=1.0),
        line("limit", SUBMIT, p50_ms=1.4),
        line("limit", CLAIM, p50_ms=0.8),
        line("latency", US, p50_ms=3.0, p99_ms=9.1),
    ]
    assert (verdict("pickup, p50", lines).met, verdict("pickup, p99", lines).met) == (1, 0)


def test_the_big_table_is_held_against_the_empty_one_beside_it() -> None:
    lines = [line("drain", AT_ONCE, jobs_per_s=each) for each in (4000.0, 6000.0)]
    lines += [line("drain", BIG_TABLE, jobs_per_s=each) for each in (4400.0, 4700.0)]
    lines += [line("drain", US, jobs_per_s=9000.0)]
    assert verdict("empty jobs, big table", lines).found == [(4550.0, 4500.0)]


def test_what_failed_or_was_not_run_is_not_measured() -> None:
    lines = [line("drain", "SAQ", jobs_per_s=2000.0), line("drain", US, error="TimeoutError()")]
    assert verdict("5,000 empty jobs", lines).found == []
    assert row("5,000 empty jobs", lines) == "| 5,000 empty jobs | SAQ 2,000/s |  | | | not measured |"
