"""
The contract of a storage backend, as tests. For the backend of a pool of your own:

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def new_pool(self, tmp_path_factory: pytest.TempPathFactory) -> NewPool:
            def made() -> PoolUnderTest:
                return MyPool(tmp_path_factory.mktemp("pool"))

            return made

``MyPool`` has what ``flocker_py.testing.storage_pools.PoolUnderTest`` asks for. If it mounts datasets in the host's
file system, ``MountedFiles`` is its ``files``.
"""

from __future__ import annotations

from flocker_py.testing.storage_contract_cuts import CutContract
from flocker_py.testing.storage_contract_datasets import DatasetContract
from flocker_py.testing.storage_contract_limits import LimitContract
from flocker_py.testing.storage_contract_mounts import MountContract
from flocker_py.testing.storage_contract_snapshots import SnapshotContract
from flocker_py.testing.storage_contract_stashes import StashContract
from flocker_py.testing.storage_contract_streams import StreamContract
from flocker_py.testing.storage_contract_trees import TreeContract
from flocker_py.testing.storage_pools import NewPool, PoolUnderTest


class StorageContract(
    DatasetContract,
    MountContract,
    LimitContract,
    SnapshotContract,
    StreamContract,
    CutContract,
    TreeContract,
    StashContract,
):
    """
    Everything that ``flocker_py.storage.Storage`` promises.
    """


__all__ = ["NewPool", "PoolUnderTest", "StorageContract"]
