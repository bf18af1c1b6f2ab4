"""Examples for the docs: the params of each built-in task, and a `curl` line for each route.

A test submits each of the former and runs each of the latter.
"""

import shlex
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel

from jobrunner.api.shapes import Batch, Matching

_PICTURE = "https://cdn.example.com/lighthouse.png"
_CLIP = "https://cdn.example.com/scene-1.mp4"

PARAMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "generate_scene_image": {
        "user_id": "u1",
        "record_id": "scene-1",
        "scene_number": 1,
        "scene_description": "A lighthouse at dusk, the first stars above it",
        "size": "1536x1024",
    },
    "generate_character_image": {
        "user_id": "u1",
        "character_name": "Mira",
        "character_description": "a lighthouse keeper in a yellow raincoat",
        "style": "ink and watercolour",
    },
    "edit_image": {"user_id": "u1", "image": _PICTURE, "instruction": "Make it night."},
    "generate_scene_video": {
        "user_id": "u1",
        "image": _PICTURE,
        "scene_description": "The beam of the lighthouse sweeps over the sea",
        "duration_s": 5,
    },
    "generate_speech": {"user_id": "u1", "text": "Nobody had seen the light for a hundred years.", "language": "en"},
    "generate_music": {"user_id": "u1", "prompt": "slow piano, distant waves", "length_s": 30},
    "generate_sound_effect": {"user_id": "u1", "prompt": "a foghorn, far away", "length_s": 3},
    "lipsync_video": {"user_id": "u1", "video": _CLIP, "audio": "https://cdn.example.com/line-1.mp3"},
    "merge_videos": {
        "user_id": "u1",
        "clips": [_CLIP, "https://cdn.example.com/scene-2.mp4"],
        "transition": "crossfade",
        "loudness_lufs": -14,
    },
    "add_audio": {"user_id": "u1", "video": _CLIP, "tracks": [{"audio": "https://cdn.example.com/music.mp3"}]},
    "add_subtitles": {
        "user_id": "u1",
        "video": _CLIP,
        "cues": [{"start_s": 0.5, "end_s": 2.5, "text": "The light!"}],
        "language": "eng",
    },
    "write_screenplay": {"user_id": "u1", "story": "A keeper lights the lamp for the last time.", "scenes": 3},
    "enhance_prompt": {"user_id": "u1", "prompt": "a lighthouse", "style": "oil painting"},
    "moderate": {"user_id": "u1", "text": "Meet me at the lighthouse."},
    "mint_nft": {
        "user_id": "u1",
        "asset": _PICTURE,
        "name": "Lighthouse at dusk",
        "to": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    },
}
"""By task. Params of a user's own task may bring an example with them: pydantic's `examples`."""

BODIES: Final[Mapping[type[BaseModel], Any]] = {
    Batch: {
        "jobs": [
            {"task": "moderate", "params": PARAMS["moderate"], "idempotency_key": "story-7"},
            {"task": "generate_speech", "params": PARAMS["generate_speech"], "metadata": {"story": 7}},
        ]
    },
    Matching: {"task": "generate_speech", "metadata": {"story": 7}, "limit": 100},
}

_IDS = {"jobs": "$JOB", "artifacts": "$ARTIFACT"}


def curl(
    method: str,
    path: str,
    *,
    keyed: bool,
    query: Mapping[str, Any],
    body: Any = None,
    sends: str | None = None,
    answers: str | None = None,
) -> str:
    """The request as a line for a shell, in which `$JOBRUNNER` is the server's URL and `$KEY` an API key.

    `body` is sent as JSON; `sends` and `answers` are media types of what travels as a file.
    """
    area = path.removeprefix("/v1/").partition("/")[0].partition(":")[0]
    url = "$JOBRUNNER" + path.replace("{id}", _IDS.get(area, "$ID"))
    words = ["curl -sS"]
    if answers == "text/event-stream":
        words = ["curl -sSN"]
    elif answers is not None and answers.endswith("/*"):
        words.append('-o "$FILE"')
    if method != "GET" and body is None and sends is None:
        words.append(f"-X {method}")
    words.append(f'"{url}?{urlencode(query)}"' if query else f'"{url}"')
    if keyed:
        words.append('-H "Authorization: Bearer $KEY"')
    if sends is not None:
        words.append('--data-binary @"$FILE"')
    if body is not None:
        words.append("-H 'Content-Type: application/json'")
        words.append(f"-d {shlex.quote(orjson.dumps(body).decode())}")
    return " \\\n  ".join(words)
