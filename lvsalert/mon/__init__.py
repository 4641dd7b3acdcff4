"""mon's contract.

A monitor's results come in and the report that mon reads comes out (report); mon's options,
environment and standard input come in and what happened comes out (alert_call). client asks a mon
that runs, over its own port; plugins says which programs mon finds where.
"""
