"""The hostile corpus against what looks into files: refused by name, and nothing of ours is the worse for it."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.errors import PermanentError
from jobrunner.media import MediaInfo, examining, sniff
from jobrunner.media.examining import media_info
from tests.hostile.files import HOSTILE, INERT, STRANGE
from tests.hostile.pictures import png

linux = pytest.mark.skipif(sys.platform != "linux", reason="seccomp and Landlock are Linux'")


@pytest.fixture
def exploited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One examiner, in strange hands, and whatever takes its place."""
    pool = examining._Examiners(1)
    monkeypatch.setattr(examining, "_examiners", pool)
    monkeypatch.setattr(examining, "_MODULE", "tests.hostile.exploited")
    yield
    pool.close()


def look(directory: Path, data: bytes) -> MediaInfo:
    path = directory / "named.mp4"
    path.write_bytes(data)
    return media_info(path)


def refusal(directory: Path, data: bytes) -> str:
    with pytest.raises(PermanentError) as refused:
        look(directory, data)
    assert refused.value.code == "media_invalid"
    return str(refused.value)


def pids() -> set[int]:
    return {each._process.pid for each in examining._examiners._free.queue if each is not None}


@pytest.mark.parametrize("name", [*STRANGE, *HOSTILE])
def test_a_hostile_file_is_refused_and_costs_no_examiner(tmp_path: Path, name: str) -> None:
    look(tmp_path, png())
    before = pids()
    data = {**STRANGE, **HOSTILE}[name]()
    refusal(tmp_path, data)
    assert (sniff(data[:16]) is None) is (name in STRANGE)
    assert pids() == before


@pytest.mark.parametrize("name", INERT)
def test_a_file_is_what_its_first_bytes_say_whatever_else_it_carries(tmp_path: Path, name: str) -> None:
    make, mime = INERT[name]
    assert look(tmp_path, make()).mime == mime


@pytest.mark.parametrize("word", ["segfault", "abort", "exit", "spin", "babble", "lie"])
def test_a_file_that_its_examiner_dies_of_is_refused_and_the_next_is_read(
    exploited: None, tmp_path: Path, word: str
) -> None:
    refusal(tmp_path, word.encode())
    assert look(tmp_path, png()).mime == "image/png"


def test_a_file_that_hangs_its_examiner_is_refused_and_the_next_is_read(
    exploited: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(tmp_path, png())  # starting takes longer than what follows may
    monkeypatch.setattr(examining, "WAIT_S", 0.5)
    assert "within 0.5 s" in refusal(tmp_path, b"hang")
    monkeypatch.setattr(examining, "WAIT_S", 60.0)
    assert look(tmp_path, png()).mime == "image/png"


@linux
@pytest.mark.parametrize("word", ["read", "list", "connect", "execute", "kill"])
def test_an_examiner_in_strange_hands_reaches_nothing(exploited: None, tmp_path: Path, word: str) -> None:
    assert refusal(tmp_path, word.encode()) in {"Operation not permitted", "Permission denied"}


@linux
def test_an_examiner_has_little_memory_and_none_of_our_secrets(
    exploited: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBRUNNER_DATABASE_URL", "postgresql://u:canary@h/d")
    assert "MemoryError" in refusal(tmp_path, b"eat")
    assert "JOBRUNNER" not in refusal(tmp_path, b"environment")


def test_an_examiner_that_was_killed_is_replaced_unseen(exploited: None, tmp_path: Path) -> None:
    look(tmp_path, png())
    [killed] = pids()
    os.kill(killed, signal.SIGKILL)
    assert look(tmp_path, png()).mime == "image/png"
    assert killed not in pids()
