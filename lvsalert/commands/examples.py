"""Examples of every program and command, for its help and its page of the manual.

Each is a remark and a command. The addresses are those of the README's first mon.cf.
"""

from __future__ import annotations

from collections.abc import Mapping

_HOSTS = "192.168.0.1 192.168.0.2"
_LOGIN = "--user probe --password-file /etc/mon/pass"

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "lvs.alert": (
        (
            "take a real server out by hand, until somebody puts it back",
            "lvs-alert -V 10.0.0.3:80 -R 192.168.0.1",
        ),
        (
            "put it back with weight 5, for direct routing",
            "lvs-alert -V 10.0.0.3:80 -R 192.168.0.1 -W 5 -F dr -u",
        ),
        (
            "show what would be run for a server with masquerading, and run nothing",
            "lvs-alert -V 10.0.0.3:80 -R 192.168.0.3:8080 -F nat -u --dry-run",
        ),
    ),
    "dns.monitor": (
        (
            "each name server has to know the address of www.example.com",
            f"dns.monitor -query www.example.com -t 5 {_HOSTS}",
        ),
    ),
    "external.monitor": (
        (
            "a program of your own, called with 10.0.0.3 80 192.168.0.1 80",
            "external.monitor --command /bin/true -V 10.0.0.3:80 192.168.0.1:80",
        ),
    ),
    "fping.monitor": (
        ("two more requests, each with half a second", f"fping.monitor -r 2 -t 500 {_HOSTS}"),
    ),
    "ftp.monitor": (
        ("greeting and farewell within five seconds", f"ftp.monitor -t 5 {_HOSTS}"),
        (
            "log in over TLS and fetch a file",
            f"ftp.monitor --starttls {_LOGIN} --retrieve a.txt 192.168.0.1",
        ),
    ),
    "http.monitor": (
        (
            "a page of its own, with a word that has to be in it",
            f"http.monitor -t 5 -u /alive.html -m 'all is well' {_HOSTS}",
        ),
        (
            "TLS, with the certificate verified for the name that clients use",
            f"http.monitor --tls --host-header www.example.com {_HOSTS}",
        ),
    ),
    "imap.monitor": (
        (
            "log in over TLS",
            f"imap.monitor --tls {_LOGIN} {_HOSTS}",
        ),
    ),
    "ldap.monitor": (
        ("an entry that has to be there", f"ldap.monitor -basedn dc=example,dc=com {_HOSTS}"),
    ),
    "mysql.monitor": (
        (
            "a statement that has to bring a row",
            f"mysql.monitor {_LOGIN} --request 'SELECT 1' 192.168.0.1",
        ),
    ),
    "nntp.monitor": (
        ("a newsgroup that has to be there", f"nntp.monitor -g news.announce {_HOSTS}"),
    ),
    "pgsql.monitor": (
        (
            "a statement that has to bring a row",
            f"pgsql.monitor {_LOGIN} --request 'SELECT 1' 192.168.0.1",
        ),
    ),
    "pop3.monitor": (
        (
            "log in over TLS",
            f"pop3.monitor --tls {_LOGIN} {_HOSTS}",
        ),
    ),
    "radius.monitor": (
        (
            "log in with the secret that servers and director share",
            f"radius.monitor {_LOGIN} --secret-file /etc/mon/key 192.168.0.1",
        ),
    ),
    "sip.monitor": (("ask over TCP", f"sip.monitor --tcp -t 5 {_HOSTS}"),),
    "smtp.monitor": (("the servers have to offer TLS", f"smtp.monitor --starttls {_HOSTS}"),),
    "tcp.monitor": (
        ("only a connection", f"tcp.monitor -p 6379 {_HOSTS}"),
        (
            "a question and its answer",
            rf"tcp.monitor -p 6379 --send 'PING\n' -m PONG {_HOSTS}",
        ),
    ),
    "telnet.monitor": (("a prompt of its own", f"telnet.monitor -l '/username:/i' {_HOSTS}"),),
    "status": (
        ("all real servers, once", "lvs-director status"),
        ("whether the services of a file are set up", "lvs-director status www.cf"),
    ),
    "why": (("for all its ports and virtual services", "lvs-director why 192.168.0.1"),),
    "history": (
        (
            "what happened to one server today",
            "lvs-director history --since 24h --server 192.168.0.1",
        ),
        ("the last week, drawn", "lvs-director history --since 7d --svg week.svg"),
    ),
    "metrics": (
        (
            "for node_exporter, from a timer",
            "lvs-director metrics --textfile /var/lib/node_exporter/lvsalert.prom",
        ),
    ),
    "report": (("a page for a browser", "lvs-director report --html report.html"),),
    "drain": (
        (
            "for two hours, and say why",
            'lvs-director drain 192.168.0.1 --for 2h --reason "new disk"',
        ),
        (
            "wait up to five minutes until its connections have ended",
            "lvs-director drain 192.168.0.1 --wait 300",
        ),
    ),
    "resume": (("after a drain", "lvs-director resume 192.168.0.1"),),
    "undo": (
        ("show how to take the last change back", "lvs-director undo"),
        ("put back the table of half an hour ago", "lvs-director undo --to 30m --yes"),
    ),
    "forget": (("a service that is gone for good", "lvs-director forget 10.0.0.4:80"),),
    "start": (
        ("/etc/ha.d/www.cf", "lvs-director start www.cf"),
        ("let traffic to all real servers at once", "lvs-director start www.cf --unchecked"),
    ),
    "reload": (("after an edit of /etc/ha.d/www.cf", "lvs-director reload www.cf"),),
    "stop": (("the services of /etc/ha.d/www.cf", "lvs-director stop www.cf"),),
    "mon-config": (
        ("show it", "lvs-director mon-config www.cf"),
        (
            "write it, and have mon read it",
            "lvs-director mon-config www.cf --output /etc/mon/mon.cf --reset",
        ),
    ),
    "sync": (("after mon was restarted", "lvs-director sync"),),
    "install": (
        ("plugins, units and manual pages", "lvs-director install --systemd"),
        ("what that would write", "lvs-director install --systemd --dry-run"),
    ),
    "uninstall": (("what it would remove", "lvs-director uninstall --dry-run"),),
    "check": (
        ("what root can use", "lvs-director check"),
        (
            "what mon's user can use",
            "setpriv --reuid=mon --regid=mon --init-groups lvs-director check",
        ),
    ),
    "serve": (("with metrics for Prometheus", "lvs-director serve --listen 127.0.0.1:9798"),),
}
