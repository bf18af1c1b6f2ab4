"""Jobs in flight over time, as an SVG that any browser shows."""

from collections.abc import Sequence
from itertools import accumulate

_WIDTH, _HEIGHT, _MARGIN = 800, 300, 48
_STEPS = 5

Moments = Sequence[tuple[int, float, float]]
"""(number, began, ended) of each job, in seconds by one clock."""


def in_flight(moments: Moments) -> list[tuple[float, int]]:
    """How many jobs ran from each moment on; the first began at 0. Beginnings first: an empty job ran, too."""
    changes = [(began, 1) for _, began, _ in moments] + [(ended, -1) for _, _, ended in moments]
    changes.sort(key=lambda change: (change[0], -change[1]))
    counts = accumulate(change for _, change in changes)
    return [(moment - changes[0][0], count) for (moment, _), count in zip(changes, counts, strict=True)]


def svg(moments: Moments, title: str) -> str:
    curve = in_flight(moments)
    longest_s, most = max(curve[-1][0], 1e-6), max(count for _, count in curve)

    def x(second: float) -> float:
        return _MARGIN + second / longest_s * (_WIDTH - 2 * _MARGIN)

    def y(count: float) -> float:
        return _HEIGHT - _MARGIN - count / most * (_HEIGHT - 2 * _MARGIN)

    points = " ".join(f"{x(second):.1f},{y(count):.1f}" for second, count in _thinned(curve))
    seconds = [longest_s * step / _STEPS for step in range(_STEPS + 1)]
    counts = [most * step / _STEPS for step in range(_STEPS + 1)]
    frame = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            f'<text x="{_MARGIN}" y="{_MARGIN / 2}">{title}: at most {most:,} in flight</text>',
            *(f'<text x="{x(s):.1f}" y="{_HEIGHT - 24}" text-anchor="middle">{s:.2f} s</text>' for s in seconds),
            *(f'<text x="{_MARGIN - 6}" y="{y(c) + 4:.1f}" text-anchor="end">{c:,.0f}</text>' for c in counts),
            *(f'<path d="M{_MARGIN} {y(c):.1f}H{_WIDTH - _MARGIN}" stroke="#ddd"/>' for c in counts),
            f'<polyline fill="none" stroke="#0a6" stroke-width="1.5" points="{points}"/>',
            "</svg>",
            "",
        ]
    )


def _thinned(curve: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """As many points as can be told apart; the last one stays."""
    return [*curve[:: max(1, len(curve) // (2 * _WIDTH))], curve[-1]]
