"""The folder of an embedded stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from abbotik_cli import home, run_file
from abbotik_cli.fault import Fault
from abbotik_cli.run_file import Run


def test_folder_is_made_and_private(tmp_path: Path) -> None:
    """The folder is made with its parents, for its owner alone."""
    with home.claim(tmp_path / "deep" / "state") as claimed:
        assert claimed.path.stat().st_mode & 0o777 == 0o700


def test_second_claim_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    """Of two starts the second is told where the first one serves; later it may start."""
    with home.claim(tmp_path) as claimed:
        run_file.write(claimed.run_file, Run(urls={"gateway": "http://127.0.0.1:1"}))
        with pytest.raises(Fault, match=r"already runs at http://127\.0\.0\.1:1"):
            home.claim(tmp_path).__enter__()
    with home.claim(tmp_path):
        pass


def test_unusable_folder_is_named(tmp_path: Path) -> None:
    """A folder that cannot be made gives a sentence with its name and what to set."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Fault, match="ABBOTIK_HOME"):
        home.claim(tmp_path / "file" / "state").__enter__()


def test_full_disk_is_refused(tmp_path: Path) -> None:
    """Too little space is refused before anything is started."""
    with pytest.raises(Fault, match=r"0\.5 GiB left"):
        home.check_space(tmp_path, 512 * 1024**2)
    home.check_space(tmp_path, home.NEEDED_BYTES)
