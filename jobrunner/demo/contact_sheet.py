"""The film and its pictures on one page, with the words they were drawn from. No script, nothing from elsewhere."""

from html import escape
from pathlib import Path

from jobrunner.demo.script import FILM, Film, Picture
from jobrunner.demo.story import Story

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --paper: light-dark(#faf7f0, #17161a); --ink: light-dark(#2b2620, #e9e4da);
  --soft: light-dark(#7d7263, #9d958a); --card: light-dark(#fff, #211f25); }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; padding: 3rem clamp(1rem, 4vw, 4rem); max-width: 90rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 Georgia, "Iowan Old Style", serif; }}
header {{ text-align: center; margin-bottom: 3rem; }}
h1 {{ margin: 0; font-size: clamp(2rem, 5vw, 3.2rem); font-weight: 500; }}
h2 {{ margin: 3rem 0 1.2rem; font-size: 1.1rem; font-weight: 500; letter-spacing: .18em; text-transform: uppercase;
  color: var(--soft); }}
header p {{ color: var(--soft); }}
video {{ display: block; width: 100%; max-width: 64rem; margin: 0 auto; border-radius: .7rem; background: #000; }}
.grid {{ display: grid; gap: 1.6rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--least)), 1fr)); }}
.cast {{ --least: 11rem; }}
.scenes {{ --least: 22rem; }}
figure {{ margin: 0; overflow: hidden; border-radius: .7rem; background: var(--card);
  box-shadow: 0 1px 2px #0003, 0 6px 20px #0001; }}
img {{ display: block; width: 100%; height: auto; }}
figcaption {{ padding: .9rem 1.1rem 1.1rem; }}
figcaption p {{ margin: .4rem 0 0; font-size: .95rem; }}
</style>
<header><h1>{title}</h1><p>{author}</p></header>
<main>
<video controls preload="metadata" src="{film}"></video>
{sections}
</main>
</html>
"""


def write(path: Path, story: Story, film: Film) -> None:
    sections = "\n".join(
        f'<h2>{name}</h2>\n<div class="grid {name.lower()}">\n{"".join(map(_figure, pictures))}</div>'
        for name, pictures in (("Cast", film.cast), ("Scenes", film.scenes))
        if pictures
    )
    page = _PAGE.format(title=escape(story.title), author=escape(story.author), film=FILM, sections=sections)
    path.write_text(page, encoding="utf-8")


def _figure(picture: Picture) -> str:
    title, file = escape(picture.title), escape(picture.file)
    shown = f'<a href="{file}"><img src="{file}" alt="{title}" loading="lazy"></a>'
    return (
        f"<figure>{shown}<figcaption><strong>{title}</strong><p>{escape(picture.caption)}</p></figcaption></figure>\n"
    )
