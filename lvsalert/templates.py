"""Files for other programs, which lie as templates in ``host/files``."""

from __future__ import annotations


def filled(name: str, **words: str) -> str:
    """Return the text of a template, each ``@{word}`` in it replaced by what is given for it.

    A word that nothing is given for stays; a shell's own ``$`` means nothing here.
    """
    # Few runs need them.
    from importlib.resources import files
    from string import Template

    class Placeholders(Template):
        delimiter = "@"

    text = (files("lvsalert.host") / "files" / name).read_text(encoding="utf-8")
    return Placeholders(text).safe_substitute(words)
