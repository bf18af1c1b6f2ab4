"""What is offered for a place in a block (EIP-1559), and what must be offered to replace that. In wei a gas."""

from dataclasses import dataclass

GWEI = 10**9
_BUMP_NUMERATOR, _BUMP_DENOMINATOR = 9, 8
"""12.5 % more: geth asks for 10 %, other pools for a little more."""


@dataclass(frozen=True, slots=True)
class Fees:
    """`tip_wei` goes to the block's maker, `max_wei` is the most that is paid in all."""

    max_wei: int
    tip_wei: int


def offered(base_wei: int, tip_wei: int, cap: Fees) -> Fees | None:
    """Twice the block's base fee, which lasts through six full blocks; None where the cap does not reach the base."""
    tip_wei = min(tip_wei, cap.tip_wei)
    max_wei = min(2 * base_wei + tip_wei, cap.max_wei)
    return None if max_wei < base_wei else Fees(max_wei, min(tip_wei, max_wei))


def bumped(last: Fees, now: Fees, cap: Fees) -> Fees | None:
    """What replaces a transaction that offered `last`, where a new one would offer `now`; None beyond the cap."""
    max_wei, tip_wei = max(_more(last.max_wei), now.max_wei), max(_more(last.tip_wei), now.tip_wei)
    if max_wei > cap.max_wei or tip_wei > cap.tip_wei:
        return None
    return Fees(max(max_wei, tip_wei), tip_wei)


def _more(wei: int) -> int:
    return -(-wei * _BUMP_NUMERATOR // _BUMP_DENOMINATOR)
