"""ldirectord's configuration read by us and by ldirectord itself: same verdict, same values."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lvsalert.ldirectord.config import (
    Config,
    ConfigError,
    ConfiguredServer,
    ConfiguredService,
    address_range,
    parse,
)
from lvsalert.ldirectord.readers import EMAIL_STATES
from lvsalert.model import Forwarding, Protocol, canonical_address
from tests.harness.ldirectord_files import make

LDIRECTORD = Path("/usr/sbin/ldirectord")
DATA = Path(__file__).parents[1] / "data" / "www_cf"
WRITTEN = sorted(DATA.glob("*/*.cf"))
# How many files are made up beside those that are written.
GENERATED = 1000

needs_ldirectord = pytest.mark.skipif(
    not LDIRECTORD.exists(), reason="ldirectord is not installed: nothing to compare with"
)

# What ldirectord takes and we refuse: our message, and why.
REFUSED_BY_US_ALONE = {
    r": '\D*0+(\D.*)?' is not a whole number from 1": "00 counts as true in Perl, and is zero",
    r": '\D*\d{6,}(\D.*)?' is not a whole number": "a number beyond any use, or ipvsadm's limit",
    r"persistent: '\D*0+(\D.*)?' is not a whole number": "ipvsadm refuses it",
    r": '\d+' is not a (weight|threshold|firewall mark): ": "ipvsadm refuses it",
    r"virtual6?: port 0 is for a persistent service only": "ipvsadm refuses it",
    r"netmask: '[\d.]+' is not an IPv4 address": "ipvsadm refuses it",
    r"scheduler: '[a-z]{16,}' is not a scheduler": "ipvsadm refuses it",
    r"virtual6?: '\d+\S.*' is not address:port or a firewall mark": (
        "ldirectord takes an address without a port for the firewall mark of its first number"
    ),
    r"fallback6?: (it names no server|'' is not an IPv. address)": (
        "ldirectord falls back on itself where the server is left out"
    ),
    r"fallback6?: '0' is not a forwarding method": "0 counts as nothing in Perl",
    r"real6?: .* in '.*\"/.*' cannot be understood": (
        "ldirectord reads no further than a request that begins with a slash"
    ),
    r"virtualhost: '.*' is not a host name": "no check could ask for it",
    r"receive: .* cannot be matched as Perl does": "no check could be made",
    r"real6?: .* cannot be matched as Perl does": "no check could be made",
    r"real6?: .* is not a range of up to 65536 addresses": "a slip, rather than so many servers",
}
# What we take and ldirectord refuses: its message, and why.
REFUSED_BY_LDIRECTORD_ALONE = {
    r"^timeout directive deprecated": "old files have it; it is taken as checktimeout",
}


class Answer(NamedTuple):
    """A file's verdict: the line of the fault (None where it was taken) with words, or values."""

    line: int | None
    said: str
    values: dict[str, Any]


def ask_ldirectord(paths: list[Path]) -> list[Answer]:
    """Have ldirectord's own code read the files, all in one process."""
    done = subprocess.run(
        ["perl", str(DATA / "ldirectord.pl"), str(LDIRECTORD)],
        input="".join(f"{path}\n" for path in paths),
        capture_output=True,
        encoding="latin-1",
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(paths)
    return [Answer(each.get("line"), each.get("said", ""), each) for each in answers]


def ask_us(path: Path) -> Answer:
    """Read the file ourselves; bytes come as characters, as Perl has them."""
    text = path.read_bytes().decode("latin-1")
    try:
        config = parse(text, "www.cf")
    except ConfigError as error:
        said = str(error)
    else:
        return Answer(None, "", as_ldirectord(config))
    return Answer(int(said.split(":")[1]), said, {})


def as_ldirectord(config: Config) -> dict[str, Any]:
    """Return our values in ldirectord's words, names looked up as ``ldirectord.pl`` does."""
    return {
        "services": [service_values(service) for service in config.services],
        "maintenance": config.maintenance_dir,
    }


METHODS = {
    Forwarding.GATEWAYING: "gate",
    Forwarding.MASQUERADING: "masq",
    Forwarding.TUNNELLING: "ipip",
}


def looked_up(address: str, family: int) -> str:
    """Return the address that a name has in ``ldirectord.pl``."""
    six = family == socket.AF_INET6
    return canonical_address(address) or ("2001:db8::99" if six else "192.0.2.99")


def server_values(server: ConfiguredServer, service: ConfiguredService) -> dict[str, Any]:
    """Return a real server or fallback in ldirectord's words."""
    address = looked_up(server.address, service.family)
    return {
        "address": f"[{address}]" if ":" in address else address,
        "port": server.port,
        "method": METHODS[server.forwarding],
        "weight": server.weight,
        "lower": server.lower,
        "upper": server.upper,
        "request": server.request,
        "receive": server.receive,
    }


def real_values(service: ConfiguredService) -> list[dict[str, Any]]:
    """Return all real servers in ldirectord's words, with whose check they have."""
    found = []
    for server in service.real_servers:
        addresses = [server.address]
        if server.last:
            ends = (looked_up(each, service.family) for each in (server.address, server.last))
            addresses = address_range(*ends)
        for address in addresses:
            values = server_values(server._replace(address=address), service)
            if values["request"] is None:
                values["request"] = service.check.request
                values["receive"] = service.check.receive
            found.append(values)
    return found


def service_values(service: ConfiguredService) -> dict[str, Any]:
    """Return a virtual service in ldirectord's words."""
    check, email = service.check, service.email
    is_mark = service.protocol is Protocol.FWMARK
    address = looked_up(service.address, service.family)
    fallback = service.fallback
    return {
        "protocol": "fwm" if is_mark else service.protocol.name.lower(),
        "address": None if is_mark else f"[{address}]" if ":" in address else address,
        "port": service.port,
        "fwmark": service.fwmark,
        "is_six": int(service.family == socket.AF_INET6),
        "scheduler": service.scheduler,
        "words": list(service.flags),
        "real_servers": real_values(service),
        "fallback": None if fallback is None else server_values(fallback, service),
        "checktype": check.type,
        "connects": check.connects,
        "service": check.service,
        "checkport": check.port,
        "request": check.request,
        "receive": check.receive,
        "method": check.method,
        "virtualhost": check.virtual_host,
        "login": check.login,
        "passwd": check.password,
        "database": check.database,
        "secret": check.secret,
        "command": check.command,
        "timeout": check.timeout,
        "negotiate": check.negotiate_timeout,
        "interval": check.interval,
        "tries": check.tries,
        "failures": service.failure_count,
        "quiescent": "yes" if service.quiescent else "no",
        "cleanstop": "yes" if service.clean_stop else "no",
        "email": list(email.addresses),
        "states": sum(1 << bit for bit, word in enumerate(EMAIL_STATES) if word in email.states),
        "every": email.every,
        "sender": email.sender,
    }


def settled(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Return ldirectord's values of a service, without what is only another way to say it."""
    values = dict(theirs)
    values["words"] = settled_words(values)
    mails = [each.strip(' "') for each in values["email"].split(",")]
    values["email"] = [each for each in mails if each]
    settle_servers(values, ours)
    # Names of its own that ldirectord fills in; ours are the probe's.
    for key in ("login", "passwd"):
        if ours[key] == "" and values[key] in ("anonymous", "ldirectord@director.example"):
            values[key] = ""
    # Its table of services is searched by the port as it is written.
    if re.match("0[0-9]", values["port_text"]) and values["service"] == "none":
        values["service"] = ours["service"]
    return {key: values[key] for key in ours}


def settled_words(values: dict[str, Any]) -> list[str]:
    """Return the words of ipvsadm beyond the scheduler, without a netmask that says nothing."""
    words = []
    if values["persistent"] is not None:
        words += ["-p", str(values["persistent"])]
        if str(values["netmask"]) not in ("None", "255.255.255.255", "128"):
            words += ["-M", str(values["netmask"])]
    if values["ops"] == "yes" and values["protocol"] == "udp":
        words.append("-o")
    return words if values["flags"] is None else [*words, "-b", values["flags"]]


def settle_servers(values: dict[str, Any], ours: dict[str, Any]) -> None:
    """Give ldirectord's real servers and fallback what it drops of them by its slips."""
    # Whatever stands behind an own request that has its slash already is lost there: the look for
    # the slash resets Perl's $2 and $3.
    for their, our in zip(values["real_servers"], ours["real_servers"]):
        lost = their["receive"] == values["receive"] and not their["lower"] + their["upper"]
        is_own = (our["request"], our["receive"]) != (ours["request"], ours["receive"])
        if is_own and lost and our["request"].startswith("/"):
            their.update({key: our[key] for key in ("receive", "lower", "upper")})
    fallback = values["fallback"]
    if fallback is not None and fallback["port"] is None:
        fallback["port"] = values["port"]
    # A mark has only its own fallback there: the global one has no server for it.
    if ours["protocol"] == "fwm" and fallback is None:
        values["fallback"] = ours["fallback"]


def listed(differences: dict[str, str], message: str) -> bool:
    """Return whether the message is of a listed difference."""
    return any(re.search(pattern, message) for pattern in differences)


def has_twin(ours: Answer) -> bool:
    """Return whether two services are one when their names are looked up, as is done later here."""
    keys = [
        tuple(service[key] for key in ("protocol", "address", "port", "fwmark", "is_six"))
        for service in ours.values["services"]
    ]
    return len(set(keys)) < len(keys)


def ends_in_virtual(path: Path) -> bool:
    """Return whether a virtual service is the last line, which ldirectord then reads twice."""
    return path.read_bytes().rstrip(b"\n").rpartition(b"\n")[2].startswith(b"virtual")


def compare(path: Path, theirs: Answer, ours: Answer) -> str:
    """Return how the two answers differ, nothing where they do not or it is listed."""
    if theirs.line is None and ours.line is None:
        assert theirs.values["maintenance"] == ours.values["maintenance"]
        their_services, our_services = theirs.values["services"], ours.values["services"]
        assert len(their_services) == len(our_services)
        for their, our in zip(their_services, our_services):
            settled_values = settled(their, our)
            for key in our:
                if settled_values[key] != our[key]:
                    return f"{path}: {key}: {settled_values[key]!r} there, {our[key]!r} here"
        return ""
    if theirs.line is None:
        known = listed(REFUSED_BY_US_ALONE, ours.said)
        return "" if known else f"{path}: taken there, here {ours.said}"
    if ours.line is None:
        again = theirs.said.startswith("duplicate virtual server")
        if again and (has_twin(ours) or ends_in_virtual(path)):
            return ""
        known = listed(REFUSED_BY_LDIRECTORD_ALONE, theirs.said)
        return "" if known else f"{path}: taken here, there {theirs.line}: {theirs.said}"
    return ""


@needs_ldirectord
def test_written_files_have_the_same_verdict_and_values() -> None:
    """Every file of the corpus is taken or refused as by ldirectord, apart from what is listed."""
    answers = ask_ldirectord(WRITTEN)
    found = [compare(path, theirs, ask_us(path)) for path, theirs in zip(WRITTEN, answers)]
    assert [difference for difference in found if difference] == []


@needs_ldirectord
def test_faults_are_found_in_the_same_line() -> None:
    """Where both refuse a written file, both name the same line; a duplicate is named where it
    begins here, and where it ends there."""
    for path, theirs in zip(WRITTEN, ask_ldirectord(WRITTEN)):
        ours = ask_us(path)
        if None not in (theirs.line, ours.line) and "duplicate" not in theirs.said:
            assert (path.name, ours.line) == (path.name, theirs.line)


@needs_ldirectord
def test_generated_files_have_the_same_verdict_and_values(tmp_path: Path) -> None:
    """A thousand made up files, sound and spoilt, are taken or refused as by ldirectord."""
    paths = []
    for number in range(GENERATED):
        path = tmp_path / f"{number}.cf"
        path.write_bytes(make(number).encode("latin-1"))
        paths.append(path)
    answers = [(path, theirs, ask_us(path)) for path, theirs in zip(paths, ask_ldirectord(paths))]
    assert [each for each in (compare(*answer) for answer in answers) if each] == []
    both_took = [theirs for _, theirs, ours in answers if theirs.line is None is ours.line]
    both_refused = [theirs for _, theirs, ours in answers if theirs.line and ours.line]
    assert min(len(both_took), len(both_refused)) > GENERATED / 4


@needs_ldirectord
def test_the_program_itself_says_the_same() -> None:
    """What is asked of its functions is what `ldirectord -d FILE status` answers by its status."""
    # It would look names up, and count through the longest range for minutes.
    sample = [
        path
        for path in WRITTEN
        if b".example." not in path.read_bytes() and path.stem != "range-too-long"
    ][::4]
    running = [
        subprocess.Popen(
            [str(LDIRECTORD), "-d", str(path), "status"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for path in sample
    ]
    try:
        statuses = [process.wait(60) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    answers = ask_ldirectord(sample)
    assert [status == 2 for status in statuses] == [each.line is not None for each in answers]
    assert set(statuses) == {2, 3}
