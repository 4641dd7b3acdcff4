"""The guest's kernel: a Debian's stock one, unpacked into a cache folder and never installed."""

from __future__ import annotations

import functools
import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.harness import debian
from tests.lab import hot, packages
from tests.lab.hot import Entry

CACHE = Path("/var/cache/lvsalert-tests")
# What finds the machine's root file system; everything else is loaded from there.
BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
FOLDERS = ("bin", "dev", "modules", "upper", "work")
END = Entry(0)
INIT = Path(__file__).with_name("guest") / "init.sh"


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel package: `root` holds boot/ and lib/modules/ of `release`."""

    root: Path
    release: str

    @property
    def image(self) -> Path:
        """The file that qemu boots."""
        return self.root / "boot" / f"vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        """The folder that stands at /lib/modules in the guest."""
        return self.root / "lib" / "modules"

    def initramfs(self) -> bytes:
        """Return a cpio archive with busybox, the init script and what it loads."""
        needed = _in_order_of_need(self, BOOT_MODULES)
        order = "".join(f"{module.name.removesuffix('.xz')}\n" for module in needed)
        trees = "".join(f"{tree}\n" for tree in hot.trees())
        entries = {name: Entry(stat.S_IFDIR | 0o755) for name in FOLDERS}
        entries["bin/busybox"] = _file(0o755, Path("/bin/busybox").read_bytes())
        entries["init"] = _file(0o755, INIT.read_bytes())
        entries["modules/order"] = _file(0o644, order.encode())
        entries["trees"] = _file(0o644, trees.encode())
        for each in needed:
            name = each.name.removesuffix(".xz")
            data = each.read_bytes()
            is_packed = name != each.name
            data = lzma.decompress(data) if is_packed else data
            entries[f"modules/{name}"] = _file(0o644, data)
        entries.update({f"upper/{name}": entry for name, entry in hot.entries().items()})
        return cpio(entries)


def prepare(release: str | None = None) -> Kernel:
    """Return a kernel in the cache, downloaded first where it is not there.

    It is that of this machine's Debian, or of the one called ``release``.
    """
    kernels = "kernel" if release is None else f"{release}-kernel"
    with debian.alone(kernels), tempfile.TemporaryDirectory(dir=CACHE) as folder:
        done = sorted(CACHE.glob(f"{kernels}-*/complete"))
        if done:
            return _at(done[-1].parent)
        download = _download if release is None else functools.partial(_download_of, release)
        archive = download(Path(folder))
        package = archive.name.partition("_")[0].replace("%2b", "+")
        return _unpack(archive, CACHE / f"{kernels}-{package}")


def _at(root: Path) -> Kernel:
    """Describe a complete folder of the cache."""
    (image,) = (root / "boot").glob("vmlinuz-*")
    return Kernel(root, image.name.removeprefix("vmlinuz-"))


def _newest(depends: str) -> str | None:
    """Name the package that linux-image-amd64 stands for, by what apt-cache says of it."""
    found = re.search(r"Depends: (linux-image-\d\S*-amd64)$", depends, re.MULTILINE)
    return found and found[1]


def _newest_package() -> str:
    """Name the package that linux-image-amd64 stands for today."""
    for attempt in (1, 2):
        text = packages.run_apt("apt-cache", "depends", "linux-image-amd64")
        found = _newest(text)
        if found:
            return found
        if attempt == 1:
            packages.refresh()
    raise RuntimeError(f"apt knows no kernel behind linux-image-amd64:\n{text}")


def _download(work: Path) -> Path:
    """Download the package of this machine's Debian."""
    package = _newest_package()
    try:
        packages.run_apt("apt-get", "download", "-q", package, cwd=work)
    except RuntimeError:
        # The list may be older than what the mirror still has.
        packages.refresh()
        packages.run_apt("apt-get", "download", "-q", package, cwd=work)
    (archive,) = work.glob("*.deb")
    return archive


def _download_of(release: str, work: Path) -> Path:
    """Download the package of another Debian, by a system of that one."""
    with debian.system(release, f"{work}:/work") as system:
        system.does("apt-get", "update", outside=True)
        package = _newest(system.does("apt-cache", "depends", "linux-image-amd64"))
        system.shell(f"cd /work; apt-get download -q {package}", outside=True)
    (archive,) = work.glob("*.deb")
    return archive


def _unpack(archive: Path, root: Path) -> Kernel:
    """Unpack a kernel package beside itself; the marker file is the last thing written."""
    made = archive.parent / "root"
    subprocess.run(["dpkg-deb", "-x", archive, made], check=True)
    if not (made / "lib").exists():
        # From Debian 13 on all of it lies in /usr.
        (made / "lib").symlink_to("usr/lib")
    (release,) = (entry.name for entry in (made / "lib/modules").iterdir())
    subprocess.run(["depmod", "-b", made, release], check=True)
    (made / "complete").touch()
    # mkdtemp keeps others out, and dpkg-deb copies that; the guest's mon reads modules too.
    made.chmod(0o755)
    shutil.rmtree(root, ignore_errors=True)
    made.rename(root)
    return _at(root)


def _in_order_of_need(kernel: Kernel, names: tuple[str, ...]) -> list[Path]:
    """List the files of the modules and of those they need, each after its needs."""
    files: list[Path] = []
    for name in names:
        done = subprocess.run(
            ["modprobe", "-d", kernel.root, "-S", kernel.release, "--show-depends", name],
            capture_output=True,
            text=True,
            check=True,
        )
        for line in done.stdout.splitlines():
            word, *rest = line.split()
            if word == "insmod" and Path(rest[0]) not in files:
                files.append(Path(rest[0]))
    return files


def _file(mode: int, data: bytes) -> Entry:
    """Return a file with these permissions."""
    return Entry(stat.S_IFREG | mode, data)


def cpio(entries: Mapping[str, Entry]) -> bytes:
    """Return an archive in the "newc" form that the kernel unpacks, see cpio(5)."""
    archive = bytearray()
    for inode, (name, entry) in enumerate([*entries.items(), ("TRAILER!!!", END)], start=1):
        encoded = os.fsencode(name) + b"\0"
        size = len(entry.data)
        fields = (inode, entry.mode, 0, 0, 1, entry.changed, size, 0, 0, 0, 0, len(encoded), 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        archive += b"\0" * (-len(archive) % 4)
        archive += entry.data
        archive += b"\0" * (-len(archive) % 4)
    return bytes(archive)
