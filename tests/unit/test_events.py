"""Who hears what is emitted."""

import logging

import pytest

from jobrunner import events
from jobrunner.events import Event, emit, subscribe


def test_a_listener_hears_its_level_and_above_for_as_long_as_it_listens() -> None:
    all_of_it: list[str] = []
    grave: list[str] = []
    with subscribe(lambda event: all_of_it.append(event.name)):
        with subscribe(lambda event: grave.append(event.name), level=logging.WARNING):
            emit("small", logging.DEBUG)
            emit("grave", logging.ERROR)
        emit("late", logging.ERROR)
    emit("unheard", logging.CRITICAL)
    assert (all_of_it, grave) == (["small", "grave", "late"], ["grave"])


def test_what_nobody_listens_to_is_not_even_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Event:
        raise AssertionError("an event was made for nobody")

    monkeypatch.setattr(events, "Event", refuse)
    emit("to nobody", logging.CRITICAL)
    with subscribe(lambda _: None, level=logging.INFO):
        emit("too small", logging.DEBUG)


def test_a_broken_listener_keeps_nothing_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise KeyError(event.name)

    with subscribe(broken), subscribe(heard.append):
        emit("news", at=1)
    assert heard == [Event("news", logging.INFO, {"at": 1})]
    assert "a listener failed on event news" in caplog.text
