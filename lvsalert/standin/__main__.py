"""`python -m lvsalert.standin`."""

import os

from . import run

run(os.environ)
