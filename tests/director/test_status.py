"""How each real server stands, put together from the table and what the ledger holds."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
from pathlib import Path
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.director import status
from lvsalert.director.status import ServerQuery, ServerStatus, ServiceMemory, ServiceStatus, State
from lvsalert.errors import UsageError
from lvsalert.ipvs.table import Service, Table
from lvsalert.ledger.database import FILE_NAME
from lvsalert.ledger.history import Selection
from lvsalert.ledger.journal import Entry
from lvsalert.ledger.ledger import Ledger
from lvsalert.ledger.reader import ask_ledger
from lvsalert.ledger.records import OPERATOR, Cause, LastRun, ServerMemory
from lvsalert.model import Protocol, RealServer, VirtualService, join_endpoint

WEB = VirtualService(Protocol.TCP, "203.0.113.1", 80, 0, socket.AF_INET)
NAME = "tcp 203.0.113.1:80"
ONE, TWO, THREE = ("192.0.2.1", 80), ("192.0.2.2", 80), ("192.0.2.3", 80)
PING = Cause("web/ping", 100.0, "no answer", drain=False)
HTTP = Cause("web/http", 120.0, "connection refused", drain=False)
HAND = Cause(OPERATOR, 150.0, "drained by ann", drain=True)


def table(*real_servers: RealServer) -> Table:
    """Return a table whose only service has these real servers."""
    entries = {(real.address, real.port): real for real in real_servers}
    return {WEB: Service(WEB, "wlc", (), entries)}


def line(when: float, real: str, before: int | None, after: int | None) -> Entry:
    """Return a line of the journal: a real server's weight before and after, None for out."""
    words = {
        name: None if weight is None else ("-g", "-w", str(weight))
        for name, weight in (("before", before), ("after", after))
    }
    return Entry(0, when, "web/http", "failure", NAME, real, "", "", words)


def written(state_dir: Path, *lines: Entry) -> Ledger:
    """Begin a ledger whose journal has these lines."""
    ledger = Ledger.open(str(state_dir))
    ledger.begin()
    ledger.journal.confirm(ledger.journal.intend(lines))
    ledger.commit()
    return ledger


@pytest.mark.parametrize(
    ("real", "memory", "standing"),
    [
        (RealServer(*ONE, weight=5), ServiceMemory(), ServerStatus(ONE, State.IN, 5, 3, 1)),
        (RealServer(*ONE, weight=0), ServiceMemory(), ServerStatus(ONE, State.QUIESCED, 0, 3, 1)),
        (
            RealServer(*ONE, weight=5),
            ServiceMemory(last={"192.0.2.1:80": (State.IN, 90.0)}),
            ServerStatus(ONE, State.IN, 5, 3, 1, 90.0),
        ),
        (
            RealServer(*ONE, weight=5),
            ServiceMemory(last={"192.0.2.1:80": (State.OUT, 90.0)}),
            ServerStatus(ONE, State.IN, 5, 3, 1, None),
        ),
        (
            RealServer(*ONE, weight=2),
            ServiceMemory({ONE: ServerMemory(slow_since=90.0, slow_for=60.0)}, {}, {}),
            ServerStatus(ONE, State.SLOW_STARTING, 2, 3, 1),
        ),
        (
            RealServer(*ONE, weight=0),
            ServiceMemory({}, {ONE: [PING, HAND]}, {"192.0.2.1:80": (State.QUIESCED, 150.0)}),
            ServerStatus(ONE, State.QUIESCED, 0, 3, 1, 150.0, [PING, HAND]),
        ),
        (
            RealServer(*ONE, weight=5),
            ServiceMemory({}, {ONE: [PING]}, {}),
            ServerStatus(ONE, State.IN, 5, 3, 1, None, [PING]),
        ),
        (
            RealServer(*ONE, weight=0),
            ServiceMemory({}, {ONE: [PING]}, {}),
            ServerStatus(ONE, State.QUIESCED, 0, 3, 1, 100.0, [PING]),
        ),
    ],
    ids=[
        "in",
        "quiesced by others",
        "in since the journal saw it come",
        "in, and the journal did not see it come",
        "slow-starting",
        "drained though it failed",
        "held in",
        "quiesced since the oldest cause",
    ],
)
def test_entry_stands_as_table_and_ledger_say(
    real: RealServer, memory: ServiceMemory, standing: ServerStatus
) -> None:
    """An entry's state is the table's, its causes and since when are the ledger's."""
    connections = {WEB: {ONE: (3, 1)}}
    found = status.combine(table(real), connections, {NAME: memory})
    assert found == [ServiceStatus(NAME, "wlc", [standing])]


def test_entry_that_the_list_lacks_has_no_connections() -> None:
    """An entry that came between the two lists of ipvsadm has an unknown number of connections."""
    (service,) = status.combine(table(RealServer(*ONE)), {}, {})
    assert service.servers == [ServerStatus(ONE, State.IN, 1)]


def test_what_the_table_lacks_is_shown_too() -> None:
    """Who is out has causes; who should be in by the journal and is not there is missing."""
    memory = ServiceMemory(
        causes={TWO: [PING, HTTP]},
        last={
            "192.0.2.2:80": (State.OUT, 110.0),
            "192.0.2.3:80": (State.IN, 50.0),
            "192.0.2.4:80": (State.OUT, 50.0),
        },
    )
    (service,) = status.combine(table(RealServer(*ONE)), {}, {NAME: memory})
    assert service.servers[1:] == [
        ServerStatus(TWO, State.OUT, since=110.0, causes=[PING, HTTP]),
        ServerStatus(THREE, State.MISSING),
    ]


def test_service_that_only_the_ledger_knows_comes_last() -> None:
    """A virtual service that the table lacks has no scheduler."""
    memory = {"tcp 203.0.113.0:80": ServiceMemory(causes={TWO: [PING]}), "fwm 7": ServiceMemory()}
    assert status.combine(table(), {}, memory) == [
        ServiceStatus(NAME, "wlc", []),
        ServiceStatus("fwm 7", None, []),
        ServiceStatus(
            "tcp 203.0.113.0:80", None, [ServerStatus(TWO, State.OUT, since=100.0, causes=[PING])]
        ),
    ]


def test_ledger_tells_what_each_became_and_when(tmp_path: Path) -> None:
    """A change of weight alone is not a change of state."""
    ledger = written(
        tmp_path,
        line(10, "192.0.2.1:80", 5, None),
        line(20, "192.0.2.1:80", None, 1),
        line(30, "192.0.2.1:80", 1, 3),
        line(40, "192.0.2.2:80", 5, 0),
        line(50, "192.0.2.3:80", 5, 6),
    )
    ledger.begin()
    ledger.set_cause(NAME, TWO, HAND)
    ledger.runs.put(LastRun("fwm 7", "web/http", "", 5.0, {}))
    ledger.commit()
    found = status.remembered(ledger)
    ledger.close()
    assert found.keys() == {NAME, "fwm 7"}
    assert found["fwm 7"] == ServiceMemory()
    assert found[NAME].causes == {TWO: [HAND]}
    assert found[NAME].last == {
        "192.0.2.1:80": (State.IN, 20.0),
        "192.0.2.2:80": (State.QUIESCED, 40.0),
    }


@pytest.mark.parametrize(
    ("server", "service", "taken"),
    [
        ("192.0.2.1", None, [(NAME, ONE), ("fwm 7", ("192.0.2.1", 0))]),
        ("192.0.2.1:80", None, [(NAME, ONE)]),
        ("192.0.2.1", "203.0.113.1:80", [(NAME, ONE)]),
        ("192.0.2.1", "TCP 203.0.113.1:80", [(NAME, ONE)]),
        ("192.0.2.1", "udp 203.0.113.1:80", []),
        ("192.0.2.1", "7", [("fwm 7", ("192.0.2.1", 0))]),
        ("web1", None, [(NAME, ONE), (NAME, TWO), ("fwm 7", ("192.0.2.1", 0))]),
        ("web1:http", None, [(NAME, ONE), (NAME, TWO)]),
        ("2001:DB8:0::1", None, [("tcp [2001:db8::9]:80", ("2001:db8::1", 80))]),
        ("[2001:db8::1]:80", None, [("tcp [2001:db8::9]:80", ("2001:db8::1", 80))]),
    ],
)
def test_server_is_told_by_address_or_name(
    server: str, service: str | None, taken: list[tuple[str, tuple[str, int]]]
) -> None:
    """A port narrows a real server to one entry, a service to one virtual service."""
    all_places = [
        (NAME, ONE),
        (NAME, TWO),
        (NAME, THREE),
        ("fwm 7", ("192.0.2.1", 0)),
        ("tcp [2001:db8::9]:80", ("2001:db8::1", 80)),
    ]
    asked = status.query(server, service, lambda _names, _family: {"web1": [ONE[0], TWO[0]]})
    assert [place for place in all_places if asked.takes(*place)] == taken


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("web1", "web1: no address found"),
        ("a b", "'a b' is not an address: write host or host:port"),
        ("192.0.2.1:0x50", "'0x50' is not a port: 1 to 65535 or a tcp name of /etc/services"),
    ],
)
def test_what_is_no_server_is_quoted(server: str, said: str) -> None:
    """A name without an address and a word that cannot be a server are bad usage."""
    with pytest.raises(UsageError) as caught:
        status.query(server, None, lambda names, _family: {name: [] for name in names})
    assert str(caught.value) == said


def asked_for(address: str, service: str | None = None) -> ServerQuery:
    """Return what a user means by an address."""
    return ServerQuery(address, Selection(service=service, servers=[address]))


TURNS = st.lists(
    st.tuples(
        st.sampled_from([ONE, TWO]),
        st.sampled_from([None, 0, 1, 10]),
        st.sampled_from([None, 0, 1, 10]),
        st.booleans(),
    )
)


@given(TURNS)
def test_last_turn_is_that_of_the_whole_journal(
    told: list[tuple[tuple[str, int], int | None, int | None, bool]],
) -> None:
    """SQLite finds the last line that let a server in, quiesced it or took it out."""
    expected = {}
    with contextlib.closing(Ledger.in_memory()) as ledger:
        for when, (endpoint, before, after, done) in enumerate(told):
            real = join_endpoint(*endpoint)
            for unfinished in ledger.journal.unfinished():
                ledger.journal.withdraw(unfinished.id)
            last = ledger.journal.intend([line(when, real, before, after)])
            if done:
                ledger.journal.confirm(last)
                if (before is None, before == 0) != (after is None, after == 0):
                    state = {None: State.OUT, 0: State.QUIESCED}.get(after, State.IN)
                    expected[real] = (state, float(when))
        found = status.remembered(ledger)
    assert found == ({NAME: ServiceMemory(last=expected)} if expected else {})


def test_server_is_found_where_the_table_or_a_cause_has_it() -> None:
    """What the journal saw long ago counts only where nothing else knows the real server."""
    ledger = Ledger.in_memory()
    ledger.begin()
    ledger.set_cause("fwm 7", ("192.0.2.1", 0), PING)
    ledger.journal.confirm(
        ledger.journal.intend(
            [line(1, f"{ONE[0]}:8080", 5, None), line(2, "192.0.2.3:80", 1, None)]
        )
    )
    ledger.commit()
    actual = table(RealServer(*ONE), RealServer(*TWO))
    here = [(NAME, ONE), ("fwm 7", ("192.0.2.1", 0))]
    assert status.find(actual, ledger, asked_for("192.0.2.1")) == here
    assert status.find(actual, ledger, asked_for("192.0.2.3")) == [(NAME, THREE)]


@pytest.mark.parametrize(("service", "of"), [(None, ""), ("203.0.113.1:80", " of 203.0.113.1:80")])
def test_server_that_nobody_knows(service: str | None, of: str) -> None:
    """The error names what was asked for."""
    said = f"192.0.2.9: neither the table nor the ledger knows such a real server{of}"
    with pytest.raises(UsageError) as caught:
        status.find(table(RealServer(*ONE)), Ledger.in_memory(), asked_for("192.0.2.9", service))
    assert str(caught.value) == said


def _missing(_path: Path) -> None:
    pass


def _broken(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def _tableless(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_missing, "{path}: No such file or directory"),
        (_broken, "{path}: file is not a database"),
        (_newer, "{path}: made by a newer lvsalert (version 99 of its tables)"),
        (_tableless, "{folder}: no such table: changes"),
    ],
)
def test_ledger_that_cannot_be_read_is_an_empty_one(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    """The question is answered from an empty ledger, and the trouble is told."""
    path = tmp_path / FILE_NAME
    make(path)
    before = sorted(tmp_path.iterdir())
    found, lacking = ask_ledger(str(tmp_path), status.remembered)
    assert found == {}
    assert str(lacking) == said.format(path=path, folder=tmp_path)
    assert [each for each in sorted(tmp_path.iterdir()) if each in before] == before


def test_reader_changes_nothing_and_waits_for_nobody(tmp_path: Path) -> None:
    """A ledger that a writer holds is read as it was last committed, and stays as it was."""
    writer = written(tmp_path, line(10, "192.0.2.1:80", 5, None))
    data = (tmp_path / FILE_NAME).read_bytes()
    writer.begin()
    writer.set_cause(NAME, TWO, HAND)
    found, lacking = ask_ledger(str(tmp_path), status.remembered)
    assert lacking is None
    assert found[NAME].last == {"192.0.2.1:80": (State.OUT, 10.0)}
    assert found[NAME].causes == {}
    assert (tmp_path / FILE_NAME).read_bytes() == data
    writer.rollback()
    writer.close()


def test_ledger_being_begun_is_empty(tmp_path: Path) -> None:
    """A file that has no tables yet is nothing to complain of."""
    os.close(os.open(tmp_path / FILE_NAME, os.O_CREAT))
    assert ask_ledger(str(tmp_path), status.remembered) == ({}, None)
    assert (tmp_path / FILE_NAME).read_bytes() == b""
