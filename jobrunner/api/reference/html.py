"""HTML that cannot be spoken by what it shows: all text is escaped, unless it was made here."""

import re
from collections.abc import Sequence
from html import escape

_BARE = re.compile(r"`([^`]+)`")


class Html(str):
    """Markup, made by `tag` or `prose`."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | None) -> Html:
    """`class_` is the attribute class; an attribute that is None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{joined(*children)}</{name}>")


def joined(*children: str) -> Html:
    return Html("".join(each if isinstance(each, Html) else escape(each) for each in children))


def prose(text: str) -> Html:
    """Words in which `backticks` set code apart."""
    return Html(_BARE.sub(r"<code>\1</code>", escape(text)))


def code(text: str) -> Html:
    return tag("code", text)


def table(caption: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Html:
    """Nothing where there are no rows. The first cell of each row names it."""
    if not rows:
        return Html()
    head = tag("tr", *(tag("th", each, scope="col") for each in columns))
    body = (tag("tr", tag("th", first, scope="row"), *(tag("td", each) for each in rest)) for first, *rest in rows)
    whole = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)
