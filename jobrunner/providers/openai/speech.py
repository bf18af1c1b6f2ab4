"""Speech: POST /audio/speech (OpenAI API reference, Audio). One long request that streams the sound, and no usage.

A stream that breaks off before its end was spoken and billed, and is lost.
"""

from jobrunner.providers.answers import Line, unsupported
from jobrunner.providers.driver import Desk, Finished
from jobrunner.providers.sounds import spooled
from jobrunner.request import NARRATOR, SpeechRequest
from jobrunner.work import Plan

SPEECH = "audio/speech"
MAX_TEXT = 4096
SPEEDS = (0.25, 4.0)
VOICES = {NARRATOR: "alloy"}


def speaking(model: str, request: SpeechRequest) -> Plan:
    """The language is dropped: these models hear it from the text."""
    if len(request.text) > MAX_TEXT:
        raise unsupported("openai", "text", f"at most {MAX_TEXT:,} characters, not {len(request.text):,}")
    if not SPEEDS[0] <= request.speed <= SPEEDS[1]:
        raise unsupported("openai", "speed", f"{SPEEDS[0]:g} to {SPEEDS[1]:g}, not {request.speed:g}")
    body = {
        "model": model,
        "input": request.text,
        "voice": VOICES.get(request.voice, request.voice),
        "speed": request.speed,
        "response_format": "mp3",
    }
    return Plan("openai", model, SPEECH, body)


async def speak(line: Line, plan: Plan, desk: Desk) -> Finished:
    async with line.open("POST", plan.endpoint, body=dict(plan.body), create=True) as answer:
        sound = await spooled(answer, desk)
        return Finished((sound,), {"voice": plan.body["voice"], "request_id": answer.headers.get("x-request-id")})
