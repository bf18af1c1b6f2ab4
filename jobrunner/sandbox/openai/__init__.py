"""OpenAI's API: pictures and their edits, speech, chat completions, and responses in background mode.

Not spoken: `stream: true` but for chat, tools, conversations, videos, webhooks.
"""

from typing import Final

import orjson
from aiohttp import web

from jobrunner.sandbox.openai import protocol
from jobrunner.sandbox.openai.chat import Chat
from jobrunner.sandbox.openai.images import MODELS as IMAGE_MODELS
from jobrunner.sandbox.openai.images import Images
from jobrunner.sandbox.openai.responses import Responses
from jobrunner.sandbox.openai.speech import MODELS as SPEECH_MODELS
from jobrunner.sandbox.openai.speech import Speech
from jobrunner.sandbox.state import State

BORN_AT: Final = 1767225600
TEXT_MODELS: Final = ("gpt-5.4-mini", "gpt-5.4")


class OpenAI:
    name = protocol.NAME
    refusals = protocol.REFUSALS

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def speed(self) -> float:
        return self._state.speed

    def app(self) -> web.Application:
        app = web.Application(middlewares=[protocol.answer_errors], client_max_size=512 * 2**20)
        app.on_response_prepare.append(protocol.sign)
        guard = self._state.faults.guard
        images, responses = Images(self._state), Responses(self._state)
        app.add_routes(
            [
                web.post("/v1/images/generations", guard(self, "create", images.generate)),
                web.post("/v1/images/edits", guard(self, "create", images.edit)),
                web.post("/v1/audio/speech", guard(self, "create", Speech(self._state).speak)),
                web.post("/v1/chat/completions", guard(self, "create", Chat(self._state).complete)),
                web.post("/v1/responses", guard(self, "create", responses.create)),
                web.get("/v1/responses/{id}", guard(self, "poll", responses.get)),
                web.post("/v1/responses/{id}/cancel", guard(self, "cancel", responses.cancel)),
                web.delete("/v1/responses/{id}", guard(self, "cancel", responses.delete)),
                web.get("/v1/models", guard(self, "list", self.models)),
            ]
        )
        return app

    async def models(self, _request: web.Request) -> web.Response:
        names = (*IMAGE_MODELS, *SPEECH_MODELS, *TEXT_MODELS)
        data = [{"id": name, "object": "model", "created": BORN_AT, "owned_by": "openai"} for name in names]
        return web.Response(body=orjson.dumps({"object": "list", "data": data}), content_type="application/json")
