"""Disks of a test's own, which can lose power and run full.

A disk is an ext4 file system in an image file behind a loop device: what reached the device is in
the image, what only the file system's memory holds is not. Making one takes root and loop devices.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

TOOLS = ("mkfs.ext4", "mount", "umount", "cp", "cmp")
# The kernel writes back now and then; a copy that it touched is taken again.
COPIES = 20
FILLER = "filler"
LIMIT_S = 60


def missing() -> str:
    """Say why no disk can be made on this machine; "" where one can."""
    if os.geteuid() != 0:
        return "disks of a test's own need root"
    for tool in TOOLS:
        if shutil.which(tool) is None:
            return f"disks of a test's own need {tool}"
    with TemporaryDirectory(prefix="abbotik-disk-") as folder:
        try:
            with Disk(Path(folder, "disk"), mib=8):
                return ""
        except subprocess.CalledProcessError as error:
            return f"no disk can be mounted here ({error.stderr.strip()})"


class Disk:
    """A file system of ``mib`` MiB, mounted at ``folder``, its image file beside it."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder = folder
        self._mib = mib
        self._image = _beside(folder, 0)
        self._cuts = 0

    def __enter__(self) -> Self:
        """Make it and mount it."""
        self.folder.mkdir(parents=True)
        with self._image.open("wb") as image:
            image.truncate(self._mib * 1024**2)
        # Whatever is left for later would be written by the kernel while the image is copied.
        now = "lazy_itable_init=0,lazy_journal_init=0"
        _run("mkfs.ext4", "-q", "-m", "0", "-E", now, str(self._image))
        self._mount()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Unmount it; nothing may be open on it any more."""
        self._unmount()

    def write_back(self, chosen: Callable[[Path], bool]) -> None:
        """Bring the chosen files to the device, as the kernel does with any file at any time."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and chosen(path):
                descriptor = os.open(path, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)

    def cut(self) -> None:
        """Note what the device holds, nothing being flushed: after `lose_power` it is all there is.

        Nobody may be writing.
        """
        copy = _beside(self.folder, self._cuts + 1)
        for _ in range(COPIES):
            _run("cp", "--sparse=auto", str(self._image), str(copy))
            # Equal afterwards: no block changed between, so the copy shows one single moment.
            if subprocess.run(["cmp", "-s", self._image, copy], check=False).returncode == 0:
                self._cuts += 1
                return
        raise RuntimeError(f"the disk at {self.folder} does not come to rest")

    def lose_power(self) -> None:
        """Mount what `cut` noted, in place of what the file system has; nothing may be open."""
        self._unmount()
        self._image = _beside(self.folder, self._cuts)
        self._mount()

    def fill(self) -> None:
        """Leave no room on it."""
        with (self.folder / FILLER).open("wb", buffering=0) as filler:
            for size in (1024**2, 4096, 1):
                with suppress(OSError):
                    while True:
                        filler.write(bytes(size))

    def free(self) -> None:
        """Give back what `fill` took."""
        (self.folder / FILLER).unlink()

    def _mount(self) -> None:
        # The loop device is detached with the last unmount.
        _run("mount", "-t", "ext4", "-o", "loop", str(self._image), str(self.folder))

    def _unmount(self) -> None:
        _run("umount", str(self.folder))
        self._image.unlink()


def _beside(folder: Path, number: int) -> Path:
    return folder.with_name(f"{folder.name}-{number}.img")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S)
