"""The options of ipvsadm 1.31 and how libpopt takes them from a command line.

Options are told apart by their long name. popt takes `-t ADDRESS`, `-tADDRESS`, `-t=ADDRESS`,
`--tcp-service ADDRESS`, `--tcp-service=ADDRESS` and clusters as `-At ADDRESS`, no shortened names.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module typing would cost a tenth of a run
    from collections.abc import Iterator

NOTHING, REQUIRED, OPTIONAL = range(3)
_OPTIONS = (
    ("add-service", "A", NOTHING),
    ("edit-service", "E", NOTHING),
    ("delete-service", "D", NOTHING),
    ("clear", "C", NOTHING),
    ("list", "Ll", NOTHING),
    ("zero", "Z", NOTHING),
    ("add-server", "a", NOTHING),
    ("edit-server", "e", NOTHING),
    ("delete-server", "d", NOTHING),
    ("set", "", NOTHING),
    ("help", "h", NOTHING),
    ("version", "v", NOTHING),
    ("restore", "R", NOTHING),
    ("save", "S", NOTHING),
    ("start-daemon", "", REQUIRED),
    ("stop-daemon", "", REQUIRED),
    ("tcp-service", "t", REQUIRED),
    ("udp-service", "u", REQUIRED),
    ("sctp-service", "", REQUIRED),
    ("fwmark-service", "f", REQUIRED),
    ("scheduler", "s", REQUIRED),
    ("persistent", "p", OPTIONAL),
    ("netmask", "M", REQUIRED),
    ("real-server", "r", REQUIRED),
    ("masquerading", "m", NOTHING),
    ("ipip", "i", NOTHING),
    ("gatewaying", "g", NOTHING),
    ("weight", "w", REQUIRED),
    ("u-threshold", "x", REQUIRED),
    ("l-threshold", "y", REQUIRED),
    ("numeric", "n", NOTHING),
    ("connection", "c", NOTHING),
    ("mcast-interface", "", REQUIRED),
    ("mcast-group", "", REQUIRED),
    ("mcast-port", "", REQUIRED),
    ("mcast-ttl", "", REQUIRED),
    ("sync-maxlen", "", REQUIRED),
    ("syncid", "", REQUIRED),
    ("timeout", "", NOTHING),
    ("daemon", "", NOTHING),
    ("stats", "", NOTHING),
    ("rate", "", NOTHING),
    ("thresholds", "", NOTHING),
    ("persistent-conn", "", NOTHING),
    ("tun-info", "", NOTHING),
    ("nosort", "", NOTHING),
    ("sort", "", NOTHING),
    ("exact", "X", NOTHING),
    ("ipv6", "6", NOTHING),
    ("ops", "o", NOTHING),
    ("pe", "", REQUIRED),
    ("sched-flags", "b", REQUIRED),
    ("tun-type", "", REQUIRED),
    ("tun-port", "", REQUIRED),
    ("tun-nocsum", "", NOTHING),
    ("tun-csum", "", NOTHING),
    ("tun-remcsum", "", NOTHING),
)
_LONG = {name: (name, takes) for name, _, takes in _OPTIONS}
_SHORT = {letter: (name, takes) for name, letters, takes in _OPTIONS for letter in letters}


class OptionError(Exception):
    """An option that popt does not take; the text is what ipvsadm prints."""


class Words:
    """A command line on its way through popt: what is read, what is left over."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._next = 0
        self.leftover: list[str] = []

    @property
    def last(self) -> str:
        """The word taken last, which popt names as the bad one whatever was wrong."""
        return self._words[self._next - 1]

    def options(self) -> Iterator[tuple[str, str | None]]:
        """Yield (long name, value) for each option, in order; OptionError for a bad one."""
        while self._next < len(self._words):
            word = self._words[self._next]
            self._next += 1
            if word == "--":
                self.leftover += self._words[self._next :]
                self._next = len(self._words)
            elif len(word) < 2 or word[0] != "-":
                self.leftover.append(word)
            elif word.startswith("--"):
                yield self._long(word[2:])
            else:
                yield from self._cluster(word[1:])

    def _long(self, text: str) -> tuple[str, str | None]:
        long_name, equals, value = text.partition("=")
        name, takes = self._known(_LONG, long_name)
        if not equals:
            return name, self._following(takes)
        if takes == NOTHING:
            raise OptionError(f"{self.last}: option does not take an argument")
        return name, value

    def _cluster(self, letters: str) -> Iterator[tuple[str, str | None]]:
        while letters:
            name, takes = self._known(_SHORT, letters[0])
            letters = letters[1:]
            if takes == NOTHING:
                if letters.startswith("="):
                    raise OptionError(f"{self.last}: option does not take an argument")
                yield name, None
            elif letters:
                yield name, letters[1:] if letters[0] == "=" else letters
                return
            else:
                yield name, self._following(takes)

    def _known(self, names: dict[str, tuple[str, int]], text: str) -> tuple[str, int]:
        try:
            return names[text]
        except KeyError:
            raise OptionError(f"{self.last}: unknown option") from None

    def _following(self, takes: int) -> str | None:
        if takes == NOTHING:
            return None
        if self._next == len(self._words):
            if takes == OPTIONAL:
                return None
            raise OptionError(f"{self.last}: missing argument")
        if takes == OPTIONAL and self._words[self._next].startswith("-"):
            return None
        self._next += 1
        return self.last
