"""The page in a real browser: its style applies, markup stays text, a phone is wide enough."""

from __future__ import annotations

import html
import shutil
import subprocess
from pathlib import Path

import pytest

from onward.report.page import write
from tests.report import projects
from tests.report.test_page import HOSTILE, Page

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
PAPER, DARK = (0xFB, 0xFA, 0xF8), (0x15, 0x17, 0x1A)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not BROWSER, reason="no Chromium on PATH: apt-get install chromium"),
]


def _browse(folder: Path, *more: str) -> str:
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [BROWSER, *FLAGS, profile, *more], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _corner(picture: Path) -> tuple[int, ...]:
    """The colour of the topmost left pixel."""
    from matplotlib.image import imread

    return tuple(round(255 * float(part)) for part in imread(picture)[0, 0, :3])


def test_the_policy_lets_the_page_s_own_style_through(tmp_path: Path) -> None:
    page, picture = write(projects.lively(tmp_path), now=projects.NOW), tmp_path / "a.png"
    _browse(tmp_path, f"--screenshot={picture}", "--window-size=900,600", page.as_uri())
    assert _corner(picture) == PAPER


def test_dark_where_the_reader_wants_it(tmp_path: Path) -> None:
    page, picture = write(projects.empty(tmp_path), now=projects.NOW), tmp_path / "a.png"
    dark = "--blink-settings=preferredColorScheme=0"
    _browse(tmp_path, f"--screenshot={picture}", dark, page.as_uri())
    assert _corner(picture) == DARK


def test_s07_hostile_rows_stay_text_in_the_dom(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    before = set(Page(_browse(tmp_path, "--dump-dom", write(project).as_uri())).tags)
    text = " ".join(HOSTILE)
    rows = [projects.example(text, question=text, context=text, answers=[text])] * 2
    projects.examples(project, rows, rows)
    projects.append(project, "rollback", by=text, reason=text, champion="v4", version="v3")
    found = Page(_browse(tmp_path, "--dump-dom", write(project).as_uri()))
    assert set(found.tags) == before
    assert not {name for name in found.attributes if name.startswith("on")}
    assert text.split("\u202e")[0].strip() in found.text


@pytest.mark.parametrize("width", [390, 1100])
def test_no_page_wider_than_its_window(width: int, tmp_path: Path) -> None:
    """A frame of that width reports its content's width through a script of the outer page."""
    page = write(projects.lively(tmp_path), now=projects.NOW)
    inner = html.escape(page.read_text(encoding="utf-8"))
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<iframe id="f" srcdoc="{inner}" width="{width}" '
        'height="900"></iframe><script>onload = () => { const d = f.contentDocument.'
        "documentElement; document.title = 'wide ' + d.scrollWidth + ' of ' + d.clientWidth }"
        "</script>",
        encoding="utf-8",
    )
    dom = _browse(tmp_path, "--dump-dom", outer.as_uri())
    title = dom.partition("<title>")[2].partition("</title>")[0]
    _, content, _, window = title.split()
    assert int(window) == width
    assert int(content) <= width
