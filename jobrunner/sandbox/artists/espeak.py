"""A program: speaks one text with eSpeak NG. JSON on stdin, one line of JSON and then the samples on stdout.

eSpeak NG is GPL-3 and keeps its state in globals, so its library is loaded only here, in a process that `voice` starts
for one text and that imports nothing of jobrunner. The numbers are those of eSpeak NG 1.52's speak_lib.h.
"""

import ctypes
import json
import sys
from typing import Any

SYNCHRONOUS = 2
PHONEME_EVENTS, PHONEME_IPA, DONT_EXIT = 0x0001, 0x0002, 0x8000
CHARS_UTF8, END_PAUSE = 0x01, 0x1000
RATE, PITCH = 1, 3
WORDS_A_MINUTE, SLOWEST, FASTEST = 165, 80, 450
LIST_TERMINATED, WORD, PHONEME = 0, 1, 7


class Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class Event(ctypes.Structure):
    """`text_position` counts characters from 1; `audio_position` is in milliseconds."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", Id),
    )


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))


def speak(order: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """`order`: library, data, text, language, variant, pitch (0 to 99), speed. Samples are 16-bit mono."""
    library = ctypes.CDLL(order["library"])
    options = PHONEME_EVENTS | PHONEME_IPA | DONT_EXIT
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, order["data"].encode(), options)
    if rate <= 0:
        raise SystemExit(f"eSpeak NG cannot be started with {order['data']}")
    samples, words, phonemes = bytearray(), [], []

    def hear(wave: Any, count: int, events: Any) -> int:
        if wave and count:
            samples.extend(ctypes.string_at(wave, 2 * count))
        at = 0
        while events[at].type != LIST_TERMINATED:
            event = events[at]
            if event.type == WORD:
                words.append([event.audio_position, event.text_position - 1, event.length])
            elif event.type == PHONEME:
                phonemes.append([event.audio_position, event.id.string.decode("utf-8", "replace")])
            at += 1
        return 0

    callback = CALLBACK(hear)
    library.espeak_SetSynthCallback(callback)
    for language in (order["language"], "en"):
        if library.espeak_SetVoiceByName(f"{language}+{order['variant']}".encode()) == 0:
            break
    speed = round(WORDS_A_MINUTE * order["speed"])
    library.espeak_SetParameter(RATE, min(FASTEST, max(SLOWEST, speed)), 0)
    library.espeak_SetParameter(PITCH, order["pitch"], 0)
    text = order["text"].encode() + b"\0"
    flags = CHARS_UTF8 | END_PAUSE
    library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 1, 0, flags, None, None)
    return {"rate": rate, "words": words, "phonemes": phonemes}, bytes(samples)


if __name__ == "__main__":
    heard, sound = speak(json.load(sys.stdin.buffer))
    sys.stdout.buffer.write(json.dumps(heard).encode() + b"\n" + sound)
