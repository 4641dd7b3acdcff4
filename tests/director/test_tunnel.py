"""Tunnels: type, port and checksums are asked for, or stay as somebody has set them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvsalert.commands import lvs_director
from lvsalert.errors import UsageError
from lvsalert.model import parse_tunnel
from tests.harness.alerts import Director

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = "192.0.2.1 192.0.2.2"
GUE = "-i -w 5 --tun-type gue --tun-port 6080 --tun-remcsum"
GRE = "-i -w 5 --tun-type gre --tun-csum"
PLAIN = "-i -w 5 --tun-type ipip"
TUNNELLED = ("-W", "5", "-F", "tun")


@pytest.fixture
def director(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Director:
    """A director with two real servers behind tunnels that somebody has set up by hand."""
    made = Director(tmp_path, monkeypatch)
    made.kernel.fill(
        f"-A -t 10.0.0.3:80 -s wlc\n-a -t 10.0.0.3:80 -r 192.0.2.1:80 {GUE}\n"
        f"-a -t 10.0.0.3:80 -r 192.0.2.2:80 {GRE}\n"
    )
    return made


def command(director: Director, *words: str) -> None:
    """Run lvs-director, which has to succeed."""
    done = lvs_director.run(words, director.environ, lambda: "")
    assert done.status == 0, done.stderr


@pytest.mark.parametrize("options", [(), ("--quiesce",), ("--quiesce-first", "0")])
def test_a_tunnel_outlives_a_failure(director: Director, options: tuple[str, ...]) -> None:
    """The kernel forgets it with the entry, the ledger does not."""
    before = director.servers
    director.by_mon("failure", HOSTS, *TUNNELLED, *options, hosts=HOSTS)
    director.by_mon("failure", HOSTS, *TUNNELLED, *options, hosts=HOSTS)
    assert all("-w 5" not in words for words in director.servers.values())
    director.by_mon("up", "", *TUNNELLED, *options, hosts=HOSTS)
    assert director.servers == before


def test_a_tunnel_outlives_a_drain_and_an_undo(director: Director) -> None:
    """By whoever the entry is changed, it comes back as it was."""
    before = director.servers
    director.by_mon("up", "", *TUNNELLED, hosts=HOSTS)
    command(director, "drain", "192.0.2.1")
    command(director, "resume", "192.0.2.1")
    assert director.servers == before
    assert director.by_hand("-R", "192.0.2.2", "-F", "tun").status == 0
    assert "192.0.2.2:80" not in director.servers
    command(director, "undo", "--yes")
    assert director.servers == before
    director.by_hand("-R", "192.0.2.2", "-F", "tun")
    director.by_hand("-R", "192.0.2.2", "-F", "tun", "-W", "5", "-u")
    assert director.servers == before


def test_another_way_of_forwarding_has_no_tunnel(director: Director) -> None:
    """What is remembered of a tunnel goes for a tunnel."""
    director.by_mon("failure", HOSTS, *TUNNELLED, hosts=HOSTS)
    director.by_mon("up", "", "-W", "5", "-F", "dr", hosts=HOSTS)
    assert set(director.servers.values()) == {"-g -w 5"}


@pytest.mark.parametrize(
    ("tunnel", "words"),
    [
        ("gue:6080:remcsum", GUE),
        ("gue:6080", "-i -w 5 --tun-type gue --tun-port 6080 --tun-nocsum"),
        ("GRE:csum", GRE),
        ("gre", "-i -w 5 --tun-type gre --tun-nocsum"),
        ("ipip", PLAIN),
    ],
)
def test_a_tunnel_is_asked_for(director: Director, tunnel: str, words: str) -> None:
    """Whatever stands; a check that finds it so changes nothing more."""
    asked = (*TUNNELLED, "--tunnel", tunnel)
    director.by_mon("up", "", *asked, hosts=f"{HOSTS} 192.0.2.3")
    assert set(director.servers.values()) == {words}
    batches = director.batches
    director.by_mon("up", "", *asked, hosts=f"{HOSTS} 192.0.2.3")
    assert director.batches == batches


@pytest.mark.parametrize(
    "text",
    [
        *("", "vxlan", "gue", "gue:", "gue:0x1", "gue:csum", "gre:5555", "gre:remcsum"),
        *("ipip:csum", "gue:5555:csum:csum", "gre:csum:nocsum", "gue:5555:", "gue:70000"),
    ],
)
def test_what_is_no_tunnel_is_refused(text: str) -> None:
    """One line names it."""
    with pytest.raises(UsageError) as caught:
        parse_tunnel(text)
    named = "70000" if text.endswith("70000") else text
    assert repr(named) in str(caught.value)


def test_a_tunnel_goes_with_tunnelling(director: Director) -> None:
    """Beside another way of forwarding it is a slip."""
    done = director.by_hand("-R", "192.0.2.1", "-F", "dr", "--tunnel", "gre", "-u")
    assert (done.status, done.stderr) == (3, "lvs.alert: --tunnel goes with --forwarding tun\n")


def test_a_tunnel_leads_to_either_family(director: Director) -> None:
    """As the kernel takes it, IPv6 behind IPv4 and the reverse; not so without a tunnel."""
    director.kernel.change("-A -t [2001:db8::3]:80 -s rr")
    director.by_mon("up", "", *TUNNELLED, hosts="2001:db8::9")
    assert director.servers["[2001:db8::9]:80"] == PLAIN
    six = ("-V", "[2001:db8::3]:80")
    director.by_mon("up", "", *TUNNELLED, *six, hosts="192.0.2.9")
    assert director.servers_of("-t [2001:db8::3]:80") == {"192.0.2.9:80": PLAIN}
    director.by_mon("failure", "192.0.2.9", *TUNNELLED, *six, hosts="192.0.2.9")
    assert director.servers_of("-t [2001:db8::3]:80") == {}
    done = director.by_mon("up", "", "-F", "dr", *six, hosts="192.0.2.9")
    assert done.status == 3
    assert "192.0.2.9 is of another address family than tcp [2001:db8::3]:80" in done.stderr
