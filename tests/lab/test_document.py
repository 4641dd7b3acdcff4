"""The document's pieces are found where it lies, and only as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import document

PIECES = {
    "alert": "#!/usr/bin/perl \n# \n# lvs.alert - for mon\n$weight = 5;\n};\n",
    "mon_cf": (
        "#\n# The mon.cf file\n#\nwatch www1\n"
        "            upalert lvs.alert -P tcp -V 10.0.0.3:80 -R 192.168.0.1 -W 5 -F dr\n"
    ),
    "ha_cf": "#\n#       keepalive: seconds\nkeepalive 2\nnode    lvs2.domain.com\n",
    "haresources": "lvs1.domain.com 10.0.0.3 lvs mon\n",
    "lvs": "#!/bin/sh\nIPVSADM=/sbin/ipvsadm\n            $IPVSADM -C\nexit 0\n",
}


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the document is looked for, with a text that is another one."""
    monkeypatch.setattr(document, "FOLDER", tmp_path)
    (tmp_path / "000.txt").write_text("Coda is a file system.\n")
    return tmp_path


def test_the_pieces_are_taken_out_word_for_word(shared: Path) -> None:
    """Each piece is what stands between the sentences around it."""
    (shared / "001.txt").write_text("\nA sentence.\n\n".join(["", *PIECES.values(), ""]))
    assert document.find() == document.Document(**PIECES)


@pytest.mark.parametrize("missing", PIECES)
def test_a_text_that_lacks_a_piece_is_none(shared: Path, missing: str) -> None:
    """A text with all pieces but one is not the document."""
    kept = [text for name, text in PIECES.items() if name != missing]
    (shared / "001.txt").write_text("\nA sentence.\n\n".join(["", *kept, ""]))
    assert document.find() is None


def test_no_folder_is_no_document(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such folder, there is no document."""
    monkeypatch.setattr(document, "FOLDER", shared / "absent")
    assert document.find() is None
