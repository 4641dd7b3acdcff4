"""Messages between plug-ins and the resident process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvsalert.resident.wire import MOST_BYTES, Broken, missing, pack, unpack


@given(st.lists(st.binary()))
def test_parts_arrive_as_they_were_sent(parts: list[bytes]) -> None:
    """Whatever they hold; and at every moment it is known how much is to come."""
    message = pack(parts)
    assert unpack(message) == parts
    data = b""
    while wanted := missing(data):
        assert len(data) + wanted <= len(message)
        data += message[len(data) : len(data) + 1]
    assert data == message


@given(st.binary(max_size=200))
def test_what_is_no_message_is_told(data: bytes) -> None:
    """Any bytes are either a message or refused, and nothing else happens."""
    try:
        parts = unpack(data)
    except Broken:
        return
    assert pack(parts) == data


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ((MOST_BYTES + 1).to_bytes(4, "little"), f"a message of {MOST_BYTES + 1} bytes"),
        (b"\x05\0\0\0\x02\0\0\0a", "a part that is longer than its message"),
        (b"\x05\0\0\0a", "a message that is not whole"),
        (b"\x01\0\0\0aa", "a message that is not whole"),
    ],
)
def test_broken_messages(data: bytes, why: str) -> None:
    """Each is refused for its reason."""
    with pytest.raises(Broken, match=f"^{why}$"):
        unpack(data)
