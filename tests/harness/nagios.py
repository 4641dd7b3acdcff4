"""The real Nagios and the real Icinga, each with one service to check by a given command."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from tests.harness.processes import Program

if TYPE_CHECKING:
    from pathlib import Path

_NAGIOS = """\
cfg_file={folder}/objects.cfg
log_file={folder}/log
status_file={folder}/status.dat
status_update_interval=1
lock_file={folder}/lock
temp_file={folder}/temp
temp_path={folder}
check_result_path={folder}
object_cache_file={folder}/objects.cache
command_file={folder}/commands
query_socket={folder}/queries
check_external_commands=0
retain_state_information=0
interval_length=1
nagios_user=nagios
nagios_group=nagios
"""
_NAGIOS_OBJECTS = """\
define contact {{
    contact_name nobody
    service_notification_commands lvsalert_http
    host_notification_commands lvsalert_http
}}
define host {{
    host_name real
    address 127.0.0.1
    max_check_attempts 1
    notifications_enabled 0
}}
define service {{
    host_name real
    service_description web
    check_command lvsalert_http!{port}
    check_interval 1
    retry_interval 1
    max_check_attempts 1
    notifications_enabled 0
}}
"""
_ICINGA = """\
include <itl>
object Endpoint NodeName {{ }}
object Zone ZoneName {{ endpoints = [ NodeName ] }}
object CheckerComponent "checker" {{ }}
object StatusDataWriter "status" {{
    status_path = "{folder}/status.dat"
    objects_path = "{folder}/objects.cache"
    update_interval = 1
}}
object Host "real" {{
    address = "127.0.0.1"
    check_command = "passive"
}}
object Service "web" {{
    host_name = "real"
    check_command = "lvsalert_http"
    vars.http_port = "{port}"
    check_interval = 1
    retry_interval = 1
    max_check_attempts = 1
}}
"""


class _Watching(Program):
    """What asks a plugin about the real server 127.0.0.1, and writes what it thinks of that."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        super().__init__(argv, folder / "output")
        self._status = folder / "status.dat"

    def service(self) -> tuple[str, str, str]:
        """Return state, line and performance data of its service; empty ones before a check."""
        text = self._status.read_text() if self._status.exists() else ""
        parts = re.findall(r"^servicestatus \{\n(.*?)^\s*\}", text, re.DOTALL | re.MULTILINE)
        (part,) = parts or [""]
        found = dict(line.strip().partition("=")[::2] for line in part.splitlines())
        assert self.runs, f"it ended: {self.output}"
        if found.get("has_been_checked") != "1":
            return "", "", ""
        names = ("current_state", "plugin_output", "performance_data")
        state, line, data = (found.get(name, "") for name in names)
        return state, line, data


class Nagios(_Watching):
    """Nagios 4."""

    def __init__(self, folder: Path, command: str, port: int) -> None:
        (folder / "nagios.cfg").write_text(_NAGIOS.format(folder=folder))
        (folder / "objects.cfg").write_text(command + _NAGIOS_OBJECTS.format(port=port))
        shutil.chown(folder, "nagios")
        super().__init__(["nagios4", str(folder / "nagios.cfg")], folder)


class Icinga(_Watching):
    """Icinga 2."""

    def __init__(self, folder: Path, command: str, port: int) -> None:
        conf = folder / "icinga2.conf"
        conf.write_text(_ICINGA.format(folder=folder, port=port) + command)
        folders = ("DataDir", "CacheDir", "InitRunDir", "LogDir", "SpoolDir", "ConfigDir")
        defined = [f"--define={name}={folder}" for name in folders]
        defined += ["--define=RunAsUser=root", "--define=RunAsGroup=root"]
        names = [f"--define={name}=here" for name in ("NodeName", "ZoneName")]
        super().__init__(["icinga2", "daemon", f"--config={conf}", *defined, *names], folder)
