"""Why a real server is out, what was changed, and the pictures of it.

records are the values that are kept; ledger and journal keep them in one SQLite file, which
database opens; history reads the journal back, and timeline draws it.
"""
