"""URLs of Postgres and Redis as operators write them, whatever stands in the password."""

from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobrunner.errors import ConfigError
from jobrunner.settings import load

ODD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="%"), min_size=1, max_size=20).filter(
    lambda password: "?" not in password or "=" not in password
)
"""Without what would make it encoded already, or a query's beginning."""


@given(ODD)
@example("@:/#?&[] ü")
@example("100%")
@example("?@?")
@example("12/34")
def test_a_password_may_be_written_as_it_is_or_encoded(password: str) -> None:
    for scheme in ("postgresql", "rediss"):
        for written in (password, quote(password, safe="")):
            key = "database_url" if scheme == "postgresql" else "redis_url"
            url = getattr(load(**{key: f"{scheme}://jobs:{written}@db.example:5432/name?a=b%40c"}), key)
            parts = urlsplit(url.get_secret_value())
            assert (parts.username, parts.hostname, parts.port) == ("jobs", "db.example", 5432)
            assert (unquote(parts.password or ""), parts.path, parts.query) == (password, "/name", "a=b%40c")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///jobrunner?host=/run/x&user=jobrunner",
        "postgresql://h",
        "postgres://one:1,two:2/d?target_session_attrs=read-write",
        "postgresql://[::1]:5432/d?sslrootcert=/a@b/ca.pem",
        "postgresql://u@h/d",
    ],
)
def test_what_reads_well_stays(url: str) -> None:
    settings = load(database_url=url)
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == url


@pytest.mark.parametrize("url", ["unix:///run/redis.sock?db=3", "redis://:6379/0", "redis://:p%40ss@[::1]:1/0"])
def test_what_reads_well_of_redis_stays(url: str) -> None:
    settings = load(redis_url=url)
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == url


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("database_url", "mysql://u:canary@h/d"),
        ("database_url", "postgresql://u:canary@h:port/d"),
        ("database_url", "postgresql:u:canary@h/d"),
        ("database_url", "canary"),
        ("redis_url", "http://:canary@h"),
        ("redis_url", "redis://:can/ary"),
        ("redis_url", "redis://h:canary/0"),
    ],
)
def test_a_url_that_cannot_be_read_is_not_shown(key: str, url: str) -> None:
    with pytest.raises(ConfigError, match=rf"setting `{key}` = '\*+': .*must read (postgresql|redis)://") as refused:
        load(**{key: url})
    assert "can" not in str(refused.value)
