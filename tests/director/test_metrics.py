"""What Prometheus is told of a director, as its own parsers and promtool read it."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_new
from prometheus_client.parser import text_string_to_metric_families as read_older

from lvsalert import __version__, openmetrics
from lvsalert.commands import lvs_director
from lvsalert.director import metrics
from lvsalert.ipvs.ipvsadm import Ipvsadm
from lvsalert.openmetrics import Family, Kind, Sample
from lvsalert.resident import notes
from tests.harness.alerts import Director
from tests.harness.places import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

WEB = "tcp 10.0.0.3:80"
HOSTS = " ".join(f"192.0.2.{number}" for number in range(1, 6))
Told = dict[str, dict[frozenset[str], float]]
"""Values by name and labels, each label a word."""


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Director:
    """A director with a web service of five servers."""
    made = Director(tmp_path, monkeypatch)
    made.kernel.fill("-A -t 10.0.0.3:80 -s wlc")
    made.environ["LVSALERT_MIN_IN"] = "2"
    made.by_mon("up", hosts=HOSTS)
    return made


def run(director: Director, *argv: str) -> Outcome:
    """Run a command of lvs-director."""
    return lvs_director.run(argv, director.environ, str)


def told(director: Director) -> Told:
    """Return what ``metrics`` prints, which both parsers and promtool read alike."""
    new, older = run(director, "metrics"), run(director, "metrics", "--textfile", "-")
    assert new[:3:2] == older[:3:2] == (0, "")
    found: Told = {}
    for family in read_new(new.stdout):
        for sample in family.samples:
            labels = frozenset(f"{name}={value}" for name, value in sample.labels.items())
            found.setdefault(sample.name, {})[labels] = sample.value
    again = [sample for family in read_older(older.stdout) for sample in family.samples]
    assert len(again) == sum(map(len, found.values()))
    # No time stamp, which node_exporter would refuse.
    assert {each.timestamp for each in again} == {None}
    argv = ["promtool", "check", "metrics"]
    if shutil.which(argv[0]) is not None:
        done = subprocess.run(argv, input=older.stdout, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return found


def of(found: Mapping[frozenset[str], float], *words: str) -> dict[str, float]:
    """Return what has these labels, by the others in one line."""
    asked = frozenset(words)
    return {
        " ".join(sorted(labels - asked)): value
        for labels, value in found.items()
        if asked <= labels
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_servers_and_why_they_are_out(director: Director) -> None:
    """Out, held, drained until when, in reserve of a mark: each is a number with few labels."""
    service = f"service={WEB}"
    director.by_mon("failure", "192.0.2.2", hosts=HOSTS)
    assert run(director, "drain", "192.0.2.3", "--for", "2h", "--reason", "new disk").status == 0
    assert run(director, "drain", "192.0.2.5").status == 0
    director.by_mon("failure", "192.0.2.1 192.0.2.2 192.0.2.4", hosts=HOSTS)
    director.kernel.change("-A -f 7 -s rr\n-a -f 7 -r 192.0.2.9:0 -m -w 3")
    found = told(director)
    assert of(found["lvsalert_service_servers"], service) == {
        "state=in": 2,
        "state=slow-starting": 0,
        "state=quiesced": 2,
        "state=out": 1,
        "state=missing": 0,
    }
    assert found["lvsalert_service_servers_held"][frozenset({service})] == 2
    assert of(found["lvsalert_service_servers_min"]) == {service: 2}
    assert found["lvsalert_service_differences"] == {
        frozenset({service}): 0,
        frozenset({"service=fwm 7"}): 0,
    }
    causes = of(found["lvsalert_server_cause_timestamp_seconds"], service)
    assert set(causes) == {
        *(f"cause=www/http server=192.0.2.{number}:80" for number in (1, 2, 4)),
        *(f"cause=operator server=192.0.2.{number}:80" for number in (3, 5)),
    }
    assert causes["cause=www/http server=192.0.2.2:80"] == director.time - 60
    (end,) = of(found["lvsalert_server_drain_end_timestamp_seconds"], service).items()
    assert end[0] == "server=192.0.2.3:80"
    assert end[1] - 7200 == pytest.approx(causes["cause=operator server=192.0.2.3:80"], abs=1)
    server = "server=192.0.2.2:80"
    assert of(found["lvsalert_server_state"], service, server)["state=out"] == 1
    assert sum(of(found["lvsalert_server_state"], service, server).values()) == 1
    assert of(found["lvsalert_server_weight"], "service=fwm 7") == {"server=192.0.2.9:0": 3}
    assert of(found["lvsalert_server_connections_active"], "service=fwm 7") == {
        "server=192.0.2.9:0": 0
    }
    assert of(found["lvsalert_changes_total"], service) == {"by=www/http": 6, "by=operator": 2}
    (when,) = of(found["lvsalert_check_last_timestamp_seconds"], service, "check=www/http").values()
    assert when > director.time
    assert of(found["lvsalert_build_info"]) == {f"version={__version__}": 1}
    # As node_exporter's ipvs collector has it of /proc/net/ip_vs.
    local, remote = "local_address= local_mark=00000007 local_port=0", "remote_address=192.0.2.9"
    assert set(of(found["lvsalert_server_info"], "service=fwm 7")) == {
        f"{local} proto=FWM {remote} remote_port=0 server=192.0.2.9:0"
    }
    local, remote = "local_address=10.0.0.3 local_mark= local_port=80", "remote_address=192.0.2.1"
    assert set(of(found["lvsalert_server_info"], service, "server=192.0.2.1:80")) == {
        f"{local} proto=TCP {remote} remote_port=80"
    }


def test_what_stands_otherwise_than_the_ledger_wants(director: Director) -> None:
    """By another hand: gone, back in, at weight 0; and a whole service that is gone."""
    service = f"service={WEB}"

    def differences() -> float:
        return told(director)["lvsalert_service_differences"][frozenset({service})]

    director.by_mon("failure", "192.0.2.2", hosts=HOSTS)
    assert differences() == 0
    director.kernel.change("-d -t 10.0.0.3:80 -r 192.0.2.1:80")
    assert differences() == 1
    director.kernel.change("-a -t 10.0.0.3:80 -r 192.0.2.2:80 -g -w 1")
    assert differences() == 2
    director.kernel.change("-e -t 10.0.0.3:80 -r 192.0.2.3:80 -g -w 0")
    assert differences() == 3
    director.kernel.fill("")
    found = told(director)
    assert of(found["lvsalert_service_present"]) == {service: 0}
    # Four servers were in by the journal.
    assert of(found["lvsalert_service_differences"]) == {service: 5}
    director.by_mon("failure", "192.0.2.2", "--scheduler", "wlc", hosts=HOSTS)
    assert differences() == 0


def test_a_check_that_cannot_tell_is_counted(director: Director) -> None:
    """At once by its number, and of its servers once it has lasted."""
    service = f"service={WEB}"
    now = director.time
    for number in range(1, 13):
        director.by_mon("failure", hosts=HOSTS, environ={"MON_RETVAL": "3"})
        found = told(director) if number in (1, 12) else {}
        if number == 1:
            assert of(found["lvsalert_service_servers_unjudged"]) == {service: 0}
    assert of(found["lvsalert_check_without_verdict"], "check=www/http") == {service: 12}
    # Two minutes have not passed since the first.
    assert of(found["lvsalert_service_servers_unjudged"]) == {service: 0}
    _age_unjudged(director, by=121)
    assert of(told(director)["lvsalert_service_servers_unjudged"]) == {service: 5}
    assert director.time > now
    director.by_mon("up", hosts=HOSTS)
    assert of(told(director)["lvsalert_service_servers_unjudged"]) == {service: 0}


def _age_unjudged(director: Director, *, by: float) -> None:
    """Let what cannot be told have begun so many seconds before."""
    from lvsalert.ledger.ledger import Ledger

    ledger = Ledger.open(str(director.state))
    ledger.begin()
    (each,) = ledger.unjudged.all()[WEB].values()
    ledger.unjudged.put(WEB, "www/http", each._replace(since=each.since - by))
    ledger.commit()
    ledger.close()


def test_the_fallback_is_no_real_server(director: Director, tmp_path: Path) -> None:
    """That it serves is a number of its own, by its option and by the director's file."""
    service = f"service={WEB}"
    del director.environ["LVSALERT_MIN_IN"]
    director.by_mon("failure", HOSTS, "--fallback", "192.0.2.99", hosts=HOSTS)
    found = told(director)
    assert of(found["lvsalert_service_fallbacks_in"]) == {service: 1}
    assert found["lvsalert_service_servers"][frozenset({service, "state=in"})] == 0
    director.kernel.fill("")
    assert run(director, "forget", "10.0.0.3:80").status == 0
    file = tmp_path / "www.cf"
    file.write_text(
        "virtual = 10.0.0.3:80\n    real = 192.0.2.1:80 gate\n    fallback = 192.0.2.98:80 gate\n"
        "    checktype = on\n"
    )
    assert run(director, "start", "--unchecked", str(file)).status == 0
    assert run(director, "drain", "192.0.2.1").status == 0
    found = told(director)
    label = f"file={file}"
    assert of(found["lvsalert_file_differs"]) == {label: 0}
    assert set(of(found["lvsalert_file_accepted_timestamp_seconds"])) == {label}
    assert set(of(found["lvsalert_server_weight"])) == {f"server=192.0.2.1:80 {service}"}
    file.write_text(f"{file.read_text()}    scheduler = wrr\n")
    assert of(told(director)["lvsalert_file_differs"]) == {label: 1}


def test_changes_are_counted_though_the_journal_is_trimmed(director: Director) -> None:
    """A counter that fell would be taken for one that began anew."""
    before = of(told(director)["lvsalert_changes_total"], f"service={WEB}")
    assert before == {"by=www/http": 5}
    director.by_mon("failure", "192.0.2.2", "--journal-days", "0", hosts=HOSTS)
    assert "192.0.2.1" not in run(director, "history").stdout
    assert of(told(director)["lvsalert_changes_total"], f"service={WEB}") == {"by=www/http": 6}


def test_what_cannot_be_read_is_told_by_numbers_too(director: Director, tmp_path: Path) -> None:
    """A file of metrics that says so is better than an old one; the status is 1."""
    file = tmp_path / "lvsalert.prom"
    assert run(director, "metrics", "--textfile", str(file)) == (0, "", "", None)
    whole = file.read_text()
    assert file.stat().st_mode & 0o444 == 0o444
    assert run(director, "metrics", "--textfile", "-").stdout == whole
    (director.state / "ledger.db").write_bytes(b"no database" * 1000)
    program = director.use("echo 'out of memory' >&2", "exit 1")
    done = run(director, "metrics", "--textfile", str(file))
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"lvs-director: {director.state}/ledger.db: file is not a database",
        f"lvs-director: {program} cannot read the table: out of memory",
    ]
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert lines == [
        f'lvsalert_build_info{{version="{__version__}"}} 1',
        "lvsalert_table_readable 0",
        "lvsalert_ledger_readable 0",
    ]
    done = run(director, "metrics", "--textfile", str(tmp_path / "none" / "file"))
    assert done.stderr == f"lvs-director: {tmp_path}/none/file: no such file or directory\n"


def test_every_name_is_in_the_document(director: Director) -> None:
    """With the suffix that its samples have, and nothing else is."""
    text = (CHECKOUT / "docs" / "metrics.md").read_text()
    told = set(re.findall(r"`(lvsalert_\w+)`", text.split("## What there is")[1]))
    reading = metrics.read(Ipvsadm("ipvsadm", 5.0), str(director.state))
    families = [*reading.families, *notes.Counts().families()]
    assert told == {f"{each.name}{each.kind.suffix}" for each in families}


NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False))


@given(st.dictionaries(NAMES, VALUES, min_size=1), st.sampled_from(list(Kind)))
def test_any_text_and_number_arrives(values: Mapping[str, float], kind: Kind) -> None:
    """Whatever is in a label, and whatever the number, both parsers read it back."""
    if kind in (Kind.COUNTER, Kind.SUMMARY):
        values = {name: abs(value) for name, value in values.items()}
    if kind is Kind.INFO:
        values = dict.fromkeys(values, 1)
    part = "_sum" if kind is Kind.SUMMARY else ""
    samples = [Sample({"name": name}, value, part) for name, value in values.items()]
    family = Family("some_seconds", kind, "A help.", samples, "seconds")
    if kind is Kind.INFO:
        family = family._replace(name="some", unit="")
    for older, read in ((False, read_new), (True, read_older)):
        (found,) = read(openmetrics.text([family], older=older))
        assert {each.labels["name"]: each.value for each in found.samples} == values
        assert found.documentation == family.help
    assert math.isinf(float(openmetrics._number(math.inf)))
