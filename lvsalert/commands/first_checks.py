"""The first check of real servers, before any traffic goes to them."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from lvsalert.director import lifecycle
from lvsalert.director.setup import FirstCheck
from lvsalert.ldirectord.watches import Watch, agreeing

# Where the monitors find table and ledger: parameters of the options.
_PLACE = ("state_dir", "ipvsadm", "ipvsadm_timeout")


def first_checks(given: Mapping[str, Any], compared: Mapping[str, str]) -> lifecycle.Probe | None:
    """Return what checks real servers before traffic goes to them.

    ``compared`` are the variables by which web servers' answers are compared.
    """
    if given["unchecked"]:
        return None
    from lvsalert.commands.probing import probe

    checks: lifecycle.Probe = probe
    # What is compared, and the marks of checks by way, are kept where everything is.
    place = {f"LVSALERT_{name.upper()}": str(given[name]) for name in _PLACE}
    if compared or given["via"]:
        checks = functools.partial(_asking, place, compared)
    return functools.partial(_with_progress, checks) if os.isatty(2) else checks


def _asking(
    place: Mapping[str, str], compared: Mapping[str, str], watches: Sequence[Watch]
) -> Iterator[Sequence[tuple[int, FirstCheck]]]:
    """Check real servers with variables of their own, web servers with ``compared``."""
    from lvsalert.commands.probing import probe

    asking = [each._replace(variables={**each.variables, **place}) for each in watches]
    return probe([agreeing(each, compared) for each in asking])


def _with_progress(
    probe: lifecycle.Probe, watches: Sequence[Watch]
) -> Iterator[Sequence[tuple[int, FirstCheck]]]:
    """Check real servers and show on the terminal how far that is."""
    hosts = sum(len(watch.hosts) for watch in watches)
    with click.progressbar(length=hosts, label="checking", file=sys.stderr) as shown:
        for batch in probe(watches):
            shown.update(sum(len(check.watch.hosts) for _, check in batch))
            yield batch
