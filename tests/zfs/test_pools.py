"""
Pools on files, on a real kernel: what every other test here stands on.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import require
from tests.zfs.pools import PoolCommandFailed, import_pool, temporary_pool

SIZE_BYTES = 128 << 20


@pytest.fixture(autouse=True)
def _zfs() -> None:
    require("zfs")
    require("root")


def pools() -> set[str]:
    """
    The names of all imported pools.
    """
    answer = subprocess.run(["zpool", "list", "-H", "-o", "name"], capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


@pytest.mark.zfs
class TestTemporaryPool:
    def test_is_imported(self) -> None:
        """
        Inside the block the pool is imported, and its file has the size asked for.
        """
        with temporary_pool(SIZE_BYTES) as pool:
            found = (pool.name in pools(), pool.image.stat().st_size)

        assert found == (True, SIZE_BYTES)

    def test_is_gone_afterwards(self, tmp_path: Path) -> None:
        """
        After the block neither the pool nor its file is there, even if the block failed with a file system in use.
        """
        with pytest.raises(RuntimeError, match="boom"), temporary_pool(SIZE_BYTES, folder=tmp_path) as pool:
            subprocess.run(["zfs", "create", "-o", f"mountpoint={tmp_path}/mounted", f"{pool.name}/data"], check=True)
            raise RuntimeError("boom")

        assert (pool.name in pools(), list(tmp_path.glob("*.img"))) == (False, [])

    def test_kept(self, tmp_path: Path) -> None:
        """
        A pool that is kept can be imported again from its file, with all that is on it.
        """
        with temporary_pool(SIZE_BYTES, folder=tmp_path, keep=True) as pool:
            subprocess.run(["zfs", "create", "-o", f"mountpoint={tmp_path}/mounted", f"{pool.name}/data"], check=True)
            (tmp_path / "mounted/file").write_text("kept")
        import_pool(pool.image)
        subprocess.run(["zfs", "mount", "-a"], check=False)
        content = (tmp_path / "mounted/file").read_text()
        subprocess.run(["zpool", "destroy", "-f", pool.name], check=True)

        assert content == "kept"

    def test_refused(self, tmp_path: Path) -> None:
        """
        A size that ZFS refuses is reported in its words, and no file is left.
        """
        with (
            pytest.raises(PoolCommandFailed, match="less than the minimum size"),
            temporary_pool(1 << 20, folder=tmp_path),
        ):
            pass

        assert list(tmp_path.iterdir()) == []
