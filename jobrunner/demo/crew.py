"""What each hand at a film does: one job each, from what it is given to what it hands on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jobrunner.demo.cutting import FADE_S, Scene, Speech, cues, placed, speakable
from jobrunner.demo.jobs import Job, Jobs
from jobrunner.demo.story import Story

_SIZE = "1280x720"
_FPS = 24
_STYLE = "storybook watercolour, soft colours"
_PAINTED = "1152x864"  # higher than the film: a clip is the middle of its picture
_PROMPT_CHARS = 900  # what every model reads of a prompt
_LOUDNESS_LUFS = -16
_MUSIC_DB = -16
_VOICES = {
    "cgSgspJ2msm6clMCkdW9": "child boy girl baby",  # Jessica, playful
    "pFZP5JQG7iQjIQuC4Bku": "she her woman queen mother lady princess",  # Lily, velvety
    "pNInz6obpgDQGcFmaJgB": "",  # Adam, deep
}
"""Default voices of ElevenLabs, with the words of a description that each fits; the last fits whoever is left."""


def voice_of(description: str) -> str:
    """The voice that fits a character."""
    words = re.findall(r"\w+", description.lower())
    return next(voice for voice, fits in _VOICES.items() if not fits or set(fits.split()).intersection(words))


async def screenplay(jobs: Jobs, story: Story) -> Mapping[str, Any]:
    """As `write_screenplay` declares its result."""
    written: Mapping[str, Any] = (await jobs.run("write_screenplay", story=story.text, scenes=story.scenes))["result"]
    return written


async def portrait(jobs: Jobs, seed: int, name: str, description: str) -> Job:
    return await jobs.run(
        "generate_character_image",
        character_name=name,
        character_description=description[:_PROMPT_CHARS],
        style=_STYLE,
        size=_PAINTED,
        seed=seed,
    )


async def scenery(jobs: Jobs, number: int, description: str) -> Job:
    return await jobs.run(
        "generate_scene_image",
        scene_description=description[:_PROMPT_CHARS],
        scene_number=number,
        style=_STYLE,
        size=_PAINTED,
        seed=number,
    )


async def speech(jobs: Jobs, text: str, voice: str = "narrator", speaker: str | None = None) -> Speech:
    spoken = speakable(text)
    made = (await jobs.run("generate_speech", text=spoken, voice=voice))["result"]
    return Speech(spoken, made["artifact_id"], made["duration_s"], speaker)


async def clip(jobs: Jobs, picture: Job, action: str, length_s: int) -> Job:
    return await jobs.run(
        "generate_scene_video",
        image=picture["result"]["artifact_id"],
        scene_description=action[:_PROMPT_CHARS],
        duration_s=length_s,
        size=_SIZE,
    )


async def lips(jobs: Jobs, close_up: Job, spoken: Speech) -> Job:
    """The close-up keeps its length: whoever has spoken stays in the picture."""
    return await jobs.run(
        "lipsync_video", video=close_up["result"]["artifact_id"], audio=spoken.sound, sync_mode="silence"
    )


async def joined(jobs: Jobs, scenes: Sequence[Scene]) -> Job:
    """The shots of each scene with cuts between them, and one scene fading into the next."""
    joints = [joint for scene in scenes for joint in (*["cut"] * (len(scene) - 1), "crossfade")]
    return await jobs.run(
        "merge_videos",
        clips=[shot.clip for scene in scenes for shot in scene],
        transitions=joints[:-1],
        transition_s=FADE_S,
        size=_SIZE,
        fps=_FPS,
    )


async def music(jobs: Jobs, title: str, length_s: float) -> str:
    """The artifact."""
    made = await jobs.run(
        "generate_music", prompt=f"Gentle, hopeful music for a short film: {title}", length_s=length_s
    )
    return str(made["result"]["artifact_id"])


async def mixed(jobs: Jobs, silent: Job, scenes: Sequence[Scene], tune: str) -> Job:
    """With the narrator's voice over the scenes, and under all voices the music. The cast was heard before."""
    narrations = [
        {"audio": spoken.sound, "start_s": start_s} for start_s, spoken in placed(scenes) if spoken.speaker is None
    ]
    tracks = [*narrations, {"audio": tune, "gain_db": _MUSIC_DB, "duck": True}]
    return await jobs.run(
        "add_audio", video=silent["result"]["artifact_id"], tracks=tracks, loudness_lufs=_LOUDNESS_LUFS
    )


async def subtitled(jobs: Jobs, heard: Job, scenes: Sequence[Scene]) -> Job:
    read = [asdict(cue) for cue in cues(placed(scenes))]
    return await jobs.run("add_subtitles", video=heard["result"]["artifact_id"], cues=read)


async def minted(jobs: Jobs, film: Job, story: Story, owner: str) -> Job:
    made = film["result"]
    attributes = [
        {"trait_type": "Author", "value": story.author or "unknown"},
        {"trait_type": "Scenes", "value": story.scenes},
        {"trait_type": "Length in seconds", "value": round(made["duration_s"])},
    ]
    return await jobs.run(
        "mint_nft",
        asset=made["artifact_id"],
        name=story.title,
        description=f"A short film of “{story.title}”, made by jobrunner.",
        attributes=attributes,
        to=owner,
    )
