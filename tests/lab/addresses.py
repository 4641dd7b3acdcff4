"""The lab's addresses: those of the document's example, and the same again in IPv6."""

from __future__ import annotations

VIP = "10.0.0.3"
VIP6 = "2001:db8::3"
# Where masqueraded answers go back; it moves with the virtual address.
GATEWAY = "192.168.0.254"
