"""Perl's regular expressions in Python's words match what the real perl matches."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvsalert.errors import UsageError
from lvsalert.ldirectord.perl_regex import translate

needs_perl = pytest.mark.skipif(shutil.which("perl") is None, reason="perl is not installed")

# As ldirectord has it: the pattern is a variable's value, and what came is bytes.
_PERL = r"""
use JSON::PP; binmode STDIN; local $/; my $asked = decode_json(<STDIN>); my @found;
no warnings;
for (@$asked) {
    my ($re, $text) = map { pack "C*", map hex, /../g } @$_;
    my $is = eval { $text =~ /$re/ ? 1 : 0 }; push @found, defined $is ? $is : -1;
}
print encode_json(\@found);
"""


def by_perl(asked: list[tuple[str, bytes]]) -> list[int]:
    """Return for each pattern and text whether perl matches: 1, 0, or -1 for no such pattern."""
    words = [(pattern.encode().hex(), text.hex()) for pattern, text in asked]
    done = subprocess.run(
        ["perl", "-e", _PERL], input=json.dumps(words).encode(), capture_output=True, check=True
    )
    found: list[int] = json.loads(done.stdout)
    return found


def by_us(pattern: str, text: bytes) -> int:
    """Return whether our translation matches."""
    return int(re.compile(translate(pattern).encode()).search(text) is not None)


# A pattern a word.
PATTERNS = re.split(
    r"\s+",
    r"""
^[[:alpha:]]+$ [[:^digit:]] [[:space:][:punct:]] [^[:alnum:]_] [[:xdigit:]]{2}
[[:upper:]][[:lower:]] [[:word:]-]+ [[:print:]]+\Z [[:graph:]] [[:cntrl:]] ok\Z ok\z ok$
\Aok a\hb a\Hb a\vb a\Vb a\Rb a\R\nb a\Nb [\h] [^\h] [\v] [\Hx] [\V] \x{41} \x41 \x{e9}
\x{263a} [\x{263a}] [^\x{263a}] \x4 \o{101} \101 \e \cA [\cA] \0 [\101] a\Kb \Gok
(?<n>a)\k<n> (?'n'a)\k'n' (?<n>a)\g{n} (a)\g1 (a)\g{1} (a)(b)\g{-1} (a)\1 (a)\10
(?<n>a)?(?(<n>)b|c) (a)?(?(1)b|c) (?i)OK x(?i)OK|YES (x(?i)OK|YES) (?i:O)k (?-i:o)k (?s)a.b
a.b (?m)^b$ ^b$ (?im)^B \p{L} \p{Lu} \pN \P{L} \p{^L} [\p{L}\d] \p{Alphabetic}
\p{Punctuation} \p{Uppercase} \p{Alpha} \p{IsDigit} [^\p{Lu}] \p{Any} \Qa.b\E \Ua \y [[]
[]a] [^]a] [a&&b] [a~~b] [a||b] [a-] [\]] a\/b é [é] \w \W \d+ \s \S \bok\b a{2} a{,2}b a{
{a a|b| () (?#x)a (?=a)a (?!b)a (?<=o)k (?<!o)k a*?b a+? <title>.*</title> \.example\.com
[\w.]+@
""".strip(),
)
TEXTS = [
    *(
        b"",
        b"ok",
        b"ok\n",
        b"ok\n\n",
        b"OK",
        b"xok",
        b"YES",
        b"xyes",
        b"a b",
        b"a\tb",
        b"a\nb",
        b"a\r\nb",
        b"a\r\n\nb",
        b"axb",
    ),
    *(
        b"a\x0bb",
        b"a\xa0b",
        b"A",
        b"aa",
        b"ab",
        b"ba",
        b"abb",
        b"c",
        b"Ab",
        b"_",
        b"-",
        b"!",
        b"\x1b",
        b"\x01",
        b"\x00",
        b"\x04",
    ),
    *(
        b"\xc3\xa9",
        b"\xe9",
        b"\xc9",
        b"\x85",
        b"[",
        b"]",
        b"&",
        b"~",
        b"|",
        b"{a",
        b"a{",
        b"Qa.bE",
        b"a.b",
        b"Ua",
        b"y",
        b"a/b",
    ),
    *(
        b"aab",
        b"a\x08",
        b"x\nb\n",
        b"<title>a</title>",
        b"www.example.com",
        b"me@x",
        b"12",
        b"\n",
        b" ",
        b"aaaaaaaaaab",
        b"a0",
    ),
]


@needs_perl
def test_what_perl_matches_is_matched() -> None:
    """Every pattern of the table comes to perl's verdict on every text."""
    asked = [(pattern, text) for pattern in PATTERNS for text in TEXTS]
    perl = by_perl(asked)
    assert -1 not in perl
    ours = [by_us(*each) for each in asked]
    assert [each for each, one, other in zip(asked, perl, ours) if one != other] == []


pieces = st.sampled_from(
    [
        *(
            "a",
            "b",
            "ok",
            ".",
            r"\d",
            r"\w",
            r"\s",
            r"\h",
            r"\R",
            r"\x{61}",
            r"\p{L}",
            "[[:alpha:]]",
            "[^[:digit:]]",
        ),
        *(
            r"[\h]",
            "[a-c]",
            r"\N",
            r"\.",
            "é",
            r"\Q",
            "(?i)",
            "(?s)",
            r"\z",
            r"\Z",
            "^",
            "$",
            r"\b",
            "(?:a|b)",
            "(ab)",
        ),
    ]
)
quantified = st.builds(str.__add__, pieces, st.sampled_from(["", "", "", "*", "+?", "?", "{1,2}"]))


@needs_perl
@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(
            st.lists(st.one_of(quantified, st.just("|")), min_size=1, max_size=6).map("".join),
            st.lists(st.sampled_from([*b"ab ok1.\n\r\t\xc3\xa9Q"]), max_size=6).map(bytes),
        ),
        min_size=40,
        max_size=40,
    )
)
def test_what_is_built_of_pieces_is_matched(asked: list[tuple[str, bytes]]) -> None:
    """Pieces that are put together in any way match as perl has it, wherever both take them."""
    for (pattern, text), perl in zip(asked, by_perl(asked)):
        try:
            ours = by_us(pattern, text)
        except UsageError:
            continue
        assert perl in (ours, -1), (pattern, text)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?{ system 'x' })", "(?{... has no like"),
        ("(??{ 1 })", "(??... has no like"),
        ("(a|(?R))", "(?R... has no like"),
        ("(?|a|b)", "(?|... has no like"),
        ("(*FAIL)", "(*... has no like"),
        ("(?x)a b", "(?x... has no like"),
        (r"\X", r"\X has no like"),
        (r"\b{wb}", r"\b has no like"),
        (r"\p{Greek}", "the property Greek is not known here"),
        ("[[:letter:]]", "[:letter:] is no class"),
        ("a(b", "missing ), unterminated subpattern at position 1"),
        ("*a", "nothing to repeat at position 0"),
        ("[a", "unterminated character set"),
        ("(?<=a*)b", "look-behind requires fixed-width pattern"),
        ("a\\", "a backslash at the end"),
    ],
)
def test_what_cannot_be_translated_is_refused(pattern: str, why: str) -> None:
    """The message names the pattern, and what of it has no like."""
    with pytest.raises(UsageError) as caught:
        translate(pattern)
    assert str(caught.value) == f"{pattern!r} cannot be matched as Perl does: {why}"
