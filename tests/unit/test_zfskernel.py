"""
The pure parts of the harness that gives tests a ZFS kernel: apt sources, cache keys, damaged entries, symbols.
"""

from __future__ import annotations

import argparse
import json
import struct
from pathlib import Path

import pytest

from tests.zfs.harness.aptsources import extended_deb822, extended_one_line
from tests.zfs.harness.kernelcache import being_built, cache_folder, entry_key, newest_built, publish, recipe_hash
from tests.zfs.harness.symvers import NoExportTables, symvers
from tests.zfs.harness.zfskernel import arguments, size_bytes

ARCHIVE = {"http://mirror.example/debian/", "http://mirror.example/debian-security/"}


def deb822(text: str) -> str:
    return extended_deb822(text, ARCHIVE, "bookworm", "contrib", "bookworm-backports")


def one_line(text: str) -> str:
    return extended_one_line(text, ARCHIVE, "bookworm", "contrib", "bookworm-backports")


class TestDeb822:
    def test_main_stanza(self) -> None:
        """
        The stanza of the release gets the component and the backports suite; the rest of it stays as it was.
        """
        text = (
            "Types: deb\n# kept\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
            "Components: main\nSigned-By: /k.gpg\n"
        )

        assert deb822(text) == (
            "Types: deb\n# kept\nURIs: http://mirror.example/debian\n"
            "Suites: bookworm bookworm-updates bookworm-backports\n"
            "Components: main contrib\nSigned-By: /k.gpg\n"
        )

    def test_security_stanza(self) -> None:
        """
        The security archive gets the component, and no backports: it has none.
        """
        text = "Types: deb\nURIs: http://mirror.example/debian-security/\nSuites: bookworm-security\nComponents: main\n"

        assert deb822(text) == text.replace("main", "main contrib")

    @pytest.mark.parametrize(
        "text",
        [
            "Types: deb\nURIs: http://vendor.example/apt\nSuites: bookworm\nComponents: main\n",
            "Types: deb\nEnabled: no\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n",
            "Types: deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n",
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n",
        ],
        ids=["third-party", "disabled", "source", "another-release"],
    )
    def test_others_untouched(self, text: str) -> None:
        """
        Entries of third parties, switched off, of sources or of another release are left alone.
        """
        assert deb822(text) == text

    def test_twice_is_once(self) -> None:
        """
        Extending a second time changes nothing, even where backports stand in a stanza of their own.
        """
        text = (
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n\n"
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main contrib\n"
        )
        once = deb822(text)

        assert (once, deb822(once)) == (text.replace("Components: main\n", "Components: main contrib\n"), once)

    def test_values_on_lines_of_their_own(self) -> None:
        """
        Fields whose words stand on continuation lines are extended without losing one.
        """
        text = (
            "Types: deb\nURIs: http://mirror.example/debian\nSuites:\n bookworm\n bookworm-updates\n"
            "Components:\n main\n"
        )

        assert deb822(text) == text.replace("Suites:", "Suites: bookworm-backports").replace(
            "Components:", "Components: contrib"
        )


class TestOneLine:
    def test_release_line(self) -> None:
        """
        The release's line gets the component, and a line for backports follows it.
        """
        text = "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main # mine\n"

        assert one_line(text) == (
            "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # mine\n"
            "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm-backports main contrib\n"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "# deb http://mirror.example/debian bookworm main\n",
            "deb-src http://mirror.example/debian bookworm main\n",
            "deb http://vendor.example/apt bookworm main\n",
            "\n",
        ],
    )
    def test_others_untouched(self, text: str) -> None:
        """
        Comments, sources, third parties and empty lines are left alone.
        """
        assert one_line(text) == text

    def test_twice_is_once(self) -> None:
        """
        Extending a second time changes nothing.
        """
        once = one_line(
            "deb http://mirror.example/debian bookworm main\n"
            "deb http://mirror.example/debian-security bookworm-security main\n"
        )

        assert one_line(once) == once


class TestCache:
    def test_folder_from_environment(self) -> None:
        """
        FLOCKER_CACHE comes before XDG_CACHE_HOME, and that before the home folder.
        """
        home = Path("/home/someone")
        environments: list[dict[str, str]] = [
            {"FLOCKER_CACHE": "/a", "XDG_CACHE_HOME": "/b"},
            {"XDG_CACHE_HOME": "/b"},
            {},
        ]

        assert [str(cache_folder(environment, home)) for environment in environments] == [
            "/a/zfs-kernel",
            "/b/flocker_py/zfs-kernel",
            "/home/someone/.cache/flocker_py/zfs-kernel",
        ]

    def test_recipe_hash_tells_files_apart(self) -> None:
        """
        Any change of a recipe's file, or of which file holds what, makes another hash.
        """
        recipes: list[dict[str, bytes]] = [
            {"a": b"1", "b": b"2"},
            {"a": b"2", "b": b"1"},
            {"a": b"1"},
            {"a": b"12", "b": b""},
        ]

        assert len({recipe_hash(recipe) for recipe in recipes}) == len(recipes)

    def test_recipe_hash_is_of_no_order(self) -> None:
        """
        The order in which files are listed does not matter.
        """
        assert recipe_hash({"a": b"1", "b": b"2"}) == recipe_hash({"b": b"2", "a": b"1"})

    def test_key_is_a_file_name(self) -> None:
        """
        An epoch or a slash in a version does not make the key a path.
        """
        assert entry_key("1:6.1/um4+b13", "2.3.2-2~bpo12+2", "abc") == "1_6.1_um4+b13-2.3.2-2~bpo12+2-abc"

    def test_published_is_found(self, tmp_path: Path) -> None:
        """
        A published entry is found again, with its versions.
        """
        built = publish(_product(tmp_path), tmp_path, "6.1", "2.3", "abc")

        assert newest_built(tmp_path, "abc") == built

    @pytest.mark.parametrize("damage", ["cut", "changed", "removed", "no manifest", "bad manifest"])
    def test_damaged_is_not_built(self, tmp_path: Path, damage: str) -> None:
        """
        An entry with a file cut, changed or missing counts as not built.
        """
        built = publish(_product(tmp_path), tmp_path, "6.1", "2.3", "abc")
        module, manifest = built.folder / "lib/zfs.ko", built.folder / "manifest.json"
        match damage:
            case "cut":
                module.write_bytes(b"modul")
            case "changed":
                module.write_bytes(b"modulf")
            case "removed":
                module.unlink()
            case "no manifest":
                manifest.unlink()
            case _:
                manifest.write_text(json.dumps({"files": []}))

        assert newest_built(tmp_path, "abc") is None

    def test_other_recipe_is_not_built(self, tmp_path: Path) -> None:
        """
        What another recipe built does not count.
        """
        publish(_product(tmp_path), tmp_path, "6.1", "2.3", "abc")

        assert newest_built(tmp_path, "abd") is None

    def test_failed_build_leaves_nothing(self, tmp_path: Path) -> None:
        """
        A build that fails leaves no folder behind, only the lock.
        """
        with pytest.raises(OSError, match="no space"), being_built(tmp_path) as work:
            (work / "half").write_bytes(b"x")
            raise OSError("no space")

        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


class TestSymvers:
    def test_names_and_kinds(self) -> None:
        """
        Every exported symbol is listed, those for GPL modules marked as such.
        """
        assert symvers(_kernel({"__ksymtab": ["kfree"], "__ksymtab_gpl": ["ktime_get", "put_pid"]})) == (
            "0x00000000\tkfree\tvmlinux\tEXPORT_SYMBOL\t\n"
            "0x00000000\tktime_get\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"
            "0x00000000\tput_pid\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"
        )

    @pytest.mark.parametrize("data", [b"", b"\x7fELF\x01" + bytes(80), b"#!/bin/sh\n"])
    def test_not_a_kernel(self, data: bytes) -> None:
        """
        A file that is no 64-bit ELF file is refused.
        """
        with pytest.raises(NoExportTables):
            symvers(data)


class TestArguments:
    def test_command_after_dashes(self) -> None:
        """
        What follows `--` is the command, its own options included.
        """
        parsed = arguments(["run", "--mem", "2G", "--", "pytest", "--timeout", "3", "--", "x"])

        assert (parsed.mem, parsed.timeout, parsed.command) == (2 << 30, None, ["pytest", "--timeout", "3", "--", "x"])

    @pytest.mark.parametrize("text", ["4", "G", "1.5G", "-1G", "4T"])
    def test_not_a_size(self, text: str) -> None:
        """
        A size without a whole number and one of K, M, G is refused.
        """
        with pytest.raises(argparse.ArgumentTypeError):
            size_bytes(text)


def _product(folder: Path) -> Path:
    product = folder / ".building-x" / "product"
    (product / "lib").mkdir(parents=True)
    (product / "lib/zfs.ko").write_bytes(b"module")
    (product / "linux.uml").write_bytes(b"kernel")
    return product


def _kernel(tables: dict[str, list[str]]) -> bytes:
    """
    A 64-bit ELF file with nothing but export tables.
    """
    address = 0x60000000
    strings = b"".join(name.encode() + b"\0" for names in tables.values() for name in names)
    contents = {"__ksymtab_strings": strings}
    for table, names in tables.items():
        contents[table] = b"".join(
            struct.pack("<QQQ", 1, address + strings.index(name.encode() + b"\0"), 0) for name in names
        )
    section_names = b"".join(name.encode() + b"\0" for name in (*contents, ".shstrtab"))
    contents[".shstrtab"] = section_names
    body, headers = b"", b""
    for name, content in contents.items():
        place = address if name == "__ksymtab_strings" else 0
        headers += struct.pack(
            "<IIQQQQIIQQ",
            section_names.index(name.encode() + b"\0"),
            1,
            0,
            place,
            64 + len(body),
            len(content),
            0,
            0,
            1,
            0,
        )
        body += content
    count = len(contents)
    start = b"\x7fELF\x02\x01\x01".ljust(0x28, b"\0") + struct.pack("<Q", 64 + len(body))
    return start.ljust(0x3A, b"\0") + struct.pack("<HHH", 64, count, count - 1) + body + headers
