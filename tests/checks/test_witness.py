"""Witnesses on the loopback: who answers, who refuses, who is silent."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from lvsalert.checks import icmp, witness
from lvsalert.checks.icmp_socket import EchoSocket
from lvsalert.checks.witness import any_answers
from lvsalert.errors import PrivilegeError
from lvsalert.model import Result, State
from tests.harness.misbehaving import refusing, unanswering
from tests.harness.places import join

FAMILIES = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the silent less time than a director would."""
    monkeypatch.setattr(witness, "_SECONDS", 0.3)


@pytest.fixture
def pings(monkeypatch: pytest.MonkeyPatch) -> dict[str, State]:
    """Answers to echo requests by name; whoever is not in it is unknown to DNS."""
    answers: dict[str, State] = {}

    def ping(names: Sequence[str], **_limits: object) -> list[Result]:
        return [Result(name, answers.get(name, State.UNKNOWN), "", 0.0) for name in names]

    monkeypatch.setattr(icmp, "ping", ping)
    return answers


@pytest.mark.parametrize("address", FAMILIES)
def test_open_port_is_an_answer(address: str) -> None:
    """A witness with a port is connected to."""
    with socket.create_server((address, 0), family=FAMILIES[address]) as server:
        assert any_answers([join(address, server.getsockname()[1])])


def test_refusal_is_an_answer_too() -> None:
    """A host that says no is there."""
    with refusing() as place:
        assert any_answers([place])


def test_silence_is_none() -> None:
    """A host that does not take the connection in time has not answered."""
    with unanswering() as place:
        assert not any_answers([place])


def test_one_is_enough() -> None:
    """Wherever it stands among those that are silent."""
    with unanswering() as silent, refusing() as place:
        assert any_answers([silent, place])
        assert any_answers([place, silent])


def test_name_without_an_address_is_none() -> None:
    """A cut-off director reaches no name server either."""
    assert not any_answers(["nowhere.invalid:80"])


def test_network_that_is_not_there_is_none() -> None:
    """No route is no answer of the witness."""
    assert not any_answers(["255.255.255.255:80"])


@pytest.mark.parametrize(
    ("state", "answers"), [(State.GOOD, True), (State.FAILED, False), (State.UNKNOWN, False)]
)
def test_witness_without_a_port_is_sent_echo_requests(
    pings: dict[str, State], state: State, answers: bool
) -> None:
    """Only an echo reply is an answer."""
    pings["192.0.2.1"] = state
    assert any_answers(["192.0.2.1"]) is answers


def test_both_kinds_are_asked(pings: dict[str, State]) -> None:
    """One of the one kind is enough where all of the other are silent."""
    pings["192.0.2.1"] = State.GOOD
    with unanswering() as silent:
        assert any_answers([silent, "192.0.2.1"])
        pings["192.0.2.1"] = State.FAILED
        assert not any_answers([silent, "192.0.2.1"])


def test_who_may_send_no_echo_requests_has_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run goes on as with a witness that is silent."""

    def refuse(*_names: object, **_limits: object) -> list[Result]:
        raise PrivilegeError("neither a raw socket nor a datagram socket may be opened")

    monkeypatch.setattr(icmp, "ping", refuse)
    assert not any_answers(["192.0.2.1"])


def test_loopback_answers_echo_requests() -> None:
    """With the real socket, where this machine allows one."""
    try:
        EchoSocket(socket.AF_INET, 1).close()
    except PrivilegeError:
        pytest.skip("no ICMP socket may be opened here")
    assert any_answers(["127.0.0.1"])
