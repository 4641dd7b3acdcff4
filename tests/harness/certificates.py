"""Certificates for TLS servers under test: good ones, and each way of being bad."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """Two PEM files: the chain that a server shows, and its private key."""

    chain: Path
    key: Path


class Authority:
    """A certificate authority whose own certificate is the file `cacert`."""

    def __init__(self, folder: Path) -> None:
        """Make the authority, and keep its files in `folder`."""
        # The lab's guest has none, and takes the rest of this.
        import trustme

        self._folder = folder
        self._new = trustme.CA
        self._ca = trustme.CA()
        self._count = 0
        self.cacert = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.cacert))

    def _write(self, chain: bytes, key: bytes) -> Certificate:
        self._count += 1
        made = Certificate(
            self._folder / f"chain-{self._count}.pem", self._folder / f"key-{self._count}.pem"
        )
        made.chain.write_bytes(chain)
        made.key.write_bytes(key)
        return made

    def _issue(self, names: tuple[str, ...], *, until: datetime.datetime | None) -> Certificate:
        leaf = self._ca.issue_cert(*names, not_after=until)
        return self._write(
            b"".join(blob.bytes() for blob in leaf.cert_chain_pems), leaf.private_key_pem.bytes()
        )

    def valid(self, *names: str) -> Certificate:
        """A certificate for these names or addresses that nothing is wrong with."""
        return self._issue(names, until=None)

    def expired(self, *names: str) -> Certificate:
        """A certificate for these names or addresses that ran out yesterday."""
        yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        return self._issue(names, until=yesterday)

    def self_signed(self) -> Certificate:
        """A certificate that no authority but itself vouches for."""
        lone = self._new()
        return self._write(lone.cert_pem.bytes(), lone.private_key_pem.bytes())
