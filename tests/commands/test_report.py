"""The page for a browser, as Chromium shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director
from tests.harness.alerts import Director
from tests.harness.waiting import patience

if TYPE_CHECKING:
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

HOSTS = "192.0.2.1 192.0.2.2 192.0.2.3"
EVIL = '<script>document.title = "owned"</script>"\'&<img src=x onerror=alert(1)>'
CLICK = "<script>document.querySelector('[data-show=trouble]').click()</script>"

needs_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not installed"
)


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Director:
    """A director whose three servers are in, and a service of a mark."""
    made = Director(tmp_path, monkeypatch)
    made.kernel.fill("-A -t 10.0.0.3:80 -s wlc\n-A -f 7 -s rr\n-a -f 7 -r 192.0.2.9:0 -m -w 3")
    made.by_mon("up", hosts=HOSTS)
    return made


def report(director: Director, path: Path | None = None) -> Outcome:
    """Run lvs-director report."""
    words = [] if path is None else ["--html", str(path)]
    return lvs_director.run(["report", *words], director.environ, str)


def browse(folder: Path, page: str) -> str:
    """Return what Chromium makes of a page, its scripts run."""
    file = folder / "page.html"
    file.write_text(page)
    done = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--user-data-dir={folder}/chromium", "--enable-logging=stderr", f"file://{file}"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(),
    )
    # What a script complains of.
    assert "CONSOLE" not in done.stderr
    return done.stdout


def rows(page: str, service: str) -> dict[str, str]:
    """Return the rows of a service, by their servers, as text; one that is hidden as that."""
    found = re.findall(
        rf'<tr data-service="{service}" data-state="(?!change)\S+?"( hidden="")?><td class="">'
        r"(\S+?)</td>(.*?)</tr>",
        page,
    )
    return {
        server: "hidden" if hidden else " ".join(re.sub("<.*?>", " ", rest).split())
        for hidden, server, rest in found
    }


@needs_chromium
def test_a_server_that_dies_is_on_the_page(director: Director, tmp_path: Path) -> None:
    """With why; a click hides those that are in; text of servers and people stays text."""
    before = browse(tmp_path, report(director).stdout)
    assert "<h1>All real servers are in</h1>" in before
    assert set(rows(before, "tcp 10.0.0.3:80")) == {f"192.0.2.{number}:80" for number in (1, 2, 3)}
    director.by_mon("failure", "192.0.2.2", hosts=HOSTS)
    words = ["drain", "192.0.2.3", "--reason", EVIL]
    assert lvs_director.run(words, director.environ, str).status == 0
    file = tmp_path / "report.html"
    assert report(director, file) == (0, "", "", None)
    after = browse(tmp_path, file.read_text().replace("</body>", f"{CLICK}</body>"))
    assert "<h1>2 of 4 real servers are not in</h1>" in after
    assert "<title>Linux Virtual Server:" in after
    shown = rows(after, "tcp 10.0.0.3:80")
    assert shown["192.0.2.1:80"] == "hidden"
    assert re.match(r"out [-\d]+ [:\d]+ www/http: failure", shown["192.0.2.2:80"])
    drained = r"quiesced 0 0 0 [-\d]+ [:\d]+ operator: drained by \S+: &lt;script&gt;"
    assert re.match(drained, shown["192.0.2.3:80"])
    assert rows(after, "fwm 7") == {"192.0.2.9:0": "hidden"}
    assert after.count("<script>") == 2
    assert "<img" not in after
    # One picture of a day and one of a week, each with patterns of its own.
    assert after.count("<svg") == 2
    assert set(re.findall(r"url\(#(\w+)\)", after)) == set(
        re.findall(r'<pattern id="(\w+)"', after)
    )
    # Nothing comes from anywhere else.
    assert re.findall(r"<[^>]*\b(?:src|href)=|@import|url\((?!#)", after) == []


def test_a_page_tells_what_could_not_be_read(director: Director, tmp_path: Path) -> None:
    """It is written all the same, and the status is 1."""
    program = director.use("echo 'out of memory' >&2", "exit 1")
    (director.state / "ledger.db").write_bytes(b"no database" * 1000)
    file = tmp_path / "report.html"
    done = report(director, file)
    assert (done.status, done.stdout) == (1, "")
    said = [
        f"{program} cannot read the table: out of memory",
        f"{director.state}/ledger.db: file is not a database",
    ]
    assert done.stderr == "".join(f"lvs-director: {line}\n" for line in said)
    assert re.findall('<p class="trouble">(.*)</p>', file.read_text()) == said
