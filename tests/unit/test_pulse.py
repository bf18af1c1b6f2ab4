"""What a worker's probes make of it."""

from dataclasses import replace

from jobrunner.observe.probes import Checks
from jobrunner.worker.pulse import STALE_S, Pulse

WELL = Pulse(
    started=True,
    leaving=False,
    silent_s=9.0,
    lease_s=30.0,
    lease_age_s=3.0,
    steady_s=500.0,
    redis_away=False,
    in_flight=3,
    stuck=1,
    slots=10,
)


def red(checks: Checks) -> set[str]:
    return {name for name, check in checks.items() if not check.ok}


def test_a_worker_that_is_well() -> None:
    for checks in (WELL.live(), WELL.ready(), WELL.begun()):
        assert red(checks) == set()
    assert "3 of 10 slots taken, 1 stuck" in WELL.live()["claims"].detail


def test_a_claim_loop_that_does_not_come_round_is_red_though_the_process_answers() -> None:
    stale = replace(WELL, silent_s=STALE_S + 1)
    assert (red(stale.live()), red(stale.ready())) == ({"claims"}, {"claims"})
    assert "restart" in stale.live()["claims"].detail


def test_one_that_has_waited_for_postgres_is_not_restarted() -> None:
    for steady_s in (0.0, 0.1):  # it is away; it has come back this moment
        assert red(replace(WELL, silent_s=600.0, steady_s=steady_s).live()) == set()
    patient = replace(WELL, lease_s=300.0, silent_s=STALE_S + 1)
    assert red(patient.live()) == set(), "so long a lease may have no gap though Postgres is away"


def test_a_lease_that_ran_out_is_red_and_no_reason_for_a_restart() -> None:
    waiting = replace(WELL, steady_s=0.0, lease_age_s=40.0, silent_s=STALE_S + 1)
    assert (red(waiting.live()), red(waiting.ready())) == (set(), {"lease"})
    assert "renewed 40.0 s ago" in waiting.ready()["lease"].detail


def test_one_that_leaves_or_has_not_begun_is_not_ready_and_lives() -> None:
    for pulse, begun in ((replace(WELL, leaving=True), True), (replace(WELL, started=False), False)):
        assert (red(pulse.live()), red(pulse.ready())) == (set(), {"worker"})
        assert red(pulse.begun()) == (set() if begun else {"worker"})


def test_without_redis_it_is_not_as_it_should_be() -> None:
    assert red(replace(WELL, redis_away=True).ready()) == {"redis"}
