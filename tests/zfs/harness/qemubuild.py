"""
Building the QEMU guest: Debian's own kernel for PCs, the same release's ZFS modules for it, a small initramfs.

The same that installing `zfs-dkms` gives, but unpacked and compiled in the cache: the machine itself gets no kernel and
no dkms.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.zfs.harness import debian
from tests.zfs.harness.kernelcache import Built, being_built, newest_built, publish
from tests.zfs.harness.progress import StepFailed, run_logged, say, step

TOOLS = ("busybox-static", "qemu-system-x86")
_BUILD_TOOLS = ("autoconf", "automake", "build-essential", "cpio", "gawk", "kmod", "libtool", "pkg-config", "xz-utils")
# What the guest's first process needs to reach the host's root. All else is loaded from there.
_ROOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
# Of the kernel's modules, those that a guest without hardware can use.
_KEPT_MODULES = (
    "arch/x86/crypto",
    "crypto",
    "drivers/block/loop.ko",
    "drivers/block/nbd.ko",
    "drivers/block/virtio_blk.ko",
    "drivers/char/hw_random",
    "drivers/net/bonding",
    "drivers/net/dummy.ko",
    "drivers/net/ifb.ko",
    "drivers/net/macvlan.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/tun.ko",
    "drivers/net/veth.ko",
    "drivers/net/virtio_net.ko",
    "drivers/net/vxlan",
    "drivers/virtio",
    "fs/9p",
    "fs/btrfs",
    "fs/ext4",
    "fs/fscache",
    "fs/fuse",
    "fs/jbd2",
    "fs/mbcache.ko",
    "fs/netfs",
    "fs/overlayfs",
    "fs/xfs",
    "lib",
    "net",
)


def qemu_build(cache: Path, recipe: str, *, again: bool = False) -> Built:
    """
    The built QEMU guest of this recipe; built now if there is none, or a newer package.

    :param cache: the cache's folder.
    :param recipe: the hash of the recipe.
    :param again: look for newer packages (needs the network) even if there is an intact one.
    :raises PackagesMissing: if packages are missing and this is not root.
    :raises StepFailed: if a step fails.
    """
    kind_folder = cache / "qemu"
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
            debian.install([*_BUILD_TOOLS, *TOOLS], log)
        release, kernel_version = _kernel()
        # The one that users of this Debian release get, not the one of backports: that one the other guest has.
        zfs_version = debian.candidate_version("zfs-dkms")
        if now_built is not None and (now_built.kernel_version, now_built.zfs_version) == (kernel_version, zfs_version):
            say("the built guest is of the newest packages")
            return now_built
        say(f"building for Linux {release} ({kernel_version}) and ZFS {zfs_version}; log: {log}")
        product = _build(work, release, kernel_version, zfs_version, log)
        return publish(product, kind_folder, kernel_version, zfs_version, recipe)


def _kernel() -> tuple[str, str]:
    """
    Release (as in `uname -r`) and package version of the kernel that this Debian installs.
    """
    version = debian.candidate_version("linux-image-amd64")
    depends = debian.control_field("linux-image-amd64", version, "Depends")
    found = re.search(r"linux-image-(?P<release>\S+) \(= (?P<version>[^)]+)\)", depends)
    if found is None:
        raise StepFailed(f"linux-image-amd64 {version} depends on no kernel ({depends!r})")
    return found["release"], found["version"]


def _build(work: Path, release: str, kernel_version: str, zfs_version: str, log: Path) -> Path:
    common, kbuild = _header_packages(release, kernel_version)
    wanted = [
        (f"linux-image-{release}", kernel_version),
        (f"linux-headers-{release}", kernel_version),
        (common, kernel_version),
        (kbuild, debian.candidate_version(kbuild)),
        ("zfs-dkms", zfs_version),
    ]
    unpacked = work / "unpacked"
    with step(f"fetching {', '.join(f'{name} {version}' for name, version in wanted)}", log):
        packages = [debian.download(name, version, work, log) for name, version in wanted]
    with step("unpacking them", log):
        for package in packages:
            debian.unpack(package, unpacked, log)
            package.unlink()
        objects = unpacked / "usr/src" / f"linux-headers-{release}"
        source = unpacked / "usr/src" / common
        _relocate(objects, source)
    zfs = next((unpacked / "usr/src").glob("zfs-*"))
    environment = {**os.environ, "LC_ALL": "C"}
    with step("configuring the ZFS modules (one to two minutes)", log):
        options = ["--with-config=kernel", f"--with-linux={source}", f"--with-linux-obj={objects}"]
        run_logged(["sh", "./configure", *options], log, cwd=zfs, environment=environment)
    with step("compiling the ZFS modules (two to three minutes)", log):
        run_logged(["make", f"-j{len(os.sched_getaffinity(0))}"], log, cwd=zfs, environment=environment)
    with step("putting the guest together", log):
        return _product(work, unpacked, zfs, release, log)


def _header_packages(release: str, kernel_version: str) -> tuple[str, str]:
    depends = debian.control_field(f"linux-headers-{release}", kernel_version, "Depends")
    common = re.search(r"(linux-headers-\S+-common)", depends)
    kbuild = re.search(r"(linux-kbuild-\S+)", depends)
    if common is None or kbuild is None:
        raise StepFailed(f"linux-headers-{release} depends on no common headers and kbuild ({depends!r})")
    return common[1], kbuild[1]


def _relocate(objects: Path, source: Path) -> None:
    """
    Make unpacked headers stand on their own: the package's Makefiles name /usr/src.
    """
    for makefile in (objects / "Makefile", objects / ".config.mk", source / "Makefile"):
        if makefile.exists() and not makefile.is_symlink():
            makefile.write_text(makefile.read_text().replace(f"/usr/src/{source.name}", str(source)))


def _product(work: Path, unpacked: Path, zfs: Path, release: str, log: Path) -> Path:
    """
    What is kept: kernel, initramfs, and one module tree with ZFS's and what a guest without hardware can use.
    """
    product = work / "product"
    tree = product / "lib/modules" / release
    modules = unpacked / "lib/modules" / release
    if not modules.exists():
        modules = unpacked / "usr/lib/modules" / release
    tree.mkdir(parents=True)
    shutil.copy2(unpacked / "boot" / f"vmlinuz-{release}", product / "vmlinuz")
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        if (modules / name).exists():
            shutil.copy2(modules / name, tree)
    for part in _KEPT_MODULES:
        for found in [modules / "kernel" / part, *(modules / "kernel" / part).parent.glob(f"{Path(part).name}.xz")]:
            target = tree / "kernel" / found.relative_to(modules / "kernel")
            target.parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                shutil.copytree(found, target)
            elif found.exists():
                shutil.copy2(found, target)
    extra = tree / "extra"
    extra.mkdir()
    for module in zfs.rglob("*.ko"):
        shutil.copy2(module, extra)
    if "zfs.ko" not in {path.name for path in extra.iterdir()}:
        raise StepFailed(f"the build of ZFS left no zfs.ko; see {log}")
    run_logged(["strip", "--strip-debug", *(str(path) for path in extra.iterdir())], log)
    run_logged(["depmod", "-b", str(product), release], log)
    _initramfs(work / "initramfs", product, release, log)
    return product


def _initramfs(folder: Path, product: Path, release: str, log: Path) -> None:
    for name in ("bin", "dev", "host", "laid", "modules", "proc"):
        (folder / name).mkdir(parents=True)
    shutil.copy2("/bin/busybox", folder / "bin")
    for applet in ("insmod", "mkdir", "mount", "poweroff", "sh", "sleep", "switch_root", "umount"):
        (folder / "bin" / applet).symlink_to("busybox")
    shutil.copy2(Path(__file__).with_name("qemu-init.sh"), folder / "init")
    (folder / "init").chmod(0o755)
    order: list[str] = []
    for module in _ROOT_MODULES:
        for path in _in_load_order(product, release, module):
            name = path.name.removesuffix(".xz")
            if name not in order:
                order.append(name)
                content = path.read_bytes()
                (folder / "modules" / name).write_bytes(lzma.decompress(content) if path.suffix == ".xz" else content)
    (folder / "modules/order").write_text("".join(f"{name}\n" for name in order))
    archive = product / "initramfs"
    listing = "\n".join(str(path.relative_to(folder)) for path in [folder, *sorted(folder.rglob("*"))])
    with archive.open("wb") as sink, log.open("ab") as errors:
        done = subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet", "--owner=0:0"],
            cwd=folder,
            input=listing.encode(),
            stdout=sink,
            stderr=errors,
            check=False,
        )
    if done.returncode != 0:
        raise StepFailed(f"cpio could not make the initramfs; see {log}")


def _in_load_order(product: Path, release: str, module: str) -> list[Path]:
    """
    The files of a module and of those it needs, in the order to load them; none if it is built in.
    """
    answer = subprocess.run(
        ["modprobe", "-d", str(product), "-S", release, "--show-depends", module],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise StepFailed(f"the kernel {release} has no module {module}: {answer.stderr.strip()}")
    return [Path(line.split()[1]) for line in answer.stdout.splitlines() if line.startswith("insmod ")]
