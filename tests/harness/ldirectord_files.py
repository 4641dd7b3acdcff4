"""Files of ldirectord's configuration, made up at random: sound ones, and ones with a fault.

Each comes from its own number, so that a file that shows a difference can be had again.
"""

from __future__ import annotations

import random

# What ldirectord takes, by directive; each value is as likely as another.
_NUMBERS = ("1", "5", "10", "30", "0010", "7 # seconds", "12s", "=3")
_SWITCHES = ("yes", "no")
_MAILS = ("root@localhost", '"a@example.org, b@example.org"', "a@example.org,b@example.org", '"x')
_STATES = ("all", "none", "running", "starting,stopping", "running , reloading,", "none,none", "")
_BOTH = {
    "checktimeout": _NUMBERS,
    "negotiatetimeout": _NUMBERS,
    "checkinterval": _NUMBERS,
    "checkcount": _NUMBERS,
    "failurecount": _NUMBERS,
    "quiescent": _SWITCHES,
    "cleanstop": _SWITCHES,
    "emailalert": _MAILS,
    "emailalertfreq": ("0", "3600", "60s"),
    "emailalertstatus": _STATES,
    "fallbackcommand": ("/bin/true", '"/usr/bin/alarm"', "/bin/echo a b"),
    "smtp": ("localhost", "192.0.2.25", "mail.example.org:25"),
}
_GLOBAL = {
    **_BOTH,
    "autoreload": _SWITCHES,
    "callback": ('"/usr/local/bin/sync"', '""', '"a" b'),
    "emailalertfrom": ("lvs@example.org", '"LVS" <lvs@example.org>'),
    "execute": ("other", ""),
    "fallback": ("127.0.0.1", "127.0.0.1:80 gate", "localhost:domain masq", "x y ipip"),
    "fallback6": ("[::1]", "[::1]:80", "[2001:db8::9]:domain gate", "ip6-localhost:80"),
    "fork": _SWITCHES,
    "logfile": ('"/var/log/ldirectord.log"', '"local0"', '""'),
    "maintenancedir": ("/var/lib/maintenance", "/tmp  ", '"x"'),
    "readdquiescent": _SWITCHES,
    "supervised": _SWITCHES,
}
_VIRTUAL = {
    **_BOTH,
    "checkcommand": ("/bin/true", '"/usr/lib/check"', '"a" b', '"unclosed', "a b"),
    "checkport": ("80", "port 8080", "00443", "65535"),
    "checktype": (
        *("negotiate", "connect", "ping", "on", "off", "external", "external-perl"),
        *("3", "0", '"connect"', "connect now", "after 5"),
    ),
    "comment": ("", "ask the web team", '"quoted"'),
    "database": ('"shop"', '"a"b"', '"a" b'),
    "httpmethod": ("GET", "head", "Get", '"HEAD"', "GET please"),
    "load": ('"low"', '"a b"'),
    "login": ('"anonymous"', '"cn=x, dc=y"'),
    "monitorfile": ("/dev/null", '"/dev/null"'),
    "ops": _SWITCHES,
    "passwd": ('"secret"', '"with blanks "', '"\tx"'),
    "persistent": ("300", "1 h", "2678400"),
    "receive": ('"test page"', '"^HTTP/1.[01]"', '"say \\"hi\\""', '"a" "b"'),
    "request": ('"/.testpage"', '"index.html"', '"http://www.example.org/x"', '"select 1"'),
    "schedflags": ("flag-1", "flag-1,flag-2", " flag-3 x"),
    "scheduler": ("rr", "wlc", "wrr", "lblcr now", '"lc"', "Wlc"),
    "secret": ('"s3cret"',),
    "service": (
        *("http", "https", "ftp", "dns", "smtp", "imaps", "mysql", "sip", "simpletcp", "none"),
        *("http_proxy", "http-proxy", '"pop"', "submission too", "radius", "pgsql", "ldaps"),
    ),
    "servicename": ("shop", ""),
    "virtualhost": ("www.example.org", '"www.example.org"', '"a" b', 'a"b', '""', ""),
}
_PLACES = (
    "10.0.0.3:80",
    "10.0.0.4:http",
    "10.0.0.5:53",
    "10.0.0.6:domain",
    "192.0.2.7:21",
    "7",
    "80 web",
)
_PLACES += (
    "www.example.org:443",
    "localhost:5432",
    "192.0.2.8:80/tcp",
    "127.2:25",
    "010.0.0.3:8080",
)
_PLACES += ("192.0.2.9:1812", "a_b+c.example:3128", "192.0.2.10:65535", "4294967295")
_PLACES6 = (
    "[2001:db8::3]:80",
    "[2001:db8:0::4]:http",
    "[::1]:53",
    "www.example.org:80",
    "7",
    "8 x",
)
_HOSTS = ("192.168.0.1", "192.168.0.2", "web1.example.org", "web-2", "192.168.0.3->192.168.0.5")
_HOSTS += ("web1->web2", "192.0.2.98->web", "127.1", "web_3", "10.0.0.9->10.0.0.9", "3")
_HOSTS6 = ("[2001:db8::11]", "[2001:DB8:0::12]", "web1.example.org", "[::1]")
_PORTS = ("", ":80", ":http", ":0", ":8080", ":domain", ":00080")
_METHODS = ("gate", "masq", "ipip", " gate", "-masq", "(ipip)")
_WEIGHTS = ("", " 1", " 5", " 0", " 65535", " w 3", " 7x", "  010")
_OWN = ("", ' "/.testpage", "ok"', ' "x" "y"', ' "", ""', ' "http://h/","a,b"', ' "a","b","c"')
_LIMITS = ("", " l:1", " u:10", " l:5 u:50", " u:9 l:2")
_MASKS = ("255.255.255.0", "255.255.255.255", "255.0.0.0")
_MASKS6 = ("64", "128", "1")

# What ldirectord refuses, or takes for something else.
_BAD_PLACES = ("10.0.0.3", "0", "", "[2001:db8::3]:80", "10.0.0.3:", "10.0.0.3:nosuch", ":80")
_BAD_PLACES += ("10.0.0.3:65536", "999.1.1.1:80", "[::zz]:80", "2001:db8::3:80", "-", "10.0.0.3:0")
_BAD_PLACES += ("4294967296", "7x", "10.0.0.3 :80", "[10.0.0.3]:80", "1.2.3.4.5:80", "http", '"7"')
_BAD_REALS = ("192.168.0.1:80", "192.168.0.1:80 route", "192.168.0.1: gate", "gate", "", "gate 5")
_BAD_REALS += ("192.168.0.9->192.168.0.1:80 gate", "192.168.0.1:99999 gate", "[::1]:80 gate")
_BAD_REALS += ("192.168.0.1:80 gate 5 6", '192.168.0.1:80 gate 5 "/x"', "192.168.0.1:80 GATE")
_BAD_REALS += ("192.168.0.1:80 gate 65536", "2001:db8::1 gate", "192.168.0.1:nosuch gate")
_BAD_REALS += ('192.168.0.1:80 gate "/a 5", "b"', "[2001:db8::1->2001:db8::2]:80 gate", "a b gate")
_BAD_REALS += (
    "[2001:db8::1]->[2001:db8::2]:80 gate",
    "300.0.0.1:80 gate",
    "10.0.0.0->10.9.0.0 gate",
)
_BAD_REALS += ("192.168.0.1:80 masq l:99999999999", "192.168.0.1:80 gate 1 l:x", "[::x]:80 masq 1")
_BAD_REALS += ('192.168.0.1:80 gate "x","y" "l:5"', "192.168.0.1:80 gate l:5u:6")
_BAD_FALLBACKS = (
    "",
    ":80",
    "127.0.0.1 route",
    "127.0.0.1:99999",
    "127.0.0.1:nosuch",
    "::1",
    "[::1]",
)
_BAD_FALLBACKS += ("300.0.0.1", "127.0.0.1:80 gate 1", "a b masq", "127.0.0.1:0", "127.0.0.1:")
_BAD_VALUES = (
    "",
    "0",
    "00",
    "-1",
    "yes ",
    "YES",
    "maybe",
    '""',
    '"',
    '"x"',
    "x",
    "99999999999",
    "tcp",
)
_BAD_VALUES += (
    "none,all",
    "running;all",
    ",",
    "nonsense",
    "65536",
    "255.255.255.0",
    "129",
    "fwm",
    "udp",
)
_BAD_VALUES += (
    "WLC",
    "averyveryverylongname",
    '"a#b"',
    "http proxy",
    "1.5",
    "\u00e9",
    "yes\r",
    "\x0b",
)
_ODD_LINES = (
    "",
    "   ",
    "\t",
    "     ",
    "# comment",
    "    # indented comment",
    "nonsense",
    "nonsense = 1",
)
_ODD_LINES += (
    "supervised",
    "supervised ",
    "supervised = ",
    "supervisedly",
    "timeout = 10",
    "\xa0 ",
)
_ODD_LINES += (
    "    timeout = 10",
    "connecttimeout = 5",
    "    connecttimeout = 5",
    "checktimeout",
    "=",
)
_ODD_LINES += (
    "virtual",
    "virtual = 9",
    "real = 192.168.0.1:80 gate",
    "Quiescent = yes",
    "\r",
    "\f",
)
_ODD_LINES += (
    "    checktimeout",
    "    = 5",
    "  checktimeout = 5",
    "    ###",
    "    fork = yes",
    "\x0b",
)
_ODD_LINES += (
    "    protocol = fwm",
    "    protocol = tcp",
    "    protocol = udp",
    "    netmask = 24",
    "0",
)
_ODD_LINES += (
    "    fallback6 = [::1]",
    "    real6 = [::1]:80 gate",
    "virtual6 = [::1]:80",
    "protocol = tcp",
)


def make(number: int) -> str:
    """Return the file of this number; two of three have a fault or something odd in one place."""
    dice = random.Random(number)
    lines = _sound(dice)
    if dice.random() < 0.67:
        _spoil(dice, lines)
    return "\n".join(lines) + dice.choice(("\n", "\n", ""))


def _assign(dice: random.Random, name: str, value: str) -> str:
    return name + dice.choice((" = ", "=", " =", "= ", "\t=\t")) + value


def _some(dice: random.Random, values: dict[str, tuple[str, ...]], most: int) -> list[str]:
    names = dice.sample(sorted(values), dice.randint(0, most))
    return [_assign(dice, name, dice.choice(values[name])) for name in names]


def _sound(dice: random.Random) -> list[str]:
    lines = _some(dice, _GLOBAL, 6)
    lines.insert(dice.randint(0, len(lines)), dice.choice(("", "# comment", "   ", "supervised")))
    six = dice.random() < 0.25
    for place in dice.sample(_PLACES6 if six else _PLACES, dice.randint(1, 3)):
        lines += _section(dice, place, six=six)
        lines += dice.choice(([], [""], ["# comment"], ["", *_some(dice, _GLOBAL, 2)]))
    return lines


def _section(dice: random.Random, place: str, *, six: bool) -> list[str]:
    suffix = "6" if six else ""
    below = _some(dice, _VIRTUAL, 7)
    if dice.random() < 0.3:
        below.append(_assign(dice, "netmask", dice.choice(_MASKS6 if six else _MASKS)))
    is_mark = ":" not in place
    if dice.random() < 0.3:
        words = ("fwm",) if is_mark else ("tcp", "udp", '"udp"', "tcp only")
        below.append(_assign(dice, "protocol", dice.choice(words)))
    if dice.random() < 0.3:
        values = _GLOBAL[f"fallback{suffix}"]
        below.append(_assign(dice, f"fallback{suffix}", dice.choice(values)))
    for _ in range(dice.randint(0, 3)):
        parts = (_HOSTS6 if six else _HOSTS, _PORTS, (" ", "  "), _METHODS, _WEIGHTS, _OWN, _LIMITS)
        value = "".join(dice.choice(each) for each in parts)
        below.append(_assign(dice, f"real{suffix}", value))
    dice.shuffle(below)
    indents = [dice.choice(("    ", "     ", "\t", " \t", "        ")) for _ in below]
    head = _assign(dice, f"virtual{suffix}", place)
    return [head, *(indent + line for indent, line in zip(indents, below))]


def _spoil(dice: random.Random, lines: list[str]) -> None:
    """Put one thing into a sound file that is likely to be refused."""
    at = dice.randrange(len(lines))
    line = lines[at]
    kind = dice.randint(0, 5)
    name, equals, _ = line.partition("=")
    if kind <= 1 and equals:
        plain = name.strip().rstrip("6")
        pools = {"virtual": _BAD_PLACES, "real": _BAD_REALS, "fallback": _BAD_FALLBACKS}
        lines[at] = f"{name}= {dice.choice(pools.get(plain, _BAD_VALUES))}"
    elif kind == 2:
        lines.insert(at, dice.choice(_ODD_LINES))
    elif kind == 3 and line:
        cut = dice.randrange(len(line))
        lines[at] = line[:cut] + line[cut + 1 :]
    elif kind == 4 and line:
        cut = dice.randrange(len(line))
        lines[at] = line[:cut] + dice.choice(' \t#="6x0.:[]->,') + line[cut:]
    else:
        lines.insert(dice.randint(at, len(lines)), line)
