"""The tables of the ledger, by the version that added them."""

from __future__ import annotations

from lvsalert.ledger import accepted, command_states, contents, journal, marks, rounds

_SCHEMA = """
CREATE TABLE causes (
    virtual TEXT, real TEXT, cause TEXT, since REAL, reason TEXT, drain INTEGER,
    PRIMARY KEY (virtual, real, cause)) WITHOUT ROWID;
CREATE TABLE checks (
    virtual TEXT, source TEXT, said TEXT, PRIMARY KEY (virtual, source));
CREATE TABLE servers (
    virtual TEXT, real TEXT, quiesced_until REAL, slow_since REAL, slow_for REAL,
    upper INTEGER, lower INTEGER, held INTEGER, PRIMARY KEY (virtual, real)) WITHOUT ROWID;
CREATE TABLE runs (
    virtual TEXT, source TEXT, real TEXT, time REAL, options TEXT,
    PRIMARY KEY (virtual, source, real)) WITHOUT ROWID;
"""
# Since version 2 of the tables.
_ADDED = """
CREATE TABLE unjudged (
    virtual TEXT, source TEXT, since REAL, time INTEGER, times INTEGER, reason TEXT,
    PRIMARY KEY (virtual, source)) WITHOUT ROWID;
"""
# Since version 3.
_DRAINS = """
CREATE TABLE drains (
    virtual TEXT, real TEXT, until REAL, PRIMARY KEY (virtual, real)) WITHOUT ROWID;
CREATE TABLE forgotten (virtual TEXT PRIMARY KEY, time REAL) WITHOUT ROWID;
CREATE TABLE tunnels (
    virtual TEXT, real TEXT, flags TEXT, PRIMARY KEY (virtual, real)) WITHOUT ROWID;
CREATE TABLE shapes (virtual TEXT PRIMARY KEY, scheduler TEXT, flags TEXT) WITHOUT ROWID;
CREATE TABLE names (
    virtual TEXT, name TEXT, address TEXT, PRIMARY KEY (virtual, name)) WITHOUT ROWID;
"""
# Since version 9.
_FLAPPING = """
CREATE TABLE flapping (
    virtual TEXT, real TEXT, penalty REAL, time REAL, until REAL,
    PRIMARY KEY (virtual, real)) WITHOUT ROWID;
"""
# Those in between are where they are used.
SCHEMAS = (
    _SCHEMA + journal.SCHEMA,
    _ADDED,
    accepted.SCHEMA + _DRAINS,
    command_states.SCHEMA,
    marks.SCHEMA,
    journal.TRIMMED,
    contents.SCHEMA,
    rounds.SCHEMA,
    _FLAPPING,
    contents.SEEN,
)
"""The tables that each version of the ledger added."""
