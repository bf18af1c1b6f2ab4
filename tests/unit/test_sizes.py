"""Sizes only shrink: what is larger than a page is listed here with its present size, and may not grow.

A file aims at 300 lines and a function at 30 (ARCHITECTURE: hard limits 500 and 60).
"""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "jobrunner"
FILE_LINES = 300
FUNCTION_LINES = 40
LARGE_FILES: dict[str, int] = {}
LARGE_FUNCTIONS: dict[str, int] = {}
HARD_FILE_LINES = 400
HARD_FUNCTION_LINES = 60
VAGUE = {"utils", "util", "common", "helpers", "constants", "types", "models", "misc"}


def sources() -> Iterator[tuple[str, str]]:
    """Each module's path inside the package, and its text."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")


def functions() -> Iterator[tuple[str, int]]:
    """Each function as `path:name`, and its lines, decorators and docstring included."""
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                yield f"{path}:{node.name}", (node.end_lineno or first) - first + 1


def larger(sizes: Iterator[tuple[str, int]], aim: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, lines in sizes:
        if lines > aim:
            found[name] = max(lines, found.get(name, 0))
    return found


def grown(found: dict[str, int], listed: dict[str, int], hard: int) -> dict[str, int]:
    """What is larger than its listed size, not listed at all, or past the hard limit."""
    return {name: lines for name, lines in found.items() if lines > min(listed.get(name, 0), hard)}


def test_no_file_grows_past_its_size() -> None:
    found = larger(((path, text.count("\n")) for path, text in sources()), FILE_LINES)
    assert not grown(found, LARGE_FILES, HARD_FILE_LINES)
    assert set(LARGE_FILES) == set(found), "take off the list what has shrunk"


def test_no_function_grows_past_its_size() -> None:
    found = larger(functions(), FUNCTION_LINES)
    assert not grown(found, LARGE_FUNCTIONS, HARD_FUNCTION_LINES)
    assert set(LARGE_FUNCTIONS) == set(found), "take off the list what has shrunk"


def test_every_module_is_named_after_what_it_does() -> None:
    assert not [path for path, _ in sources() if VAGUE & set(Path(path).with_suffix("").parts)]
