"""http.monitor --agree and --stale, and the director's first checks and mon.cf with them."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from typing import TYPE_CHECKING

import pytest

from lvsalert.ldirectord.mon_cf import comparison_in
from lvsalert.ledger.ledger import Ledger
from tests.harness.certificates import Authority
from tests.harness.director_file import Machine
from tests.harness.misbehaving import OK, Misbehaving, endless, replies
from tests.harness.nginx import Nginx, Site
from tests.harness.places import free_port
from tests.monitors import PASSWORD, complaint, failed, http, reasons, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lvsalert.commands.entry import Outcome

BODIES = b"version 2, a\n", b"version 1, b\n"
NEW = OK + b'ETag: W/"2"\r\n\r\n' + BODIES[0]
OLD = OK + b'ETag: "1"\r\n\r\n' + BODIES[1]
MOVED = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
WAYS = pytest.mark.parametrize(
    "way", [(), ("--follow",), ("--user", "me")], ids=["sweep", "following", "requests"]
)


@contextlib.contextmanager
def web(*answers: bytes) -> Iterator[list[str]]:
    """Give the places of servers that answer so."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(Misbehaving(replies(each), "127.0.0.1")).place for each in answers
        ]


def shown(content: bytes) -> str:
    """Return how a reason shows a content."""
    return f"{hashlib.sha256(content).hexdigest()[:4]}…"


def in_(folder: Path) -> dict[str, str]:
    """Return the environment of a service of mon's whose ledger is in a folder."""
    state = {"LVSALERT_STATE_DIR": str(folder), "MON_GROUP": "www", "MON_SERVICE": "http"}
    return {**PASSWORD, **state}


@WAYS
def test_who_differs_from_the_majority_fails(tmp_path: Path, way: tuple[str, ...]) -> None:
    """On every way to a page, in its content, a header, or what an expression caught."""
    with web(NEW, OLD, NEW, NEW) as places:
        others = " ".join(places[each] for each in (0, 2, 3))
        (new, old), (cut, cut_old) = map(shown, BODIES), (shown(each[:9]) for each in BODIES)
        for options, why in (
            ((), f"content differs: {old} here, {new} on {others}"),
            (("--agree-on", "etag"), f'etag differs: "1" here, "2" on {others}'),
            (
                ("--agree-on", "match", "-m", r"version (\d)"),
                f"match differs: 1 here, 2 on {others}",
            ),
            (
                ("--max-bytes", "9"),
                f"content differs in the first 9 bytes: {cut_old} here, {cut} on {others}",
            ),
        ):
            found = reasons(http(*way, "--agree", *options, *places, environ=in_(tmp_path)))
            assert found == {places[1]: why}
        for options in (("--max-bytes", "8"), ("--agree-on", "match", "-m", "(version)")):
            assert failed(http(*way, "--agree", *options, *places, environ=in_(tmp_path))) == []


def test_pages_behind_tls_and_redirects_are_compared(folder: Path) -> None:
    """That is the page which is judged, not the redirect to it."""
    folder.chmod(0o755)
    authority = Authority(folder)
    ports = [free_port("127.0.0.1") for _ in range(6)]
    secure = [f"127.0.0.1:{port}" for port in ports[:3]]
    moved = [f"127.0.0.1:{port}" for port in ports[3:]]
    certificate = authority.valid("127.0.0.1")
    sites = [
        Site([place], f'location / {{ return 200 "page {number // 2}"; }}', certificate)
        for number, place in enumerate(secure)
    ] + [
        Site(
            [place],
            f'location = /a {{ return 302 /b; }} location /b {{ return 200 "{number // 2}"; }}',
        )
        for number, place in enumerate(moved)
    ]
    with Nginx(folder / "nginx", *sites):
        tls = ("--tls", "--cacert", str(authority.cacert))
        found = reasons(http("--agree", *tls, *secure, environ=in_(folder)))
        assert [place for place in found if found[place].startswith("content differs: ")] == secure[
            2:
        ]
        found = reasons(http("--agree", "--follow", "-u", "/a", *moved, environ=in_(folder)))
        assert [place for place in found if found[place].startswith("content differs: ")] == moved[
            2:
        ]
        assert failed(http("--agree", "-u", "/a", *moved, environ=in_(folder))) == []


@WAYS
def test_a_tie_is_told_and_takes_nobody_out(tmp_path: Path, way: tuple[str, ...]) -> None:
    """The status is 3, and the detail begins with why; a dead server goes out all the same."""
    with web(NEW, OLD, b"HTTP/1.1 503 Oops\r\n\r\n") as places:
        done = http(*way, "--agree", *places[:2], environ=in_(tmp_path))
        empty, why, *rest = done.stdout.split("\n")
        new, old = map(shown, BODIES)
        shares = f"{new} on {places[0]}, {old} on {places[1]}"
        assert why == f"content differs, and no answer has a majority: {shares}"
        assert (done.status, empty, sum(": ok (" in line for line in rest)) == (3, "", 2)
        with_dead = http(*way, "--agree", *places, environ=in_(tmp_path))
        assert reasons(with_dead) == {places[2]: "status 503 is not accepted"}
        assert with_dead.stdout.split("\n")[1] == why


def test_a_long_content_is_compared_as_far_as_it_is_read(tmp_path: Path) -> None:
    """It is not kept for that: what never ends is compared too."""
    with contextlib.ExitStack() as stack:
        places = [
            stack.enter_context(Misbehaving(endless(OK + b"\r\n", content), "127.0.0.1")).place
            for content in (b"a" * 64, b"a" * 64, b"a" * 63 + b"b")
        ]
        most = ("--agree", "--max-bytes", "3000000")
        found = reasons(http(*most, *places, environ=in_(tmp_path)))
        (why,) = found.values()
        assert list(found) == places[2:]
        assert why.startswith("content differs in the first 3000000 bytes: ")
        same = http(*most, *places[:2], environ=in_(tmp_path))
        assert failed(same) == []
        assert "\ncontent was compared in the first 3000000 bytes\n" in same.stdout


def test_a_difference_is_borne_from_run_to_run(tmp_path: Path) -> None:
    """Since when it lasts is in the ledger: a new process, and after a kill, knows it."""
    with web(NEW, OLD, NEW) as places:
        argv = ("--agree", "--agree-within", "3600", *places)
        first = run("http.monitor", *argv, env=in_(tmp_path))
        assert (first.returncode, b": borne for 3600 s more\n" in first.stdout) == (0, True)
        ledger = Ledger.open(str(tmp_path))
        subject = "www/http  / content"
        assert ledger.contents.get(subject).keys() == {places[1]}
        ledger.begin()
        ledger.contents.set(subject, {places[1]: (time.time() - 3600, False)}, time.time())
        ledger.commit()
        assert failed(http(*argv, environ=in_(tmp_path))) == [places[1]]
        # Another service, and another page, has nothing to do with it.
        assert failed(http(*argv, environ={**in_(tmp_path), "MON_SERVICE": "other"})) == []
        assert failed(http("-u", "/x", *argv, environ=in_(tmp_path))) == []
        assert failed(http(*argv[:3], places[0], places[2], environ=in_(tmp_path))) == []
        assert ledger.contents.get(subject) == {}
        ledger.close()


def test_what_is_known_of_a_check_that_is_gone_leaves(tmp_path: Path) -> None:
    """A week after its last run, when another notes something; one that goes on keeps its own."""
    week, now = 7 * 86400, time.time()
    ledger = Ledger.open(str(tmp_path))
    with web(NEW, OLD, NEW) as places:
        ours, gone = "www/http  / content", "gone/http  / content"
        ledger.begin()
        ledger.contents.set(ours, {places[1]: (now - 60, False)}, now - week + 600)
        ledger.contents.set(gone, {places[1]: (now - 60, False)}, now - week - 60)
        ledger.commit()
        argv = ("--agree", "--agree-within", "3600", *places)
        assert failed(http(*argv, environ=in_(tmp_path))) == []
    assert ledger.contents.get(ours) == {places[1]: (now - 60, False)}
    assert ledger.contents.seen(ours) >= now
    assert ledger.contents.get(gone) == {}
    ledger.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("none", "{folder}/state/ledger.db: No such file or directory"),
        ("file", "{folder}/state/ledger.db: Not a directory"),
        ("broken", "{folder}/state/ledger.db: file is not a database"),
        ("newer", "{folder}/state/ledger.db: made by a newer lvsalert (version 99 of its tables)"),
    ],
)
def test_a_ledger_that_cannot_be_used_is_named(tmp_path: Path, spoil: str, said: str) -> None:
    """What is to be borne cannot be judged then; what is not is, and so are servers that agree."""
    state, line = tmp_path / "state", said.format(folder=tmp_path)
    if spoil == "file":
        state.write_text("")
    elif spoil != "none":
        state.mkdir()
        if spoil == "broken":
            (state / "ledger.db").write_bytes(b"nonsense" * 999)
        else:
            with contextlib.closing(Ledger.open(str(state))) as ledger:
                ledger._db.execute("PRAGMA user_version = 99")
    with web(NEW, OLD, NEW) as places:
        done = http("--agree", "--agree-within", "60", *places, environ=in_(state))
        empty, why, _ = done.stdout.split("\n", 2)
        assert (done.status, done.stderr, empty) == (3, "", "")
        assert why.startswith(f"{places[1]}: content differs: ")
        assert why.endswith(f"(since when is not known: {line})")
        at_once = http("--agree", *places, environ=in_(state))
        assert failed(at_once) == [places[1]]
        assert f"\nnot remembered: {line}\n" in at_once.stdout
        same = http("--agree", "--agree-within", "60", places[0], places[2], environ=in_(state))
        assert failed(same) == []


@WAYS
def test_a_server_whose_canary_is_old_fails(tmp_path: Path, way: tuple[str, ...]) -> None:
    """The canary is a time, or what Last-Modified says of any page; each for itself."""
    now = int(time.time())
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now - 9999)).encode()
    answers = [OK + b"\r\n%d\n" % (now - late) for late in (0, 9999, -9999)]
    with web(*answers, OK + b"Last-Modified: " + date + b"\r\n\r\npage") as places:
        found = reasons(http(*way, "--stale", "5000", *places, environ=in_(tmp_path)))
        assert found.keys() == set(places[1:])
        assert re.fullmatch(r"its time is (9999|100\d\d) s old, more than 5000 s", found[places[1]])
        assert re.fullmatch(
            r"its time is 9\d\d\d s ahead of .*, more than 5000 s", found[places[2]]
        )
        assert re.fullmatch(r"its time is (9999|100\d\d) s old, more than 5000 s", found[places[3]])
        assert failed(http(*way, "--stale", "20000", *places, environ=in_(tmp_path))) == []


BAD = [
    (("--agree-on", "etag"), "--agree-on goes with --agree"),
    (("--agree-within", "5"), "--agree-within goes with --agree"),
    (("--agree", "--agree-within", "-1"), "--agree-within: '-1' is not a number of seconds (0 or"),
    (("--stale", "0"), "--stale: '0' is not a number of seconds (0.001 or more)"),
    (("--agree", "--agree-on", "x"), "--agree-on: 'x' cannot be compared: body, etag, last-mod"),
    (
        ("--agree", "--agree-on", "match"),
        "--agree-on match needs --match or --receive with a group",
    ),
    (("--agree", "--agree-on", "match", "-m", "a"), "--agree-on match needs --match or --receive"),
    (("--agree", "--method", "HEAD"), "--agree compares the content, and HEAD has none"),
    (("--agree", "--max-bytes", "0"), "--agree compares the content, and --max-bytes is 0"),
]


@pytest.mark.parametrize(("argv", "said"), BAD)
def test_what_cannot_be_compared_is_refused(argv: tuple[str, ...], said: str) -> None:
    """In one line, before anything is asked."""
    assert complaint(http(*argv, "192.0.2.1")).startswith(f"http.monitor: {said}")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A director with a file of its own."""
    return Machine(tmp_path, monkeypatch)


def file_of(*places: str, more: str = "") -> str:
    """Return a file with one web service at these places."""
    servers = "".join(f"    real = {place} masq\n" for place in places)
    return f'virtual = 10.0.0.3:80\n{servers}    service = http\n    request = "/"\n{more}'


def told(done: Outcome) -> list[str]:
    """Return who stays out, by what is said to standard error."""
    assert done.status == 0, done
    return re.findall(r"(\S+) stays out: content differs: ", done.stderr)


def test_the_first_checks_compare_too(machine: Machine) -> None:
    """start leaves out who differs, and reload a new server that does from those that are in."""
    with web(NEW, OLD, NEW, NEW, OLD) as places:
        machine.write(file_of(*places[:3]))
        assert told(machine.with_file("start", "--agree")) == [places[1]]
        machine.write(file_of(*places))
        assert set(told(machine.with_file("reload", "--agree"))) == {places[1], places[4]}
        rules = "".join(machine.kernel.rules)
        assert [place in rules for place in places] == [True, False, True, True, False]
        # Where nothing can be told nobody is left out.
        machine.write(file_of(*places[3:]).replace("10.0.0.3", "10.0.0.4"))
        done = machine.with_file("start", "--agree")
        assert "10.0.0.4-80/http: could not be checked: content differs, and no" in done.stderr
        rules = "".join(machine.kernel.rules)
        assert [place in rules for place in places] == [False, False, False, True, True]


def test_mons_checks_compare_as_mon_config_says(machine: Machine) -> None:
    """Its variables do what the options do; a service that has nothing to compare is refused."""
    with web(NEW, OLD, NEW) as places:
        machine.write(file_of(*places))
        options = ("--agree", "--agree-on", "header:ETag", "--agree-within", "0.5", "--stale", "9")
        text = machine.with_file("mon-config", *options).stdout
        variables = comparison_in(text)
        assert variables == {
            "LVSALERT_AGREE": "1",
            "LVSALERT_AGREE_ON": "header:etag",
            "LVSALERT_AGREE_WITHIN": "0.5",
            "LVSALERT_STALE": "9",
        }
        assert machine.with_file("mon-config").stdout != text
        del variables["LVSALERT_STALE"]
        variables["LVSALERT_AGREE_WITHIN"] = "0"
        done = http(*places, environ={**in_(machine.state), **variables})
        assert failed(done) == [places[1]]
    machine.write(file_of("192.0.2.1:80", more="    httpmethod = HEAD\n"))
    for command in ("mon-config", "start", "reload"):
        done = machine.with_file(command, "--agree")
        why = "--agree compares the content, and HEAD has none: --agree-on etag"
        assert (done.status, done.stderr) == (3, f"lvs-director: tcp-10.0.0.3-80/http: {why}\n")
    assert machine.with_file("mon-config", "--agree", "--agree-on", "etag").status == 0
