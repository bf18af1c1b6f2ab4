"""Events become log lines: readable on a terminal, JSON elsewhere, each with the ids of the job or request it is of.

What libraries log (aiohttp, asyncio) takes the same way, and so does what tasks say with structlog. An event is one
line: control characters are escaped, secrets are stars. Only on a terminal a traceback follows, each of its lines
marked as such.
"""

import logging
import sys
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

import structlog
from pydantic import SecretStr

from jobrunner.events import Event, about, subscribe
from jobrunner.redaction import STARS, escaped, redacted
from jobrunner.settings.tables import LogLevel

_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold requests, and secrets in them
)


@contextmanager
def observing(level: LogLevel = "INFO") -> Iterator[None]:
    """Log events of `level` and above to stderr while the block runs, structlog's lines, and libraries' warnings."""
    human, lowest = sys.stderr.isatty(), logging.getLevelNamesMapping()[level]
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=_processors(human=human),
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    )

    def log(event: Event) -> None:
        fields = dict(event.fields)
        exception = fields.pop("exception", None)
        if isinstance(exception, BaseException):
            fields["exc_info"] = exception
        logger.log(event.level, event.name, **fields)

    heard = _Heard(logger)
    logging.getLogger().addHandler(heard)
    structlog.configure(
        processors=_processors(human=human),
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        with subscribe(log, level=lowest):
            yield
    finally:
        structlog.reset_defaults()
        logging.getLogger().removeHandler(heard)


class _Heard(logging.Handler):
    """What libraries log, as lines of ours; else Python prints it as it is, with all that users put into it."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger
        self.addFilter(
            lambda record: not logging.getLogger(record.name.partition(".")[0]).handlers
        )  # arq's has its own

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"exc_info": record.exc_info} if record.exc_info and record.exc_info[0] else {}
        try:
            self._logger.log(record.levelno, "library.said", logger=record.name, message=record.getMessage(), **fields)
        except Exception:  # noqa: BLE001  # what is logged is no reason to fail
            self.handleError(record)


def _processors(*, human: bool) -> list[Any]:
    terminal = structlog.dev.ConsoleRenderer(exception_formatter=_write_traceback)
    renderer: Any = terminal if human else structlog.processors.JSONRenderer()
    return [
        _placed,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if human else [_TRACEBACKS]),
        _discreet,
        renderer,
    ]


def _placed(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Beside what the line says itself: whose it is."""
    for key, value in about.get().items():
        fields.setdefault(key, value)
    return fields


def _discreet(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {escaped(key): value if key == "exc_info" else _shown(value) for key, value in fields.items()}


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, SecretStr):
        return STARS
    if isinstance(value, Mapping):
        return {escaped(str(key)): _shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(each) for each in value]
    return escaped(redacted(str(value)))


_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def _write_traceback(stream: TextIO, exc_info: _ExcInfo) -> None:
    """Behind a mark on each line: an error's own words could else look like the next event."""
    told = redacted("".join(traceback.format_exception(*exc_info)))
    stream.writelines(f"\n  | {escaped(line)}" for line in told.splitlines())
