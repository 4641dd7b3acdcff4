"""Scenario 8: the stand-in answers as the kernel does."""

from __future__ import annotations

import io
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from lvsalert import standin

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.director import Director
    from tests.lab.topology import Topology

COMMANDS = 300
# Few of each, so that what is asked for often stands already, or does not.
SERVICES = (
    "-t 10.0.0.3:80",
    "-t 10.0.0.3:443",
    "-u 10.0.0.3:80",
    "--sctp-service 10.0.0.3:80",
    "-t [2001:db8::3]:80",
    "-u [2001:db8::3]:53",
    "-f 7",
    "-f 7 -6",
    "-f 8",
)
BAD_SERVICES = (
    "-t 10.0.0.3",
    "-t 10.0.0.300:80",
    "-t 10.0.0.3:65536",
    "-t 10.0.0.3:-1",
    "-t :80",
    "-t [2001:db8::3]",
    "-t [2001:db8::3:80",
    "-f 0",
    "-f seven",
    "-f 4294967296",
    "-6 -f 7",
    "-t 10.0.0.3:80 -f 7",
    "-t",
    "",
)
SCHEDULERS = ("", "-s rr", "-s wlc", "-s wrr", "-s sh -b sh-port", "-s mh -b mh-fallback,mh-port")
BAD_SCHEDULERS = ("-s nosuch", "-s rr -b sh-port", "-s sh -b nosuch", "-s rr -s wlc")
PERSISTENCE = ("", "", "-p", "-p 60", "-p 60 -M 255.255.0.0", "-p 9 --pe sip")
BAD_PERSISTENCE = (
    "-p 0",
    "-p abc",
    "-p 2678401",
    "-p -5",
    "-p 9 -M abc",
    "-p 9 -M 129",
    "--pe no",
    "-o",
)
SERVERS = (
    "-r 192.168.0.1",
    "-r 192.168.0.1:80",
    "-r 192.168.0.1:8080",
    "-r 192.168.0.2:80",
    "-r 192.168.0.2:0",
)
SERVERS6 = ("-r [2001:db8::11]:80", "-r [2001:db8::12]:0", "-r 2001:db8::11")
BAD_SERVERS = (
    "-r 192.168.0.256:80",
    "-r 192.168.0.1:65536",
    "-r 192.168.0.1:",
    "-r [2001:db8::11]",
    "-r 0.0.0.0:80",
    "-r 224.0.0.1:80",
    "-r [fe80::1]:80",
    "-r 192.168.0.1 -r 192.168.0.2",
    "-r",
    "",
)
METHODS = (
    "",
    "-g",
    "-m",
    "-i",
    "-i --tun-type gue --tun-port 6080",
    "-i --tun-type gre --tun-csum",
)
BAD_METHODS = ("-g -m", "-g --tun-type gre", "-i --tun-type nosuch", "-i --tun-type gue")
WEIGHTS = ("", "-w 0", "-w 1", "-w 5", "-w 65535", "-w 65536", "-w 010")
BAD_WEIGHTS = ("-w -1", "-w five", "-w 2147483648", "-w 1 -w 2", "-w", "-w 0x1")
THRESHOLDS = ("", "", "-x 100", "-x 100 -y 50", "-x 2147483647")
BAD_THRESHOLDS = ("-x -1", "-y ten", "-y 50", "-x 10 -y 20", "-x 2147483648", "-x", "-x 1 -x 2")
RUBBISH = ("--nosuch", "rubbish", "-A -D", "-Y", "-A extra", "--add-server", "#", "-n -A", "-S -A")


class Generator:
    """Makes commands, the same ones each time; most are what ipvsadm can parse."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def words(self) -> tuple[list[str], str]:
        """Return the arguments of one call of ipvsadm, and what it gets on stdin."""
        if self._random.random() < 0.15:
            lines = [self._line() for _ in range(self._random.randint(1, 6))]
            return ["-R"], "".join(f"{line}\n" for line in lines)
        return self._line().split(), ""

    def _line(self) -> str:
        """Return one command."""
        if self._random.random() < 0.04:
            return self._random.choice(RUBBISH)
        command = self._random.choices(
            ("-A", "-E", "-D", "-a", "-e", "-d", "-C", "-Z"), (20, 5, 3, 36, 20, 15, 0.5, 0.5)
        )[0]
        if command == "-C":
            return command
        parts = [command, self._pick(SERVICES, BAD_SERVICES)]
        if command in {"-A", "-E"}:
            parts.append(self._pick(SCHEDULERS, BAD_SCHEDULERS))
            parts.append(self._pick(PERSISTENCE, BAD_PERSISTENCE))
        if command in {"-a", "-e", "-d"}:
            fits = SERVERS6 if "::" in parts[1] or "-6" in parts[1] else SERVERS
            parts.append(self._pick(fits, (*BAD_SERVERS, *SERVERS, *SERVERS6)))
        if command in {"-a", "-e"} or self._random.random() < 0.03:
            parts.append(self._pick(METHODS, BAD_METHODS))
            parts.append(self._pick(WEIGHTS, BAD_WEIGHTS))
            parts.append(self._pick(THRESHOLDS, BAD_THRESHOLDS))
        return " ".join(part for part in parts if part)

    def _pick(self, good: tuple[str, ...], bad: tuple[str, ...]) -> str:
        """Choose, one time in forty a bad one."""
        return self._random.choice(bad if self._random.random() < 1 / 40 else good)


class Pair:
    """The kernel and the stand-in, side by side; both begin with an empty table."""

    def __init__(self, director: Director, table: Path) -> None:
        self._director = director
        self._environment = {standin.VARIABLE: str(table)}

    def ask(self, *argv: str, stdin: str = "") -> tuple[Answer, Answer]:
        """Return what the real ipvsadm does, and what the stand-in does."""
        done = self._director.try_ipvsadm(*argv, stdin=stdin)
        stdout, stderr = io.StringIO(), io.StringIO()
        status = standin.main(list(argv), self._environment, io.StringIO(stdin), stdout, stderr)
        other = Answer(status, stdout.getvalue(), stderr.getvalue())
        return Answer(done.returncode, done.stdout, done.stderr), other


class Answer(NamedTuple):
    """What a call of ipvsadm ends with."""

    status: int
    stdout: str
    stderr: str


def test_the_standin_is_as_strict_as_the_kernel(lab: Topology, folder: Path) -> None:
    """A few hundred commands, good and bad: same status, same words, same table after each."""
    pair = Pair(lab.director2, folder / "table")
    generator = Generator(seed=20)
    differences = []
    tables = [""]
    for _ in range(COMMANDS):
        argv, stdin = generator.words()
        questions = [(argv, stdin), (["-Sn"], "")]
        if "-x" in argv + stdin.split():
            questions.append((["-Ln", "--thresholds"], ""))
        for asked, given in questions:
            real, other = pair.ask(*asked, stdin=given)
            if real != other:
                what = f"ipvsadm {' '.join(argv)} <<<{stdin!r} on\n{tables[-1]}"
                differences.append(f"{what}{asked}:\nkernel   {real}\nstand-in {other}\n")
                pair.ask("-C")
                break
            if asked == ["-Sn"] and real.stdout != tables[-1]:
                tables.append(real.stdout)
    assert not differences, f"{len(differences)} differences\n" + "\n".join(differences)
    # A generator whose commands all fail would compare nothing.
    assert len(tables) > COMMANDS / 4, f"only {len(tables)} commands were taken"
