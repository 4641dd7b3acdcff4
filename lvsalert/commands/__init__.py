"""The command lines: arguments, environment and standard input in; output and exit status out.

A program a file, and what they share in options, monitor_options and table_options. click is used
here only. entry makes a process of a command.
"""
