"""Checks of real servers: one protocol a file, and what drives many of them at once.

Hosts and what to ask them come in, a result for each comes out, and nothing is changed. sweep leads
conversations in one thread, threads runs libraries that block; monitor is the way from the hosts of
a command line to mon's report.
"""
