"""All pictures on one page, with the words they were drawn from. One file, no script, nothing from elsewhere."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from jobrunner.demo.pictures import Made
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
header p, .took {{ color: var(--soft); }}
.grid {{ display: grid; gap: 1.6rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--least)), 1fr)); }}
.cast {{ --least: 11rem; }}
.scenes {{ --least: 22rem; }}
figure {{ margin: 0; overflow: hidden; border-radius: .7rem; background: var(--card);
  box-shadow: 0 1px 2px #0003, 0 6px 20px #0001; }}
img {{ display: block; width: 100%; height: auto; }}
figcaption {{ padding: .9rem 1.1rem 1.1rem; }}
figcaption p {{ margin: .4rem 0 0; font-size: .95rem; }}
.took {{ float: right; font-size: .8rem; }}
.problem {{ padding: 3rem 1.1rem; color: #b3402e; }}
</style>
<header><h1>{title}</h1><p>{author}</p></header>
<main>
{sections}
</main>
</html>
"""


def write(path: Path, story: Story, made: Sequence[Made]) -> None:
    cast = [each for each in made if each.picture.kind == "cast"]
    scenes = [each for each in made if each.picture.kind == "scene"]
    sections = "\n".join(
        f'<h2>{name}</h2>\n<div class="grid {name.lower()}">\n{"".join(map(_figure, some))}</div>'
        for name, some in (("Cast", cast), ("Scenes", scenes))
        if some
    )
    page = _PAGE.format(title=escape(story.title), author=escape(story.author), sections=sections)
    path.write_text(page, encoding="utf-8")


def _figure(made: Made) -> str:
    title, caption = escape(made.picture.title), escape(made.picture.caption)
    if made.file is None:
        shown = f'<div class="problem">{escape(made.problem or "")}</div>'
    else:
        shown = f'<a href="{escape(made.file)}"><img src="{escape(made.file)}" alt="{title}" loading="lazy"></a>'
    span = made.span
    took = "" if span is None else f'<span class="took">{(span[1] - span[0]).total_seconds():.1f} s</span>'
    return f"<figure>{shown}<figcaption>{took}<strong>{title}</strong><p>{caption}</p></figcaption></figure>\n"
