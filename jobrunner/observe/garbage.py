"""When the garbage collector looks for garbage."""

import gc

_GARBAGE = 25_000
"""Objects more than before, until those that may be garbage are looked for: some MiB, and some ms."""


def collect_rarely() -> None:
    """For a process that is ready and will run for long: what is loaded stays, and garbage is looked for seldom.

    A batch of jobs is tens of thousands of objects that go by themselves. By default the garbage collector looks
    through all of them, and all that was imported, again and again: a quarter of a busy worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE)
