"""The tables of codes and headers list all that there is."""

import ast
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TypeGuard

import jobrunner
from jobrunner.api.codes import OF_JOBS, PROBLEMS
from jobrunner.api.problems import problem_of
from jobrunner.errors import AttemptError, ConfigError, DeclarationError, JobrunnerError, NoRunner, RequestError
from jobrunner.providers.ethereum.refusals import FOR_GOOD
from tests.unit.test_problems import read

PACKAGE = Path(jobrunner.__file__).parent
NOT_OURS = ("sandbox", "demo", "cli", "embedded.py", "remote", "checked.py")
"""What is there speaks as a provider does, to a terminal, or within a program that calls the API."""


def every_class(base: type[JobrunnerError]) -> Iterator[type[JobrunnerError]]:
    yield base
    for each in base.__subclasses__():
        yield from every_class(each)


def sources() -> Iterator[ast.AST]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in NOT_OURS:
            yield from ast.walk(ast.parse(path.read_text()))


def said() -> Iterator[str]:
    """The words that are given to an error, or written into its record: `code="word"`, `{"code": "word"}`."""
    for node in sources():
        match node:
            case ast.keyword(arg="code", value=ast.Constant(value=str() as word)):
                yield word
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant):
                        yield str(value.value)
            case ast.Call(func=ast.Name(id="_ended"), args=args):
                yield from (each.value for each in args if isinstance(each, ast.Constant) and _is_word(each.value))


def _is_word(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.replace("_", "").isalpha()


def refusals() -> Iterator[str]:
    """`web.HTTPForbidden` and the like, and the words of `problem(status, "word", ...)`."""
    for node in sources():
        match node:
            case ast.Attribute(value=ast.Name(id="web"), attr=name) if name.startswith("HTTP"):
                yield name
            case ast.Call(func=ast.Name(id="problem"), args=[_, ast.Constant(value=str() as word), *_]):
                yield word


def documented() -> dict[str, tuple[int, ...]]:
    return {code.word: code.statuses for code in PROBLEMS}


def test_every_error_of_a_request_is_documented_with_its_status() -> None:
    errors = [*every_class(RequestError), *(each for each in every_class(JobrunnerError) if each.http_status == 503)]
    listed = documented()
    assert [each.__name__ for each in errors if each.http_status not in listed.get(each.code, ())] == []


def test_every_refusal_of_the_protocol_is_documented() -> None:
    from aiohttp import web  # noqa: PLC0415  # the words name its classes

    listed = documented()
    for word in set(refusals()) - {"HTTPException"}:
        if not word.startswith("HTTP"):
            assert word in listed
            continue
        made = {"HTTPRequestEntityTooLarge": (1, 2), "HTTPMethodNotAllowed": ("PUT", ["GET"])}.get(word, ())
        document = read(problem_of(getattr(web, word)(*made), request_id="r"))
        assert document["status"] in listed.get(document["code"], ()), word


def test_every_code_of_a_job_is_documented() -> None:
    endings = set(every_class(JobrunnerError)) - {
        *(each for base in (RequestError, ConfigError, DeclarationError, NoRunner) for each in every_class(base))
    }
    words = {*(each.code for each in endings if issubclass(each, AttemptError)), *said(), *FOR_GOOD.values()}
    assert words - {code.word for code in (*OF_JOBS, *PROBLEMS)} == set()


def test_no_word_is_listed_twice_and_each_says_what_to_do() -> None:
    for codes in (PROBLEMS, OF_JOBS):
        assert len({code.word for code in codes}) == len(codes)
        assert all(code.meaning.endswith(".") and code.remedy.endswith(".") for code in codes)
    assert all(HTTPStatus(status) for code in PROBLEMS for status in code.statuses)
