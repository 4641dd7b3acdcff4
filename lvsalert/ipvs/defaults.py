"""Where the door to the kernel and its lock are, unless one says otherwise."""

DEFAULT_PROGRAM = "ipvsadm"
DEFAULT_STATE_DIR = "/var/lib/lvsalert"
