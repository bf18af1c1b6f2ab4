"""How a process is watched: events become log lines, readable on a terminal, JSON elsewhere."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from jobrunner.events import Event, subscribe

_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold requests, and secrets in them
)


@contextmanager
def observing(*, level: int = logging.INFO) -> Iterator[None]:
    """Log every event of `level` and above to stderr while the block runs."""
    logger = _logger(human=sys.stderr.isatty())

    def log(event: Event) -> None:
        if event.level < level:
            return
        fields = dict(event.fields)
        exception = fields.pop("exception", None)
        if isinstance(exception, BaseException):
            fields["exc_info"] = exception
        logger.log(event.level, event.name, **fields)

    with subscribe(log):
        yield


def _logger(*, human: bool) -> Any:
    renderer: Any = structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if human else [_TRACEBACKS]),
        renderer,
    ]
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    )
