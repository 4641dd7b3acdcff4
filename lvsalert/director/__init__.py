"""The use cases: what a director does to its table, and what it tells of it.

An alert, a start or stop, a drain, an undo or a report of mon's comes in; what policy makes of it
goes through reconcile, the only step that writes to the kernel. status reads and changes nothing.
"""
