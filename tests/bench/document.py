"""The Perl lvs.alert, taken out of the document that it was published in."""

from __future__ import annotations

import re
from pathlib import Path


def write_alert(document: Path, path: Path, ipvsadm: Path) -> None:
    """Write the document's lvs.alert to `path`, with `ipvsadm` in the place of /sbin/ipvsadm.

    AssertionError where the document has none.
    """
    text = document.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^#!/usr/bin/perl.*?^\};$", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{document}: holds no Perl lvs.alert"
    script, count = re.subn(r'"/sbin/ipvsadm"', f'"{ipvsadm}"', found[0])
    assert count == 1, f"{document}: its lvs.alert does not call /sbin/ipvsadm"
    path.write_text(script.replace("#!/usr/bin/perl ", "#!/usr/bin/perl", 1) + "\n")
    path.chmod(0o755)
