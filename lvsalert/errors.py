"""What can go wrong, each with the exit status it means and a message that names the input.

Status 3 is "cannot tell": nothing was judged and nothing was changed, because the request could not
be understood or a privilege is missing. Status 1 is "not done": the request was clear, and the
director could not be brought to it.
"""

from __future__ import annotations


class LvsalertError(Exception):
    """The base of every error that is told to the user in one line.

    ``status`` is the exit status of a program that ends with this error.
    """

    status = 3


class UsageError(LvsalertError):
    """An option, a host or a variable cannot be understood; the message quotes it."""


class PrivilegeError(LvsalertError):
    """The caller may not do what the probe needs; the message says what would allow it."""


class NotDoneError(LvsalertError):
    """The table could not be read or brought to the wanted state."""

    status = 1


class LockTimeoutError(NotDoneError):
    """Another run held the lock for longer than ``--lock-timeout``."""


class IpvsadmError(NotDoneError):
    """ipvsadm is missing, hung, or answered with an error; the message carries its own words."""


class TornTableError(IpvsadmError):
    """The table changed between the two listings of it that belong together."""


class NoKernelError(IpvsadmError):
    """The kernel has no IPVS, so there is no table."""


class ResolveError(NotDoneError):
    """A name has no address, or none of the family asked for, or none in time."""


class SupersededError(Exception):
    """What was read is no longer what counts, and is to be read anew; no user is told."""
