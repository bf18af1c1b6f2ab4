"""Sounds that arrive as the answer itself, in chunks and without a length."""

import aiohttp

from jobrunner.media import sniff
from jobrunner.net import save
from jobrunner.providers.answers import OUTPUT_BYTES, BadAnswer
from jobrunner.providers.driver import Desk
from jobrunner.work import Output


async def spooled(answer: aiohttp.ClientResponse, desk: Desk) -> Output:
    """The body as a file. Use it inside `Line.open`, which maps what it raises.

    Only the last chunk's mark tells a whole clip from a cut one: aiohttp raises for a stream that ends without it.
    """
    file = await save(answer, desk.spool, max_bytes=OUTPUT_BYTES)
    with file.path.open("rb") as start:
        mime = sniff(start.read(16))
    if mime is None or not mime.startswith("audio/"):
        file.path.unlink()
        raise BadAnswer(f"an answer that is no sound but {file.mime or 'untyped'}, {file.size_bytes:,} bytes")
    return Output("audio", path=file.path, mime=mime)
