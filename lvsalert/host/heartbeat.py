"""heartbeat's resource scripts, and the drop-in for its unit.

heartbeat calls ``/etc/ha.d/resource.d/NAME [argument] start|stop|status``. It takes ``running`` on
stdout for an answer to status, and reboots the machine where a stop goes on failing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from lvsalert.host.plugins import File, director_argv
from lvsalert.templates import filled

FOLDER = "/etc/ha.d/resource.d"
LDIRECTORD = f"{FOLDER}/ldirectord"
"""The one script that another package may have put there."""


def resource_files(interpreter: str, folders: Sequence[str]) -> list[File]:
    """Return the resource scripts lvs, mon and ldirectord, and the drop-in for heartbeat.service.

    The scripts run lvs-director with ``interpreter``, which looks for modules in its standard
    library and then in ``folders``.
    """
    command = shlex.join(director_argv(interpreter, folders))
    drop_in = filled("heartbeat.service.conf")
    return [
        *(_script(name, command) for name in ("lvs", "mon", "ldirectord")),
        File("/etc/systemd/system/heartbeat.service.d/lvsalert.conf", 0o644, "", drop_in),
    ]


def _script(name: str, command: str) -> File:
    first, end, rest = filled(f"heartbeat-{name}.sh", lvs_director=command).partition("\n")
    return File(f"{FOLDER}/{name}", 0o755, first + end, rest)
