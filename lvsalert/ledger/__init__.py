"""Why a real server is out, what was changed, and the pictures of it.

records are the values that are kept; ledger keeps them in one SQLite file, which database opens,
with a file here for each part of it: verdicts, runs, journal and so on. history reads the journal
back, and timeline draws it.
"""
