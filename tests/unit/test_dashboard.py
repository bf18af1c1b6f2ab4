"""What no file of the dashboard may hold: markup made of text, and addresses of anybody else."""

import re
from pathlib import Path

import pytest

from jobrunner.api import dashboard

STATIC = Path(dashboard.__file__).parent / "static"
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())
MARKUP = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|setHTML"
CODE = r"\beval\(|new Function|setTimeout\(\s*[\"'`]|import\(\s*[^\"\s]"
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_no_file_makes_markup_or_code_of_text_or_names_another_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace(NAMESPACE, "")
    for forbidden in (MARKUP, CODE, r"(?:https?:)?//[a-z0-9-]+\.[a-z]", r"@import"):
        assert re.findall(forbidden, text) == []


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script[^>]*>[^<]", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []
