"""Which URLs and addresses may be reached, and how long an answer asks us to wait."""

import ipaddress
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.errors import ConfigError, UrlNotAllowed
from jobrunner.net import Net, retry_after_s
from jobrunner.net.policy import Policy, is_public, shown
from tests.hostile.urls import ODD, PRIVATE, PUBLIC, REFUSED


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_for_everyone_is_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reachable(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_every_ipv4_address_is_refused_inside_ipv6(inner: ipaddress.IPv4Address) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::", "::"):
        outer = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(inner))
        assert not is_public(outer)
    assert not is_public(ipaddress.IPv6Address(int(ipaddress.IPv6Address("2002::")) | int(inner) << 80))


@given(st.ip_addresses())
def test_python_never_calls_private_what_we_call_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not any((address.is_private, address.is_loopback, address.is_link_local, address.is_multicast))


@pytest.mark.parametrize("url", [*REFUSED, *ODD])
def test_check_url_refuses(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        Net().check_url(url)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a.png?sig=a%2Bb@c", "https://8.8.8.8/", "https://EXAMPLE.com.:8443/", "https://bücher.de/ü"],
)
def test_check_url_passes_public_https(url: str) -> None:
    Net().check_url(url)


@given(st.text(max_size=60))
def test_check_url_has_only_one_kind_of_no(tail: str) -> None:
    for url in (tail, f"https://{tail}", f"https://example.com/{tail}"):
        try:
            Net().check_url(url)
        except UrlNotAllowed:
            continue


@given(st.integers(0, 2**32 - 1))
def test_no_spelling_of_a_private_address_passes(number: int) -> None:
    address = ipaddress.IPv4Address(number)
    first, *_, last = address.packed
    for host in (str(number), hex(number), f"{first}.{number & 0xFFFFFF}", f"0{first:o}.0.0.{last}"):
        with pytest.raises(UrlNotAllowed):
            Net().check_url(f"https://{host}/")


@pytest.mark.parametrize(
    ("allow", "url", "by_name"),
    [
        ("minio", "http://minio:9000/a", True),
        ("minio:9000", "http://MINIO:9000/a", True),
        ("localhost", "https://localhost/a", True),
        ("127.0.0.1:8081", "http://127.0.0.1:8081/a", False),
        ("10.0.0.0/8", "http://10.1.2.3/a", False),
        ("[::1]:9000", "http://[::1]:9000/a", False),
        ("fd00::/8", "https://[fd00::7]/a", False),
    ],
)
def test_an_operator_can_allow_a_place(allow: str, url: str, *, by_name: bool) -> None:
    assert Policy([allow]).vet(url)[1] is by_name


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ("minio:9000", "http://minio:9001/"),
        ("minio", "http://minio.evil.example/"),
        ("127.0.0.1:8081", "http://127.0.0.1:8082/"),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/"),
        ("10.0.0.0/8", "http://11.0.0.1/"),
    ],
)
def test_an_allowed_place_opens_no_other(allow: str, url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        Policy([allow]).vet(url)


@pytest.mark.parametrize(
    "entry", ["", "http://h", "h:0", "h:70000", "10.0.0.1/8", "0x7f.1", "a b", "h/x", "[::1", "*.h"]
)
def test_a_wrong_entry_names_the_setting(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"net\.allow"):
        Net([entry])


def test_a_signed_url_goes_out_as_it_was_signed() -> None:
    signed = "https://files.example/o%2Fa.png?Signature=a%2Bb%2Fc%3D&x=%7e"
    assert str(Policy().vet(signed)[0]) == signed


def test_messages_show_no_secret_part_of_a_url() -> None:
    assert shown("https://user:pw@h/p?sig=secret#frag") == "'https://h/p'"
    assert shown("data:image/png;base64,SECRET") == "'data:image/png;base64'"


NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "Retry-After": "9"}, 0.25),
        ({"Retry-After": format_datetime(NOW.replace(minute=2), usegmt=True), "Date": format_datetime(NOW)}, 120.0),
        ({"Retry-After": format_datetime(NOW.replace(hour=11), usegmt=True), "Date": format_datetime(NOW)}, 0.0),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "1e400"}, None),
        ({"retry-after-ms": "x", "Retry-After": "3"}, 3.0),
    ],
)
def test_retry_after_in_every_form(headers: dict[str, str], wait_s: float | None) -> None:
    assert retry_after_s(headers) == wait_s
