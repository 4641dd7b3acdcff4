"""A virtual service's flags in ipvsadm's words, asked for when it is created anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.errors import UsageError
from lvsalert.ipvs.service_flags import parse_service_flags
from lvsalert.ipvs.table import parse
from tests.harness.alerts import Director

if TYPE_CHECKING:
    from pathlib import Path

persistence = st.tuples(
    st.integers(1, 31 * 86400).map("-p {}".format),
    st.sampled_from(("", "-M 255.255.255.0", "-M 128.0.0.0")),
    st.sampled_from(("", "--pe sip")),
).map(" ".join)
scheduler_flags = st.sampled_from(("", "-b sh-port", "-b sh-fallback,sh-port", "-b flag-3"))


@given(st.one_of(st.just(""), persistence), st.sampled_from(("", "-o")), scheduler_flags)
def test_what_ipvsadm_prints_means_itself(kept: str, once: str, flags: str) -> None:
    """The flags of a table that is read can be asked for, in any order, and are the same."""
    words = [each for each in (kept, once, flags) if each]
    text = " ".join(" ".join(words).split())
    (service,) = parse(f"-A -u 10.0.0.3:5060 -s sh {text}\n").values()
    for order in (words, words[::-1]):
        assert parse_service_flags(" ".join(order), "sh") == service.flags


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-x 5", "'-x': not -p SECONDS, -M MASK, -o, -b FLAGS or --pe NAME"),
        ("-o -o", "'-o': not -p SECONDS, -M MASK, -o, -b FLAGS or --pe NAME"),
        ("-p", "-p : not seconds from 1 to 2678400"),
        ("-p 0", "-p 0: not seconds from 1 to 2678400"),
        ("-p 2678401", "-p 2678401: not seconds from 1 to 2678400"),
        ("-M 255.255.255.0", "-M goes with -p"),
        ("--pe sip", "--pe goes with -p"),
        ("-p 9 -M 255.0.255.0", "-M 255.0.255.0: not a netmask, nor a prefix length of IPv6"),
        ("-p 9 -M 129", "-M 129: not a netmask, nor a prefix length of IPv6"),
        ("-b ;", "-b ;: not names with commas in between"),
        ("-p 9 --pe a;b", "--pe a;b: not the name of a persistence engine"),
    ],
)
def test_what_is_no_flag_is_named(text: str, said: str) -> None:
    """With the whole of what was given, and what it should be."""
    with pytest.raises(UsageError) as caught:
        parse_service_flags(text, "rr")
    assert str(caught.value) == f"{text!r}: {said}"


def test_a_service_is_created_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They win over those that it had; one that stands keeps its own."""
    director = Director(tmp_path, monkeypatch)
    options = ["--scheduler", "sh", "--service-flags", "-b flag-2,flag-1 -p 300 -M 255.255.255.0"]
    created = "-A -t 10.0.0.3:80 -s sh -p 300 -M 255.255.255.0 -b sh-fallback,sh-port"
    assert director.by_mon("up", "", *options).status == 0
    assert director.kernel.rules[0] == created
    options[-1] = "-p 60"
    assert director.by_mon("up", "", *options).status == 0
    assert director.kernel.rules[0] == created
    director.kernel.ask("-C")
    assert director.by_mon("up", "", *options).status == 0
    assert director.kernel.rules[0] == "-A -t 10.0.0.3:80 -s sh -p 60"


@pytest.mark.parametrize("options", [[], ["--scheduler", "rr", "--config", "www.cf"]])
def test_they_go_with_a_scheduler(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one nothing is created, and with a file that says them."""
    done = Director(tmp_path, monkeypatch).by_mon("up", "", *options, "--service-flags", "-o")
    said = "lvs.alert: --service-flags goes with --scheduler, and not with --config\n"
    assert (done.status, done.stderr) == (3, said)
