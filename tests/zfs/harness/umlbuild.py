"""
Building the User Mode Linux guest: Debian's `user-mode-linux` kernel as it is, and ZFS modules compiled for it.

Modules must match the kernel exactly, so the source is the version that the kernel's package says it was built from,
and the symbols are read from the kernel's own export tables. Everything comes from Debian packages; nothing is patched.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from pathlib import Path

from tests.zfs.harness import debian
from tests.zfs.harness.kernelcache import Built, being_built, newest_built, publish
from tests.zfs.harness.progress import StepFailed, run_logged, say, step
from tests.zfs.harness.symvers import symvers

_TOOLS = (
    "autoconf",
    "automake",
    "bc",
    "bison",
    "build-essential",
    "cpio",
    "flex",
    "gawk",
    "kmod",
    "libelf-dev",
    "libssl-dev",
    "libtool",
    "pkg-config",
    "util-linux",
    "xz-utils",
)
# Nothing of these is compiled for the modules; leaving them packed saves a third of the disk writes. All Kconfig files
# are needed.
_UNUSED_SOURCE = (
    "drivers/gpu/*.[ch]",
    "drivers/net/*.[ch]",
    "sound/*.[ch]",
    "Documentation/devicetree/*",
    "tools/testing/selftests/*",
)
# Whole families of drivers for devices that a User Mode Linux guest can't have.
_UNUSED_MODULES = (
    "drivers/usb",
    "drivers/media",
    "drivers/scsi",
    "drivers/input",
    "drivers/hid",
    "drivers/iio",
    "sound",
)


def uml_build(cache: Path, recipe: str, *, again: bool = False) -> Built:
    """
    The built User Mode Linux guest of this recipe; built now if there is none, or a newer package.

    :param cache: the cache's folder.
    :param recipe: the hash of the recipe.
    :param again: look for newer packages (needs the network) even if there is an intact one.
    :raises PackagesMissing: if packages are missing and this is not root.
    :raises StepFailed: if a step fails.
    """
    kind_folder = cache / "uml"
    built = newest_built(kind_folder, recipe)
    if built is not None and not again:
        return built
    with being_built(kind_folder) as work:
        # Whoever held the lock before may have built it.
        now_built = newest_built(kind_folder, recipe)
        if now_built is not None and not again:
            return now_built
        log = kind_folder / "build.log"
        log.write_bytes(b"")
        with step("package index and packages", log):
            debian.prepare_sources("contrib", log)
            debian.install(_TOOLS, log)
        kernel_version = debian.newest_version("user-mode-linux")
        zfs_version = debian.newest_version("zfs-dkms")
        if now_built is not None and (now_built.kernel_version, now_built.zfs_version) == (kernel_version, zfs_version):
            say("the built guest is of the newest packages")
            return now_built
        say(f"building for user-mode-linux {kernel_version} and ZFS {zfs_version}; log: {log}")
        product = _build(work, kernel_version, zfs_version, log)
        return publish(product, kind_folder, kernel_version, zfs_version, recipe)


def _build(work: Path, kernel_version: str, zfs_version: str, log: Path) -> Path:
    source_package, source_version = _source_of("user-mode-linux", kernel_version)
    with step(
        f"fetching user-mode-linux {kernel_version}, {source_package} {source_version}, zfs-dkms {zfs_version}", log
    ):
        packages = [
            debian.download(name, version, work, log)
            for name, version in (
                ("user-mode-linux", kernel_version),
                (source_package, source_version),
                ("zfs-dkms", zfs_version),
            )
        ]
    with step("unpacking them", log):
        for package in packages:
            debian.unpack(package, work / "unpacked", log)
            package.unlink()
    unpacked = work / "unpacked"
    kernel = unpacked / "usr/bin/linux.uml"
    modules = _only(unpacked / "usr/lib/uml/modules", "*")
    with step("unpacking the kernel source", log):
        source = work / "source"
        source.mkdir()
        archive = unpacked / f"usr/src/{source_package}.tar.xz"
        excluded = [f"--exclude={source_package}/{part}" for part in _UNUSED_SOURCE]
        run_logged(["tar", "-xJf", str(archive), "-C", str(source), "--strip-components=1", *excluded], log)
        archive.unlink()
    objects = work / "objects"
    environment = {**os.environ, "ARCH": "um", "KERNEL_ARCH": "um", "KBUILD_MODPOST_WARN": "1", "LC_ALL": "C"}
    with step("preparing the kernel's headers", log):
        _prepare(source, objects, unpacked, log)
        (objects / "Module.symvers").write_text(symvers(kernel.read_bytes()))
    zfs = _only(unpacked / "usr/src", "zfs-*")
    with step("configuring the ZFS modules (about a minute)", log):
        run_logged(
            [
                "sh",
                "./configure",
                "--with-config=kernel",
                f"--with-linux={source}",
                f"--with-linux-obj={objects}",
            ],
            log,
            cwd=zfs,
            environment=environment,
        )
    with step("compiling the ZFS modules (one to two minutes)", log):
        jobs = len(os.sched_getaffinity(0))
        run_logged(["make", f"-j{jobs}"], log, cwd=zfs, environment=environment)
    with step("putting the guest together", log):
        return _product(work / "product", kernel, modules, zfs, log)


def _source_of(package: str, version: str) -> tuple[str, str]:
    """
    The package and version of the kernel source that a kernel package says it was built from.
    """
    field = debian.control_field(package, version, "Built-Using")
    found = re.search(r"\blinux \(= (?P<version>(?P<series>\d+\.\d+)[^)]*)\)", field)
    if found is None:
        raise StepFailed(
            f"{package} {version} does not say which kernel source it was built from (Built-Using: {field!r})"
        )
    return f"linux-source-{found['series']}", found["version"]


def _prepare(source: Path, objects: Path, unpacked: Path, log: Path) -> None:
    objects.mkdir()
    config = gzip.decompress((unpacked / "usr/share/doc/user-mode-linux/config.gz").read_bytes()).decode()
    # With it, the version of a source in a checkout gets a suffix, and the modules' version would not be the kernel's.
    (objects / ".config").write_text(config + "\n# CONFIG_LOCALVERSION_AUTO is not set\n")
    make = ["make", "-C", str(source), "ARCH=um", f"O={objects}"]
    run_logged([*make, "olddefconfig"], log)
    run_logged([*make, "modules_prepare"], log)


def _product(product: Path, kernel: Path, modules: Path, zfs: Path, log: Path) -> Path:
    """
    What is kept: the kernel, and one module tree with its own modules and ZFS's, without debug information.
    """
    tree = product / "lib/modules" / modules.name
    tree.parent.mkdir(parents=True)
    shutil.copy2(kernel, product / "linux.uml")
    shutil.copytree(modules, tree)
    for part in _UNUSED_MODULES:
        shutil.rmtree(tree / "kernel" / part, ignore_errors=True)
    extra = tree / "extra"
    extra.mkdir()
    for module in zfs.rglob("*.ko"):
        shutil.copy2(module, extra)
    if not {"spl.ko", "zfs.ko"} <= {path.name for path in extra.iterdir()}:
        raise StepFailed(f"the build of ZFS left no spl.ko and zfs.ko; see {log}")
    run_logged(["strip", "--strip-debug", *(str(path) for path in tree.rglob("*.ko"))], log)
    # depmod's -e -F would need the kernel's map; dependencies alone don't.
    run_logged(["depmod", "-b", str(product), modules.name], log)
    return product


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise StepFailed(f"expected one {pattern} in {folder}, found {[path.name for path in found]}")
    return found[0]
