"""Prometheus reads the resident process while a server dies: what it knows, and what it alerts."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.harness.director import ADDRESSES, director, on_loopback
from tests.harness.nginx import serving
from tests.harness.places import CHECKOUT, answers, free_port, is_root
from tests.harness.processes import Program
from tests.harness.waiting import patience, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.installation import Installation
    from tests.harness.standin import StandIn

EXAMPLES = CHECKOUT / "examples" / "prometheus"
CASES = CHECKOUT / "tests" / "data" / "prometheus" / "rules_test.yml"
DASHBOARD = json.loads((EXAMPLES / "grafana.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]

pytestmark = pytest.mark.skipif(
    not is_root() or any(shutil.which(name) is None for name in ("mon", "nginx", "prometheus")),
    reason="needs root, mon, nginx and prometheus",
)


class Prometheus(Program):
    """Debian's Prometheus with the example's rules, which fire at once, and one target."""

    def __init__(self, folder: Path, target: int) -> None:
        """Lay out the configuration, as the example has it but for addresses and times."""
        folder.mkdir()
        self.place = f"127.0.0.1:{free_port()}"
        quick = "global: {scrape_interval: 200ms, evaluation_interval: 200ms}\n"
        text = (EXAMPLES / "prometheus.yml").read_text().replace("9798", str(target), 2)
        assert f'["127.0.0.1:{target}"]' in text
        (folder / "prometheus.yml").write_text(quick + text)
        rules = (EXAMPLES / "lvsalert.rules.yml").read_text()
        rules = re.sub(r"(?m)^ +for: .*\n", "", rules)
        (folder / "lvsalert.rules.yml").write_text(rules)
        argv = ["prometheus", f"--config.file={folder}/prometheus.yml"]
        argv += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address={self.place}"]
        super().__init__(argv, folder / "output")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        super().start()
        wait_until(lambda: answers(self.place), lambda: self.output)

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression is now."""
        url = f"http://{self.place}/api/v1/query?{urlencode({'query': expression})}"
        with urlopen(url, timeout=patience()) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return found

    def wait_for(self, expression: str, value: float) -> dict[str, str]:
        """Wait until an expression has one value, and return its labels."""

        def is_so() -> list[dict[str, Any]]:
            return [each for each in self.ask(expression) if float(each["value"][1]) == value]

        def story() -> str:
            alerts = self.ask("ALERTS")
            return f"{expression}: {self.ask(expression)}, not {value}\n{alerts}\n{self.output}"

        (found,) = wait_until(is_so, story, pause=0.2)
        labels: dict[str, str] = found["metric"]
        return labels


def test_rules_fire_for_their_reasons(tmp_path: Path) -> None:
    """promtool takes the rules and the configuration, and each alert fires when it should."""
    for path in (*EXAMPLES.iterdir(), CASES):
        shutil.copy(path, tmp_path)
    for words in (
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "rules_test.yml"),
    ):
        done = subprocess.run(
            ["promtool", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    named = re.findall(r"alert: (\w+)", (EXAMPLES / "lvsalert.rules.yml").read_text())
    tested = CASES.read_text()
    assert [name for name in named if f'alertname="{name}"' not in tested] == []


def test_the_dashboard_is_laid_out() -> None:
    """Panels have a place each beside the others, queries of their own, and the two variables."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        area = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not area & taken, panel["title"]
        taken |= area
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == [chr(ord("A") + number) for number in range(len(letters))]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval"} == variables


def test_an_alert_fires_when_a_server_dies(
    folder: Path, standin: StandIn, installation: Installation
) -> None:
    """With mon, the resident and its traps; and every query of the dashboard has an answer."""
    socket, port = standin.state / "socket", free_port()
    text = on_loopback((CHECKOUT / "examples" / "mon-group.cf").read_text(), installation)
    text = re.sub(r"(?m)^hostgroup www .*$", f"hostgroup www {' '.join(ADDRESSES[:2])}", text)
    lines = f"        LVSALERT_SOCKET={socket}\n        LVSALERT_BETWEEN=0.2\n"
    text = text.replace("        redistribute", f"{lines}        redistribute")
    site = director(folder, standin, text, free_port(ADDRESSES[0]))
    user = ["setpriv", "--reuid=mon", "--regid=mon", "--init-groups"]
    argv = [*user, str(installation.bin / "lvs-director"), "serve", "--socket", str(socket)]
    argv += ["--listen", str(port), "--mon", site.mon.place, "--trap", site.mon.trap_place]
    resident = Program(argv, folder / "resident", {"PATH": "/usr/bin:/bin", **standin.environment})
    prometheus = Prometheus(folder / "prometheus", port)
    one, two = (serving(folder / f"web{number}", site.place(number)) for number in (1, 2))
    with resident, prometheus, one, two:
        wait_until(socket.exists, lambda: resident.output)
        with site.mon:
            site.serve(1, 2)
            prometheus.wait_for('sum(lvsalert_service_servers{state="in"})', 2)
            prometheus.wait_for("lvsalert_resident_watches", 1)
            assert prometheus.ask('ALERTS{alertname!="LVSMonSilent"}') == []
            one.kill()
            labels = prometheus.wait_for('ALERTS{alertname="LVSServerOut"}', 1)
            assert labels["server"] == site.place(1)
            assert labels["cause"] == "www/http"
            prometheus.wait_for('lvsalert_checks_total{result="failed"} > bool 0', 1)
            prometheus.wait_for("lvsalert_resident_traps_total > bool 0", 1)
            for query in QUERIES:
                asked = query.replace("$service", ".*").replace("$__rate_interval", "1m")
                # A rate is one of two readings.
                wait_until(functools.partial(prometheus.ask, asked), query, pause=0.2)
            two.kill()
            labels = prometheus.wait_for('ALERTS{alertname="LVSAllServersOut"}', 1)
            assert labels["service"] == f"tcp {site.web}"
            one.start()
            two.start()
            site.serve(1, 2)
            prometheus.wait_for('count(ALERTS{alertname=~"LVS.*"}) or vector(0)', 0)
