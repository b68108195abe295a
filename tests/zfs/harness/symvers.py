"""
The `Module.symvers` of a stripped x86-64 Linux kernel, read from the kernel's own export tables.

Pure. A distribution's User Mode Linux kernel comes without one, and modules built elsewhere need it: `configure` of ZFS
asks it which symbols there are, and which of them are for GPL modules only.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

# An entry of __ksymtab without relative references (include/linux/export.h): pointers to value, name and namespace.
_ENTRY = struct.Struct("<QQQ")
_TABLES = (("__ksymtab", "EXPORT_SYMBOL"), ("__ksymtab_gpl", "EXPORT_SYMBOL_GPL"))


class NoExportTables(ValueError):
    """
    The file is not a 64-bit Linux kernel with export tables. Use the kernel of the package, unchanged.
    """


class _Section(NamedTuple):
    name_offset: int
    kind: int
    flags: int
    address: int
    offset: int
    size_bytes: int


def symvers(kernel: bytes) -> str:
    """
    One line per exported symbol: checksum (0: the kernel has no MODVERSIONS), name, `vmlinux`, kind of export.

    :param kernel: the whole ELF file.
    :raises NoExportTables: if the bytes hold no such tables.
    """
    sections = _sections(kernel)
    missing = [name for name in ("__ksymtab_strings", *(table for table, _ in _TABLES)) if name not in sections]
    if missing:
        raise NoExportTables(f"the kernel has no section {', '.join(missing)}")
    strings = sections["__ksymtab_strings"]
    lines: list[str] = []
    for table, kind in _TABLES:
        section = sections[table]
        for _, name_address, _ in _ENTRY.iter_unpack(kernel[section.offset : section.offset + section.size_bytes]):
            name = _text_at(kernel, strings.offset + name_address - strings.address)
            lines.append(f"0x00000000\t{name}\tvmlinux\t{kind}\t\n")
    return "".join(lines)


def _sections(kernel: bytes) -> dict[str, _Section]:
    if kernel[:5] != b"\x7fELF\x02":
        raise NoExportTables("the kernel is not a 64-bit ELF file")
    (table_offset,) = struct.unpack_from("<Q", kernel, 0x28)
    entry_bytes, count, names_index = struct.unpack_from("<HHH", kernel, 0x3A)
    found = [
        _Section(*struct.unpack_from("<IIQQQQ", kernel, table_offset + index * entry_bytes)) for index in range(count)
    ]
    names_offset = found[names_index].offset
    return {_text_at(kernel, names_offset + section.name_offset): section for section in found}


def _text_at(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode("ascii")
