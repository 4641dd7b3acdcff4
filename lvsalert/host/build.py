"""How the package is built: from what is in the checkout now, and nothing that was there before."""

from __future__ import annotations

import shutil

from setuptools.command.build import build


class FreshBuild(build):
    """The build command of setuptools, in an empty folder.

    It copies modules into a folder in the checkout and leaves them there, and a wheel is made of
    all that lies in it: a module that was removed meanwhile would be installed again.
    """

    def run(self) -> None:
        """Empty the folder that the modules are copied to, and build."""
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
