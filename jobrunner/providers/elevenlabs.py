"""ElevenLabs: speech, music and sound effects (ElevenLabs API reference: text-to-speech, music, sound-generation).

One long request whose answer is the sound: no handle, no idempotency key, no list. If the answer is lost, it was
made and billed, and is gone.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from jobrunner.errors import PermanentError
from jobrunner.net import Net
from jobrunner.providers.answers import Line, unsupported
from jobrunner.providers.driver import Capabilities, Desk, Finished
from jobrunner.providers.one_request import OneRequest
from jobrunner.providers.sounds import spooled
from jobrunner.request import NARRATOR, MusicRequest, Request, SoundRequest, SpeechRequest
from jobrunner.settings.tables import Provider
from jobrunner.work import Intent, Money, Plan

BASE_URL = "https://api.elevenlabs.io"
FORMAT = "mp3_44100_128"
"""Never pcm: its samples have no header, so nothing could tell what they are."""
NARRATOR_ID = "JBFqnCBsd6RMkjVDRZzb"
"""George, the voice of the API reference's own examples."""
MAX_TEXT = {"eleven_v3": 5_000, "eleven_multilingual_v2": 10_000, "eleven_flash_v2_5": 40_000}
"""Characters a request; a model that is not listed is left to judge for itself."""
HEARS_LANGUAGE = frozenset({"eleven_multilingual_v2", "eleven_flash_v2", "eleven_turbo_v2"})
"""Models that answer an error to `language_code`: they tell the language from the text."""
SPEEDS = (0.7, 1.2)
MUSIC_S = (3.0, 600.0)
SOUND_S = (0.5, 30.0)

_VOICE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class ElevenLabs(OneRequest):
    name = "elevenlabs"
    capabilities = Capabilities(routes=frozenset({"speech", "music", "sound"}), handle=False)

    def __init__(self, net: Net, settings: Provider) -> None:
        key = {"xi-api-key": "{key}"}
        self._line = Line(net, settings, provider=self.name, base_url=BASE_URL, headers=key)

    def prepare(self, model: str, request: Request) -> Plan:
        match request:
            case SpeechRequest():
                return self._speech(model, request)
            case MusicRequest(prompt, length_s, instrumental):
                self._check("length_s", length_s, MUSIC_S)
                body = {"prompt": prompt, "music_length_ms": round(length_s * 1000), "force_instrumental": instrumental}
                return Plan(self.name, model, "v1/music", body | {"model_id": model})
            case SoundRequest(prompt, length_s):
                self._check("length_s", length_s, SOUND_S)
                body = {"text": prompt, "duration_seconds": length_s, "model_id": model}
                return Plan(self.name, model, "v1/sound-generation", body)
        raise unsupported(self.name, "route", f"speech, music and sounds are made here, not {request.route}")

    async def submit(self, intent: Intent, desk: Desk) -> Finished:
        plan = intent.plan
        path = f"{plan.endpoint}?output_format={FORMAT}"
        async with self._line.open("POST", path, body=dict(plan.body), create=True) as answer:
            sound = await spooled(answer, desk)
            meta = {"request_id": answer.headers.get("request-id"), "output_format": FORMAT}
            return Finished((sound,), meta, _cost(answer.headers))

    async def check_key(self) -> None:
        """By its user (API reference, GET /v1/user), which a key that may make sounds only must not read.

        Such a one is refused with `missing_permissions`, one that nobody knows with `invalid_api_key`; both are 401.
        """
        try:
            await self._line.ask("GET", "v1/user")
        except PermanentError as error:
            if error.provider_code != "missing_permissions":
                raise

    def _speech(self, model: str, request: SpeechRequest) -> Plan:
        voice = NARRATOR_ID if request.voice == NARRATOR else request.voice
        most = MAX_TEXT.get(model, len(request.text))
        if not _VOICE_ID.fullmatch(voice):
            why = f"{voice!r} is no voice id; GET /v1/voices lists yours, and {NARRATOR!r} is a default one"
            raise unsupported(self.name, "voice", why)
        if len(request.text) > most:
            raise unsupported(self.name, "text", f"at most {most:,} characters for {model}, not {len(request.text):,}")
        self._check("speed", request.speed, SPEEDS)
        body: dict[str, Any] = {"text": request.text, "model_id": model}
        if request.language is not None and model not in HEARS_LANGUAGE:
            body["language_code"] = request.language
        if request.speed != 1.0:
            body["voice_settings"] = {"speed": request.speed}
        return Plan(self.name, model, f"v1/text-to-speech/{voice}", body)

    def _check(self, field: str, value: float, bounds: tuple[float, float]) -> None:
        if not bounds[0] <= value <= bounds[1]:
            raise unsupported(self.name, field, f"{bounds[0]:g} to {bounds[1]:g}, not {value:g}")


def _cost(headers: Mapping[str, str]) -> Money | None:
    """What the request cost in credits, where the answer tells it."""
    try:
        return Money(Decimal(headers["character-cost"]), "credits")
    except (KeyError, InvalidOperation):
        return None
