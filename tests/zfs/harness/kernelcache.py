"""
The cache of built guest kernels: outside the checkout, whole or not there at all, one builder at a time.

Layout: `$FLOCKER_CACHE/zfs-kernel/KIND/KEY/`, each entry with a `manifest.json` that lists its files. An entry is built
in a temporary folder beside it and renamed in; one whose files are missing or changed counts as not there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.zfs.harness.progress import say

_MANIFEST = "manifest.json"
_BUILDING = ".building-"


@dataclass(frozen=True)
class Built:
    """
    One intact entry.
    """

    folder: Path
    kernel_version: str
    zfs_version: str


def cache_folder(environment: Mapping[str, str], home: Path) -> Path:
    """
    Where built kernels are kept, from the environment.

    :param home: the user's home folder.
    """
    if environment.get("FLOCKER_CACHE"):
        base = Path(environment["FLOCKER_CACHE"])
    else:
        base = Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "flocker_py"
    return base / "zfs-kernel"


def recipe_hash(sources: Mapping[str, bytes]) -> str:
    """
    A short hash over the files that decide how a kernel is built: names and contents, in any order.
    """
    digest = hashlib.sha256()
    for name, content in sorted(sources.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def entry_key(kernel_version: str, zfs_version: str, recipe: str) -> str:
    """
    The name of an entry: versions of the kernel and of ZFS as the packages give them, and the hash of the recipe.
    """
    plain = "-".join((kernel_version, zfs_version, recipe))
    return "".join(letter if letter.isalnum() or letter in "-._+~" else "_" for letter in plain)


def newest_built(kind_folder: Path, recipe: str) -> Built | None:
    """
    The entry built last by this recipe that is intact, if there is one.
    """
    entries = [entry for entry in kind_folder.glob(f"*-{recipe}") if (entry / _MANIFEST).exists()]
    for entry in sorted(entries, key=lambda path: (path / _MANIFEST).stat().st_mtime, reverse=True):
        built = _intact(entry)
        if built is not None:
            return built
        say(f"{entry} is damaged, and counts as not built")
    return None


@contextmanager
def being_built(kind_folder: Path) -> Iterator[Path]:
    """
    An empty folder to build in, with the lock that keeps a second build of the same kind waiting; removed at the end.
    """
    kind_folder.mkdir(parents=True, exist_ok=True)
    with (kind_folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build of the same kernel is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left_over in kind_folder.glob(f"{_BUILDING}*"):
            shutil.rmtree(left_over, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=kind_folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def publish(product: Path, kind_folder: Path, kernel_version: str, zfs_version: str, recipe: str) -> Built:
    """
    Make a finished folder an entry, in one rename; an entry of the same key, damaged or not, makes way.

    :param product: a folder on the same file system; it is gone afterwards.
    """
    files = {
        str(path.relative_to(product)): _fingerprint(path) for path in sorted(product.rglob("*")) if path.is_file()
    }
    manifest = {"kernel_version": kernel_version, "zfs_version": zfs_version, "files": files}
    (product / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    entry = kind_folder / entry_key(kernel_version, zfs_version, recipe)
    if entry.exists():
        shutil.rmtree(entry)
    product.rename(entry)
    for other in kind_folder.glob(f"*/{_MANIFEST}"):
        if other.parent != entry and not _is_in_use(other):
            shutil.rmtree(other.parent, ignore_errors=True)
    return Built(folder=entry, kernel_version=kernel_version, zfs_version=zfs_version)


@contextmanager
def in_use(built: Built) -> Iterator[None]:
    """
    While the block runs, a newer build does not remove this entry.
    """
    with (built.folder / _MANIFEST).open("rb") as manifest:
        fcntl.flock(manifest, fcntl.LOCK_SH)
        yield


def _is_in_use(manifest: Path) -> bool:
    with manifest.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _intact(entry: Path) -> Built | None:
    try:
        manifest = json.loads((entry / _MANIFEST).read_text())
        for name, fingerprint in manifest["files"].items():
            if _fingerprint(entry / name) != fingerprint:
                return None
        return Built(folder=entry, kernel_version=manifest["kernel_version"], zfs_version=manifest["zfs_version"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _fingerprint(path: Path) -> list[int | str]:
    # Hashing some 40 MB costs 0.1 s a run, and finds a file that a full disk or a cut rename left wrong inside.
    content = path.read_bytes()
    return [len(content), hashlib.blake2b(content, digest_size=16).hexdigest()]
