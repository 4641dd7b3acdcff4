"""The machine that the suite is installed on.

install writes and removes files (plugins, heartbeat's scripts, the units' drop-ins), access and
check say what the user that mon runs as may do.
"""
