"""What is asked of the real ipvsadm to make tests/data/ipvsadm/, see capture.py."""

from __future__ import annotations

from dataclasses import dataclass

TABLE = """\
-A -t 10.0.0.3:80 -s wlc
-a -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 5
-a -t 10.0.0.3:80 -r 192.168.0.2:80 -g -w 0
-a -t 10.0.0.3:80 -r 192.168.0.3:80 -g -w 5 -x 1000 -y 800
-A -t 10.0.0.3:443 -s wlc -p 300 -M 255.255.255.0
-a -t 10.0.0.3:443 -r 192.168.0.1:8443 -m -w 3
-a -t 10.0.0.3:443 -r 192.168.0.2:8443 -m -w 65535
-A -t 10.0.0.3:25 -s wrr
-a -t 10.0.0.3:25 -r 192.168.0.1:25 -i -w 1
-a -t 10.0.0.3:25 -r 192.168.0.2:25 -i -w 1 --tun-type ipip
-a -t 10.0.0.3:25 -r 192.168.0.3:25 -i -w 1 --tun-type gue --tun-port 6080
-a -t 10.0.0.3:25 -r 192.168.0.4:25 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum
-a -t 10.0.0.3:25 -r 192.168.0.5:25 -i -w 1 --tun-type gre
-a -t 10.0.0.3:25 -r 192.168.0.6:25 -i -w 1 --tun-type gre --tun-csum
-A -t 10.0.0.3:8080 -s sh -b sh-fallback,sh-port
-a -t 10.0.0.3:8080 -r 127.0.0.1:8080 -g -w 1
-A -t 10.0.0.3:8081 -s mh -b mh-fallback,mh-port
-A -t 10.0.0.3:8082 -s rr -b flag-3
-A -u 10.0.0.3:53 -s rr -o
-a -u 10.0.0.3:53 -r 192.168.0.1:53 -g -w 1
-A -u 10.0.0.3:5060 -s rr --pe sip -p 90
-a -u 10.0.0.3:5060 -r 192.168.0.1:5060 -m -w 1
-A --sctp-service 10.0.0.3:2905 -s rr
-a --sctp-service 10.0.0.3:2905 -r 192.168.0.1:2905 -m -w 1
-A -t [2001:db8::3]:80 -s rr
-a -t [2001:db8::3]:80 -r [2001:db8::11]:80 -g -w 5
-a -t [2001:db8::3]:80 -r [2001:db8::12]:80 -i -w 5 -x 20 -y 10
-A -t [2001:db8::3]:443 -s rr -p 600 -M 64
-a -t [2001:db8::3]:443 -r [2001:db8:ffff:ffff:ffff:ffff:ffff:fff1]:65535 -m -w 65535 -x 2147483647\
 -y 2147483646
-A -u [2001:db8::3]:53 -s rr
-a -u [2001:db8::3]:53 -r [2001:db8::11]:53 -g -w 1
-A -t 10.0.0.3:0 -s rr -p 300
-a -t 10.0.0.3:0 -r 192.168.0.1:0 -g -w 1
-A -f 7 -s wlc
-a -f 7 -r 192.168.0.1:0 -g -w 1
-a -f 7 -r 192.168.0.2:0 -m -w 1 -x 10
-A -f 8 -6 -s rr -p 60
-a -f 8 -6 -r [2001:db8::11]:0 -g -w 1
-a -f 8 -6 -r [2001:db8::12]:0 -m -w 1 -x 10 -y 10
-A -t 10.0.0.3:81 -s rr
"""
V4 = "-A -t 10.0.0.3:80 -s rr\n"
DEST = V4 + "-a -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 5 -x 10 -y 5\n"
V6 = "-A -t [2001:db8::3]:80 -s rr\n"
FWM = "-A -f 7 -s rr\n"
FWM6 = "-A -f 8 -6 -s rr\n"


@dataclass(frozen=True)
class Case:
    """One command: on a table made of `before`, with `stdin`, by root or by another user."""

    name: str
    before: str
    argv: str
    stdin: str = ""
    uid: int = 0


def _a(rest: str) -> str:
    return f"-a -t 10.0.0.3:80 {rest}"


CASES = (
    Case("add service", "", "-A -t 10.0.0.3:80 -s rr"),
    Case("add service without scheduler", "", "-A -t 10.0.0.3:80"),
    Case("add service that stands", V4, "-A -t 10.0.0.3:80 -s rr"),
    Case("add service that stands, other scheduler", V4, "-A -t 10.0.0.3:80 -s wlc"),
    Case("add service, unknown scheduler", "", "-A -t 10.0.0.3:80 -s nosuch"),
    Case("add service, overlong scheduler", "", "-A -t 10.0.0.3:80 -s abcdefghijklmnopqrstuvwxyz"),
    Case("add service, address without port", "", "-A -t 10.0.0.3"),
    Case("add service, port 0 not persistent", "", "-A -t 10.0.0.3:0 -s rr"),
    Case("add service, port 0 persistent", "", "-A -t 10.0.0.3:0 -s rr -p 300"),
    Case("add service, port 65536", "", "-A -t 10.0.0.3:65536 -s rr"),
    Case("add service, negative port", "", "-A -t 10.0.0.3:-1 -s rr"),
    Case("add service, empty port", "", "-A -t 10.0.0.3: -s rr"),
    Case("add service, port by name", "", "-A -t 10.0.0.3:http -s rr"),
    Case("add service, unknown port name", "", "-A -t 10.0.0.3:nosuch -s rr"),
    Case("add service, illegal address", "", "-A -t 10.0.0.300:80 -s rr"),
    Case("add service, short address", "", "-A -t 10.3:80 -s rr"),
    Case("add service, zero-led address", "", "-A -t 010.0.0.3:80 -s rr"),
    Case("add service, name that does not resolve", "", "-A -t no.such.invalid:80 -s rr"),
    Case("add service, name localhost", "", "-A -t localhost:80 -s rr"),
    Case("add service, empty address", "", "-A -t :80 -s rr"),
    Case("add service, IPv6", "", "-A -t [2001:db8::3]:80 -s rr"),
    Case("add service, IPv6 without port", "", "-A -t [2001:db8::3] -s rr"),
    Case("add service, IPv6 without brackets", "", "-A -t 2001:db8::3:80 -s rr"),
    Case("add service, bracket not closed", "", "-A -t [2001:db8::3:80 -s rr"),
    Case("add service, IPv6 long spelling", "", "-A -t [2001:0DB8:0:0:0:0:0:3]:80 -s rr"),
    Case("add service, IPv4-mapped", "", "-A -t [::ffff:10.0.0.3]:80 -s rr"),
    Case("add service, IPv6 zone", "", "-A -t [fe80::1%lo]:80 -s rr"),
    Case("add service, fwmark", "", "-A -f 7 -s rr"),
    Case("add service, fwmark 0", "", "-A -f 0 -s rr"),
    Case("add service, fwmark 4294967295", "", "-A -f 4294967295 -s rr"),
    Case("add service, fwmark 4294967296", "", "-A -f 4294967296 -s rr"),
    Case("add service, negative fwmark", "", "-A -f -1 -s rr"),
    Case("add service, fwmark in hexadecimal", "", "-A -f 0x10 -s rr"),
    Case("add service, fwmark that is no number", "", "-A -f seven -s rr"),
    Case("add service, fwmark -6", "", "-A -f 8 -6 -s rr"),
    Case("add service, -6 before -f", "", "-A -6 -f 8 -s rr"),
    Case("add service, -6 with -t", "", "-A -t 10.0.0.3:80 -6 -s rr"),
    Case("add service, fwmark -6 beside the same for v4", FWM, "-A -f 7 -6 -s rr"),
    Case("add service, persistent without a number", "", "-A -t 10.0.0.3:80 -s rr -p"),
    Case("add service, persistent 0", "", "-A -t 10.0.0.3:80 -s rr -p 0"),
    Case("add service, persistent too long", "", "-A -t 10.0.0.3:80 -s rr -p 2678401"),
    Case("add service, persistent negative", "", "-A -t 10.0.0.3:80 -s rr -p -5"),
    Case("add service, persistent word", "", "-A -t 10.0.0.3:80 -s rr -p abc"),
    Case("add service, mask without persistence", "", "-A -t 10.0.0.3:80 -s rr -M 255.255.255.0"),
    Case("add service, mask that is no mask", "", "-A -t 10.0.0.3:80 -s rr -p 9 -M 255.0.255.0"),
    Case("add service, mask 0.0.0.0", "", "-A -t 10.0.0.3:80 -s rr -p 9 -M 0.0.0.0"),
    Case(
        "add service, mask 255.255.255.255", "", "-A -t 10.0.0.3:80 -s rr -p 9 -M 255.255.255.255"
    ),
    Case("add service, mask word", "", "-A -t 10.0.0.3:80 -s rr -p 9 -M abc"),
    Case("add service, IPv6 mask 0", "", "-A -t [2001:db8::3]:80 -s rr -p 9 -M 0"),
    Case("add service, IPv6 mask 128", "", "-A -t [2001:db8::3]:80 -s rr -p 9 -M 128"),
    Case("add service, IPv6 mask 129", "", "-A -t [2001:db8::3]:80 -s rr -p 9 -M 129"),
    Case("add service, IPv4 mask as a prefix", "", "-A -t 10.0.0.3:80 -s rr -p 9 -M 24"),
    Case("add service, one packet TCP", "", "-A -t 10.0.0.3:80 -s rr -o"),
    Case("add service, one packet UDP", "", "-A -u 10.0.0.3:80 -s rr -o"),
    Case("add service, sh flag sh-port", "", "-A -t 10.0.0.3:80 -s sh -b sh-port"),
    Case("add service, flag unknown", "", "-A -t 10.0.0.3:80 -s sh -b nosuch"),
    Case("add service, sh flag with rr", "", "-A -t 10.0.0.3:80 -s rr -b sh-port"),
    Case("add service, mh flag mh-port", "", "-A -t 10.0.0.3:80 -s mh -b mh-port,mh-fallback"),
    Case("add service, pe unknown", "", "-A -u 10.0.0.3:80 -s rr -p 9 --pe nosuch"),
    Case("add service, pe sip without persistence", "", "-A -u 10.0.0.3:80 -s rr --pe sip"),
    Case("add service, pe sip with TCP", "", "-A -t 10.0.0.3:80 -s rr -p 9 --pe sip"),
    Case("add service with -r", "", "-A -t 10.0.0.3:80 -r 192.168.0.1 -s rr"),
    Case("add service with -w", "", "-A -t 10.0.0.3:80 -w 5"),
    Case("add service twice -t", "", "-A -t 10.0.0.3:80 -t 10.0.0.3:81 -s rr"),
    Case("add service -t and -f", "", "-A -t 10.0.0.3:80 -f 7 -s rr"),
    Case("add service, nothing else", "", "-A"),
    Case("add service, -t without argument", "", "-A -t"),
    Case("two commands", "", "-A -D -t 10.0.0.3:80"),
    Case("extra word", "", "-A -t 10.0.0.3:80 extra"),
    Case("edit service", DEST, "-E -t 10.0.0.3:80 -s wlc -p 60"),
    Case("edit service without scheduler", DEST, "-E -t 10.0.0.3:80"),
    Case("edit service that does not stand", "", "-E -t 10.0.0.3:80 -s rr"),
    Case("edit service, unknown scheduler", V4, "-E -t 10.0.0.3:80 -s nosuch"),
    Case("delete service", DEST, "-D -t 10.0.0.3:80"),
    Case("delete service that does not stand", "", "-D -t 10.0.0.3:80"),
    Case("delete service of the other protocol", V4, "-D -u 10.0.0.3:80"),
    Case("delete service with scheduler", V4, "-D -t 10.0.0.3:80 -s rr"),
    Case("delete service, fwmark that does not stand", "", "-D -f 7"),
    Case("delete service, nothing else", "", "-D"),
    Case("edit service to persistent with mask", V4, "-E -t 10.0.0.3:80 -s rr -p 60 -M 255.0.0.0"),
    Case("edit service, fwmark", FWM, "-E -f 7 -s wlc"),
    Case("edit service, fwmark -6", FWM6, "-E -f 8 -6 -s wlc"),
    Case(
        "edit service, zero port not persistent",
        "-A -t 10.0.0.3:0 -s rr -p 9\n",
        "-E -t 10.0.0.3:0 -s rr",
    ),
    Case("delete service, fwmark of the other family", FWM6, "-D -f 8"),
    Case("delete service, fwmark -6", FWM6, "-D -f 8 -6"),
    Case("delete service, fwmark 4294967295", "-A -f 4294967295 -s rr\n", "-D -f 4294967295"),
    Case("add service, flags of sh", "", "-A -t 10.0.0.3:80 -s sh -b flag-1,flag-2,flag-3"),
    Case(
        "add service, flags by number with rr",
        "",
        "-A -t 10.0.0.3:80 -s rr -b flag-1,flag-2,flag-3",
    ),
    Case("add service, sctp", "", "-A --sctp-service 10.0.0.3:80 -s rr"),
    Case("add service, several faults", "", "-A -t 10.0.0.300:80 -s nosuch -w -1"),
    Case("add service, 0.0.0.0", "", "-A -t 0.0.0.0:80 -s rr"),
    Case("add service, ::", "", "-A -t [::]:80 -s rr"),
    Case("add service, multicast", "", "-A -t 224.0.0.1:80 -s rr"),
    Case("clear", DEST, "-C"),
    Case("clear with a service", DEST, "-C -t 10.0.0.3:80"),
    Case("clear an empty table", "", "-C"),
    Case("zero", DEST, "-Z"),
    Case("zero a service that does not stand", "", "-Z -t 10.0.0.3:80"),
    Case("add destination", V4, _a("-r 192.168.0.1:80 -g -w 5")),
    Case("add destination, bare", V4, _a("-r 192.168.0.1")),
    Case("add destination that stands", DEST, _a("-r 192.168.0.1:80 -g -w 5")),
    Case("add destination that stands, without port", DEST, _a("-r 192.168.0.1")),
    Case("add destination, no service", "", _a("-r 192.168.0.1:80 -g -w 5")),
    Case("add destination, fwmark without service", "", "-a -f 7 -r 192.168.0.1 -g"),
    Case("add destination, other port with -g", V4, _a("-r 192.168.0.1:8080 -g -w 5")),
    Case("add destination, other port with -i", V4, _a("-r 192.168.0.1:8080 -i -w 5")),
    Case("add destination, other port with -m", V4, _a("-r 192.168.0.1:8080 -m -w 5")),
    Case("add destination, other port with -g, that stands", DEST, _a("-r 192.168.0.1:8080 -g")),
    Case("add destination, port 0 with -m", V4, _a("-r 192.168.0.1:0 -m")),
    Case("add destination, port 0 with -g", V4, _a("-r 192.168.0.1:0 -g")),
    Case("add destination, no port with -m", V4, _a("-r 192.168.0.1 -m")),
    Case("add destination, port 65536", V4, _a("-r 192.168.0.1:65536 -m")),
    Case("add destination, negative port", V4, _a("-r 192.168.0.1:-1 -m")),
    Case("add destination, port word", V4, _a("-r 192.168.0.1:nosuch -m")),
    Case("add destination, illegal address", V4, _a("-r 192.168.0.256:80 -g")),
    Case("add destination, short address", V4, _a("-r 192.168.1:80 -g")),
    Case("add destination, name that does not resolve", V4, _a("-r no.such.invalid:80 -g")),
    Case("add destination, localhost", V4, _a("-r localhost:80 -g")),
    Case("add destination, local address", V4, _a("-r 127.0.0.1:80 -g")),
    Case("add destination, local address with -m", V4, _a("-r 127.0.0.1:80 -m")),
    Case("add destination, 0.0.0.0", V4, _a("-r 0.0.0.0:80 -g")),
    Case("add destination, multicast", V4, _a("-r 224.0.0.1:80 -g")),
    Case("add destination, broadcast", V4, _a("-r 255.255.255.255:80 -m")),
    Case("add destination, weight 0", V4, _a("-r 192.168.0.1:80 -g -w 0")),
    Case("add destination, weight 65535", V4, _a("-r 192.168.0.1:80 -g -w 65535")),
    Case("add destination, weight 65536", V4, _a("-r 192.168.0.1:80 -g -w 65536")),
    Case("add destination, weight 2147483647", V4, _a("-r 192.168.0.1:80 -g -w 2147483647")),
    Case("add destination, weight 2147483648", V4, _a("-r 192.168.0.1:80 -g -w 2147483648")),
    Case("add destination, weight -1", V4, _a("-r 192.168.0.1:80 -g -w -1")),
    Case("add destination, weight word", V4, _a("-r 192.168.0.1:80 -g -w five")),
    Case("add destination, weight 5.5", V4, _a("-r 192.168.0.1:80 -g -w 5.5")),
    Case("add destination, weight in hexadecimal", V4, _a("-r 192.168.0.1:80 -g -w 0x10")),
    Case("add destination, weight in octal", V4, _a("-r 192.168.0.1:80 -g -w 010")),
    Case("add destination, weight with a plus", V4, _a("-r 192.168.0.1:80 -g -w +5")),
    Case("add destination, -w without argument", V4, _a("-r 192.168.0.1:80 -g -w")),
    Case("add destination, thresholds", V4, _a("-r 192.168.0.1:80 -g -w 5 -x 100 -y 80")),
    Case("add destination, lower above upper", V4, _a("-r 192.168.0.1:80 -g -x 10 -y 20")),
    Case("add destination, lower alone", V4, _a("-r 192.168.0.1:80 -g -y 20")),
    Case("add destination, threshold -1", V4, _a("-r 192.168.0.1:80 -g -x -1")),
    Case("add destination, threshold word", V4, _a("-r 192.168.0.1:80 -g -x ten")),
    Case("add destination, threshold 4294967295", V4, _a("-r 192.168.0.1:80 -g -x 4294967295")),
    Case("add destination, threshold 2147483647", V4, _a("-r 192.168.0.1:80 -g -x 2147483647")),
    Case("add destination, threshold 2147483648", V4, _a("-r 192.168.0.1:80 -g -x 2147483648")),
    Case("add destination, two forwarding methods", V4, _a("-r 192.168.0.1:80 -g -m")),
    Case("add destination, -r twice", V4, _a("-r 192.168.0.1:80 -r 192.168.0.2:80")),
    Case("add destination without -r", V4, "-a -t 10.0.0.3:80 -g"),
    Case("add destination without service", V4, "-a -r 192.168.0.1:80"),
    Case("add destination with -s", V4, _a("-r 192.168.0.1:80 -s rr")),
    Case("add destination, IPv6 for IPv4 service", V4, _a("-r [2001:db8::11]:80 -g")),
    Case("add destination, IPv6 for IPv4 service, tunnelled", V4, _a("-r [2001:db8::11]:80 -i")),
    Case(
        "add destination, IPv4 for IPv6 service", V6, "-a -t [2001:db8::3]:80 -r 192.168.0.1:80 -g"
    ),
    Case(
        "add destination, IPv4 for IPv6 service, tunnelled",
        V6,
        "-a -t [2001:db8::3]:80 -r 192.168.0.1:80 -i",
    ),
    Case("add destination, IPv6", V6, "-a -t [2001:db8::3]:80 -r [2001:db8::11]:80 -g -w 5"),
    Case("add destination, IPv6 without port", V6, "-a -t [2001:db8::3]:80 -r [2001:db8::11] -g"),
    Case("add destination, IPv6 without brackets", V6, "-a -t [2001:db8::3]:80 -r 2001:db8::11 -g"),
    Case(
        "add destination, IPv6 other port with -g",
        V6,
        "-a -t [2001:db8::3]:80 -r [2001:db8::11]:81 -g",
    ),
    Case("add destination, link-local", V6, "-a -t [2001:db8::3]:80 -r [fe80::1]:80 -g"),
    Case("add destination, fwmark", FWM, "-a -f 7 -r 192.168.0.1 -g -w 5"),
    Case("add destination, fwmark with port", FWM, "-a -f 7 -r 192.168.0.1:80 -g -w 5"),
    Case("add destination, fwmark with port and -m", FWM, "-a -f 7 -r 192.168.0.1:8080 -m -w 5"),
    Case("add destination, fwmark and IPv6", FWM, "-a -f 7 -r [2001:db8::11]:80 -g -w 5"),
    Case("add destination, fwmark -6", FWM6, "-a -f 8 -6 -r [2001:db8::11]:0 -g -w 5"),
    Case("add destination, fwmark -6 without port", FWM6, "-a -f 8 -6 -r [2001:db8::11] -g -w 5"),
    Case("add destination, fwmark -6 without -6", FWM6, "-a -f 8 -r [2001:db8::11]:0 -g -w 5"),
    Case("add destination, fwmark -6 and IPv4", FWM6, "-a -f 8 -6 -r 192.168.0.1 -g -w 5"),
    Case("add destination, tunnel ipip", V4, _a("-r 192.168.0.1:80 -i --tun-type ipip")),
    Case(
        "add destination, tunnel gue", V4, _a("-r 192.168.0.1:80 -i --tun-type gue --tun-port 6080")
    ),
    Case("add destination, tunnel gue without port", V4, _a("-r 192.168.0.1:80 -i --tun-type gue")),
    Case("add destination, tunnel unknown", V4, _a("-r 192.168.0.1:80 -i --tun-type nosuch")),
    Case("add destination, tunnel type with -g", V4, _a("-r 192.168.0.1:80 -g --tun-type ipip")),
    Case("add destination, tunnel type alone", V4, _a("-r 192.168.0.1:80 --tun-type gre")),
    Case("edit destination, weight 0", DEST, "-e -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 0"),
    Case("edit destination, lower alone", DEST, "-e -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 0 -y 4"),
    Case(
        "edit destination, fwmark port 0",
        FWM + "-a -f 7 -r 192.168.0.1:80 -g\n",
        "-e -f 7 -r 192.168.0.1 -w 9",
    ),
    Case("edit destination", DEST, "-e -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 7 -x 3 -y 2"),
    Case("edit destination without weight", DEST, "-e -t 10.0.0.3:80 -r 192.168.0.1:80 -g"),
    Case("edit destination without method", DEST, "-e -t 10.0.0.3:80 -r 192.168.0.1:80 -w 2"),
    Case("edit destination to -m", DEST, "-e -t 10.0.0.3:80 -r 192.168.0.1:80 -m -w 2"),
    Case(
        "edit destination to tunnel gue",
        DEST,
        "-e -t 10.0.0.3:80 -r 192.168.0.1:80 -i --tun-type gue --tun-port 99",
    ),
    Case("edit destination, weight -1", DEST, "-e -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w -1"),
    Case("edit destination that does not stand", V4, "-e -t 10.0.0.3:80 -r 192.168.0.1:80 -w 2"),
    Case("edit destination, no service", "", "-e -t 10.0.0.3:80 -r 192.168.0.1:80 -w 2"),
    Case(
        "edit destination, other port with -g",
        DEST,
        "-e -t 10.0.0.3:80 -r 192.168.0.1:8080 -g -w 2",
    ),
    Case(
        "edit destination, other port with -m",
        DEST,
        "-e -t 10.0.0.3:80 -r 192.168.0.1:8080 -m -w 2",
    ),
    Case("delete destination", DEST, "-d -t 10.0.0.3:80 -r 192.168.0.1:80"),
    Case("delete destination without port", DEST, "-d -t 10.0.0.3:80 -r 192.168.0.1"),
    Case("delete destination, other port", DEST, "-d -t 10.0.0.3:80 -r 192.168.0.1:8080"),
    Case("delete destination that does not stand", V4, "-d -t 10.0.0.3:80 -r 192.168.0.1:80"),
    Case("delete destination, no service", "", "-d -t 10.0.0.3:80 -r 192.168.0.1:80"),
    Case("delete destination with weight", DEST, "-d -t 10.0.0.3:80 -r 192.168.0.1:80 -w 5"),
    Case("delete destination with method", DEST, "-d -t 10.0.0.3:80 -r 192.168.0.1:80 -g"),
    Case(
        "delete destination, fwmark with port",
        FWM + "-a -f 7 -r 192.168.0.1:0 -g\n",
        "-d -f 7 -r 192.168.0.1:80",
    ),
    Case("delete destination, IPv6 without port", V6, "-d -t [2001:db8::3]:80 -r [2001:db8::11]"),
    Case(
        "delete destination, IPv4 for IPv6 service", V6, "-d -t [2001:db8::3]:80 -r 192.168.0.1:80"
    ),
    Case("list", DEST, "-Ln"),
    Case("list with order -nL", DEST, "-nL"),
    Case("list -L -n", DEST, "-L -n"),
    Case("list with thresholds", DEST, "-Ln --thresholds"),
    Case("list of one service", DEST, "-Ln -t 10.0.0.3:80"),
    Case("list of one service that does not stand", DEST, "-Ln -t 10.0.0.3:81"),
    Case("list thresholds of one service", DEST, "-Ln --thresholds -t 10.0.0.3:80"),
    Case("list an empty table", "", "-Ln"),
    Case("list thresholds of an empty table", "", "-Ln --thresholds"),
    Case("no argument", DEST, ""),
    Case("save -Sn", DEST, "-Sn"),
    Case("save -S -n", DEST, "-S -n"),
    Case("save an empty table", "", "-Sn"),
    Case("save one service", DEST, "-Sn -t 10.0.0.3:80"),
    Case("save with thresholds", DEST, "-Sn --thresholds"),
    Case("save -S", DEST, "-S"),
    Case("list of connections", DEST, "-Lcn"),
    Case("list of timeouts", "", "-L --timeout"),
    Case("list of the daemons", "", "-L --daemon"),
    Case("version", "", "-v"),
    Case("version, long", "", "--version"),
    Case("help", "", "-h"),
    Case("unknown short option", "", "-Y"),
    Case("unknown long option", "", "--nosuch"),
    Case("unknown long option after -A", "", "-A -t 10.0.0.3:80 --nosuch"),
    Case("option alone", "", "-t 10.0.0.3:80"),
    Case("a word alone", "", "word"),
    Case(
        "long spellings",
        V4,
        "--add-server --tcp-service 10.0.0.3:80 --real-server 192.168.0.1:80 --masquerading"
        " --weight 4 --u-threshold 9 --l-threshold 8",
    ),
    Case("restore", "", "-R", V4 + "-a -t 10.0.0.3:80 -r 192.168.0.1:80 -g -w 5\n"),
    Case("restore, nothing", DEST, "-R", ""),
    Case("restore, blank and comment lines", "", "-R", "\n# words\n" + V4 + "\n   \n"),
    Case("restore, comment before a good line", "", "-R", "# words\n" + V4),
    Case("restore, blank line before a good line", "", "-R", "\n" + V4),
    Case("restore, line of blanks before a good line", "", "-R", "   \n" + V4),
    Case("restore, no newline at the end", "", "-R", V4.strip()),
    Case(
        "restore, duplicate in the middle",
        DEST,
        "-R",
        _a("-r 192.168.0.2:80 -g\n") + _a("-r 192.168.0.1:80 -g\n") + _a("-r 192.168.0.3:80 -g\n"),
    ),
    Case(
        "restore, duplicate at the end",
        DEST,
        "-R",
        _a("-r 192.168.0.2:80 -g\n") + _a("-r 192.168.0.1:80 -g\n"),
    ),
    Case(
        "restore, missing in the middle",
        V4,
        "-R",
        _a("-r 192.168.0.2:80 -g\n")
        + "-d -t 10.0.0.3:80 -r 192.168.0.1:80\n"
        + _a("-r 192.168.0.3:80 -g\n"),
    ),
    Case(
        "restore, unknown option in the middle",
        V4,
        "-R",
        _a("-r 192.168.0.2:80 -g\n") + "--nosuch\n" + _a("-r 192.168.0.3:80 -g\n"),
    ),
    Case(
        "restore, word in the middle",
        V4,
        "-R",
        _a("-r 192.168.0.2:80 -g\n") + "rubbish here\n" + _a("-r 192.168.0.3:80 -g\n"),
    ),
    Case(
        "restore, illegal address in the middle",
        V4,
        "-R",
        _a("-r 192.168.0.2:80 -g\n")
        + _a("-r 192.168.0.999:80 -g\n")
        + _a("-r 192.168.0.3:80 -g\n"),
    ),
    Case(
        "restore, illegal weight in the middle",
        V4,
        "-R",
        _a("-r 192.168.0.2:80 -g\n")
        + _a("-r 192.168.0.4:80 -g -w -1\n")
        + _a("-r 192.168.0.3:80 -g\n"),
    ),
    Case(
        "restore, missing -r in the middle",
        V4,
        "-R",
        _a("-r 192.168.0.2:80 -g\n") + _a("-g\n") + _a("-r 192.168.0.3:80 -g\n"),
    ),
    Case(
        "restore, unknown scheduler in the middle",
        V4,
        "-R",
        "-A -t 10.0.0.3:81 -s rr\n-A -t 10.0.0.3:82 -s nosuch\n-A -t 10.0.0.3:83 -s rr\n",
    ),
    Case("restore, quotes", V4, "-R", '-a -t "10.0.0.3:80" -r 192.168.0.2:80 -g\n'),
    Case("restore, with the program's name", V4, "-R", "ipvsadm " + _a("-r 192.168.0.2:80 -g\n")),
    Case("restore, carriage returns", "", "-R", "-A -t 10.0.0.3:80 -s rr\r\n"),
    Case(
        "restore, many words", V4, "-R", _a("-r 192.168.0.2:80 -g -w 5 -x 1 -y 1" + " " * 60 + "\n")
    ),
    Case(
        "restore, edits without -w reset it", DEST, "-R", "-e -t 10.0.0.3:80 -r 192.168.0.1:80 -g\n"
    ),
    Case("restore, list line in the middle", V4, "-R", "-Ln\n" + _a("-r 192.168.0.3:80 -g\n")),
    Case("restore, clear line in the middle", V4, "-R", "-C\n" + _a("-r 192.168.0.3:80 -g\n")),
    Case(
        "restore, weight of an earlier line is not kept",
        V4,
        "-R",
        _a("-r 192.168.0.2:80 -m -w 9 -x 7\n") + _a("-r 192.168.0.3:80\n"),
    ),
    Case("restore -R with another option", V4, "-R -n", ""),
    Case("restore, long line", V4, "-R", _a("-r 192.168.0.2:80 -g " + "-w 5 " * 1000 + "\n")),
    Case(
        "restore, IPv4 after IPv6",
        V4 + V6,
        "-R",
        "-a -t [2001:db8::3]:80 -r [2001:db8::11]:80\n" + _a("-r 192.168.0.3\n"),
    ),
    Case(
        "restore, fwmark -6 before fwmark",
        FWM + FWM6,
        "-R",
        "-a -f 8 -6 -r [2001:db8::11]:0\n-a -f 7 -r 192.168.0.3\n",
    ),
    Case("restore, only refused lines", DEST, "-R", "-D -t 10.0.0.3:81\n-D -t 10.0.0.3:82\n"),
    Case("restore, refused line then a blank one", DEST, "-R", "-D -t 10.0.0.3:81\n\n"),
    Case("restore, version line in the middle", V4, "-R", "-v\n" + _a("-r 192.168.0.3:80 -g\n")),
    Case("restore, help line in the middle", V4, "-R", "-h\n" + _a("-r 192.168.0.3:80 -g\n")),
    Case("restore, restore line in the middle", V4, "-R", "-R\n" + _a("-r 192.168.0.3:80 -g\n")),
    Case("restore, save line in the middle", V4, "-R", "-Sn\n" + _a("-r 192.168.0.3:80 -g\n")),
    Case(
        "restore, long spellings",
        V4,
        "-R",
        "--add-server --tcp-service 10.0.0.3:80 --real-server 192.168.0.3:80 --gatewaying\n",
    ),
    Case("restore, tabs", V4, "-R", "-a\t-t\t10.0.0.3:80\t-r\t192.168.0.3:80\n"),
    Case("restore, 70 words", V4, "-R", _a("-r 192.168.0.3:80 -g" + " extra" * 70 + "\n")),
    Case(
        "restore, one word beyond",
        V4,
        "-R",
        _a("-r 192.168.0.3:80 -g extra\n") + _a("-r 192.168.0.4:80 -g\n"),
    ),
    Case(
        "option with equals sign",
        V4,
        "-a --tcp-service=10.0.0.3:80 --real-server=192.168.0.1:80 --weight=3",
    ),
    Case("short option with its value joined", V4, "-a -t10.0.0.3:80 -r192.168.0.1:80 -w3"),
    Case("short options joined", V4, "-at 10.0.0.3:80 -r 192.168.0.1:80 -mw 3"),
    Case("command after its options", V4, "-t 10.0.0.3:80 -r 192.168.0.1:80 -a"),
    Case("abbreviated long option", V4, "-a --tcp 10.0.0.3:80 --real-server 192.168.0.1:80"),
    Case("numeric with -A", "", "-A -n -t 10.0.0.3:80 -s rr"),
    Case("verbose with -A", "", "-A -t 10.0.0.3:80 -s rr --verbose"),
    Case("read as another user", DEST, "-Sn", uid=65534),
    Case("list as another user", DEST, "-Ln", uid=65534),
    Case("thresholds as another user", DEST, "-Ln --thresholds", uid=65534),
    Case("write as another user", V4, _a("-r 192.168.0.2:80 -g"), uid=65534),
    Case("restore as another user", V4, "-R", _a("-r 192.168.0.2:80 -g\n"), uid=65534),
    Case("bad option as another user", V4, "--nosuch", uid=65534),
    Case("version as another user", V4, "-v", uid=65534),
    Case("illegal weight as another user", V4, _a("-r 192.168.0.2:80 -w -1"), uid=65534),
)
