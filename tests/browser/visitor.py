"""Somebody in front of the dashboard, and what they must never notice: an error in the console, a call elsewhere."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, ViewportSize, expect

from tests.browser.world import World

CHROMIUM: Final[Mapping[str, Any]] = {
    "executable_path": "/usr/bin/chromium",
    "args": ["--no-sandbox", "--disable-dev-shm-usage", "--font-render-hinting=none"],
}
"""Debian's. It runs as root in containers, where it cannot make its own sandbox."""

WIDE: Final[ViewportSize] = {"width": 1280, "height": 860}
PHONE: Final[ViewportSize] = {"width": 320, "height": 640}
PATIENCE_MS: Final = 20_000
expect.set_options(timeout=PATIENCE_MS)

_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_LOCAL = {"blob", "data"}


class Visitor:
    """`page` is a tab of their own. Nothing may go wrong in it until the end of the block but what was `expected`."""

    def __init__(
        self,
        browser: Browser,
        world: World,
        *,
        url: str | None = None,
        size: ViewportSize = WIDE,
        theme: Literal["light", "dark"] = "light",
    ) -> None:
        self.world = world
        self._url = url or world.url
        self.expected: set[int] = set()
        """Statuses of answers that the browser may complain of."""
        self.trouble: list[str] = []
        self._context = browser.new_context(base_url=self._url, viewport=size, color_scheme=theme)
        self._context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self._context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.trouble.append(f"uncaught: {error}"))
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.trouble.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme not in _LOCAL and asked.netloc != urlsplit(self._url).netloc:
            self.trouble.append(f"asked another host: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.trouble.append(f"{response.status} {response.request.method} {response.url}")

    def sign_in(self, name: str) -> None:
        """Without the form."""
        answer = self._context.request.post("/v1/session", data={"key": self.world.keys[name]})
        assert answer.ok, answer.text()

    def open(self, place: str = "") -> Page:
        """The page at `place`, such as `#/jobs`, once it shows its heading."""
        self.page.goto(f"/{place}")
        self.page.get_by_role("heading", level=1).wait_for()
        return self.page

    def settle(self, place: str) -> None:
        """Go on to `place` as a link would, and wait until the page there has all that it asked the server for."""
        self.page.evaluate(_GO, place)
        self.page.get_by_role("heading", level=1).or_(self.page.get_by_role("alert")).first.wait_for()
        self.page.wait_for_function(_QUIET)

    def flaws(self) -> list[str]:
        """What axe-core finds on the page as it is, a line an element."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_AXE)
        before = len(self.trouble)
        found = self.page.evaluate(
            "(tags) => axe.run(document, {runOnly: tags, resultTypes: ['violations'], preload: false})", list(_RULES)
        )
        del self.trouble[before:]  # it tries out styles of its own, which the page's policy refuses
        return [
            f"{each['id']}: {' '.join(map(str, node['target']))}: {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    def overflow(self) -> list[str]:
        """What reaches beyond the screen's right edge, where the page can be scrolled sideways."""
        found: list[str] = self.page.evaluate(_OVERFLOW)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._context.close()
        if kind is None:
            assert not self.trouble, "\n".join(self.trouble)


_GO = "(place) => { location.hash = place; }"
_QUIET = """() => !document.querySelector("[aria-busy=true]")
  && [...document.images].every((each) => each.complete || each.loading === "lazy")"""
_OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const right = (each) => Math.round(each.getBoundingClientRect().right);
  const beyond = [...document.querySelectorAll("body *")].filter((each) => right(each) > width);
  return beyond.map((each) => `${each.tagName}.${each.className} ${right(each)}`);
}"""
