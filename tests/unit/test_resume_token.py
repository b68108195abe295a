"""
Reading ZFS's resume tokens.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrsistent import pvector

from flocker_agent.storage.resume_token import ResumeToken, decoded, fletcher4
from flocker_py.model import Guid
from flocker_py.storage import ResumeRefused

# Made by ZFS 2.3.2; `zfs send -nvt` said of it what TOKEN_MEANS says.
TOKEN = (
    "1-f3417678d-120-789c636064000310a500c4ec50360710e72765a52697303070439460caa7a515a796806478e0f26c48f2499525a9c5403aa3"
    "6d1e56fd25f9e9a599290c0c4f2f65773dbb1e16158124cf0996cf4bcc4d656028d04fcbc94fce4e2dd23784025d306102222c605c1870802a8e"
    "2fa8d44d04db2b01b50fe6cfd4dca4d494fc6cb07bb891c493f3730b8a528b8b8152700000de482b14"
)
TOKEN_MEANS = ResumeToken(
    to_guid=Guid(0x5A56D7E68A6BD2E5),
    to_name="p/flocker/11111111-1111-4111-8111-111111111111@flocker_py-a",
    resume_object=0xB,
    resume_offset_bytes=0xC0000,
    received_bytes=0x9E8668,
    flags=pvector(["embedded_data", "compress"]),
)

FLAG_NAMES = {"large_blocks": "largeblockok", "embedded_data": "embedok", "compress": "compressok", "raw": "rawok"}

# A redaction list, of a type that a token of ours never has; 16 is an array of numbers.
UNKNOWN_NATIVE = struct.pack("<ihhii", 16 + 16 + 8, 13, 0, 1, 16) + b"redact_snaps\0\0\0\0" + bytes(8)
UNKNOWN_XDR = struct.pack(">iii", 36, 0, 12) + b"redact_snaps" + struct.pack(">iiI", 16, 0, 0)

Pairs = dict[str, int | str | bool]

_guids = st.integers(min_value=0, max_value=(1 << 64) - 1)
tokens = st.builds(
    ResumeToken,
    to_guid=_guids,
    from_guid=st.none() | _guids,
    to_name=st.text(alphabet="abc/@-_.", min_size=1, max_size=60),
    resume_object=_guids,
    resume_offset_bytes=_guids,
    received_bytes=_guids,
    flags=st.lists(st.sampled_from(list(FLAG_NAMES)), unique=True).map(
        lambda chosen: pvector(flag for flag in FLAG_NAMES if flag in chosen)
    ),
)


def pairs(token: ResumeToken) -> Pairs:
    """
    The names and values in a token, as the kernel names them.
    """
    found: Pairs = {
        "object": token.resume_object,
        "offset": token.resume_offset_bytes,
        "bytes": token.received_bytes,
        "toguid": token.to_guid,
        "toname": token.to_name,
    }
    if token.from_guid is not None:
        found["fromguid"] = token.from_guid
    return found | {FLAG_NAMES[flag]: True for flag in token.flags}


def padded(content: bytes, boundary: int) -> bytes:
    """
    Content filled up with zeros to a multiple of some bytes.
    """
    return content + bytes(-len(content) % boundary)


def native(found: Pairs, order: str = "<", *, flags_without_value: bool = True) -> bytes:
    """
    Names and values packed as the kernel's memory has them, least or most significant byte first.
    """
    packed = bytes([0, order == "<", 0, 0]) + struct.pack(f"{order}iI", 0, 1)
    for name, content in found.items():
        encoded_name = name.encode() + b"\0"
        if isinstance(content, bool):
            kind, elements, body = (1, 0, b"") if flags_without_value else (21, 1, struct.pack(f"{order}i", content))
        elif isinstance(content, int):
            kind, elements, body = 8, 1, struct.pack(f"{order}Q", content)
        else:
            kind, elements, body = 9, 1, content.encode() + b"\0"
        rest = padded(bytes(16) + encoded_name, 8)[16:] + padded(body, 8)
        packed += struct.pack(f"{order}ihhii", 16 + len(rest), len(encoded_name), 0, elements, kind) + rest
    return packed + bytes(8)


def xdr(found: Pairs, *, flags_without_value: bool = True) -> bytes:
    """
    Names and values packed for exchange between unlike machines.
    """
    packed = bytes([1, 1, 0, 0]) + struct.pack(">iI", 0, 1)
    for name, content in found.items():
        if isinstance(content, bool):
            kind, elements, body = (1, 0, b"") if flags_without_value else (21, 1, struct.pack(">i", content))
        elif isinstance(content, int):
            kind, elements, body = 8, 1, struct.pack(">Q", content)
        else:
            kind, elements, body = 9, 1, struct.pack(">i", len(content)) + padded(content.encode(), 4)
        rest = struct.pack(">i", len(name)) + padded(name.encode(), 4) + struct.pack(">ii", kind, elements) + body
        packed += struct.pack(">ii", 8 + len(rest), 0) + rest
    return packed + bytes(8)


def token_of(packed: bytes) -> str:
    """
    The token that carries a packed list.
    """
    compressed = zlib.compress(packed)
    return f"1-{fletcher4(compressed):x}-{len(packed):x}-{compressed.hex()}"


class TestDecoded:
    def test_real_token(self) -> None:
        """
        A token that ZFS made means what ZFS says it means.
        """
        assert decoded(TOKEN) == TOKEN_MEANS

    @given(token=tokens)
    def test_native(self, token: ResumeToken) -> None:
        """
        Tokens of little-endian kernels are read.
        """
        assert decoded(token_of(native(pairs(token)))) == token

    @given(token=tokens)
    def test_big_endian(self, token: ResumeToken) -> None:
        """
        Tokens of big-endian kernels are read.
        """
        assert decoded(token_of(native(pairs(token), ">"))) == token

    @given(token=tokens)
    def test_xdr(self, token: ResumeToken) -> None:
        """
        Tokens in the encoding for exchange are read.
        """
        assert decoded(token_of(xdr(pairs(token)))) == token

    @pytest.mark.parametrize("pack", [native, xdr])
    def test_flags_with_values(self, pack: Callable[..., bytes]) -> None:
        """
        A flag counts if it is true, whether or not it says so.
        """
        found = pairs(TOKEN_MEANS) | {"rawok": False}

        assert decoded(token_of(pack(found, flags_without_value=False))) == TOKEN_MEANS

    @pytest.mark.parametrize(
        "packed",
        [
            native(pairs(TOKEN_MEANS))[:-8] + UNKNOWN_NATIVE + bytes(8),
            xdr(pairs(TOKEN_MEANS))[:-8] + UNKNOWN_XDR + bytes(8),
        ],
        ids=["native", "xdr"],
    )
    def test_unknown_type(self, packed: bytes) -> None:
        """
        What a later release adds to a token is passed over.
        """
        assert decoded(token_of(packed)) == TOKEN_MEANS

    @pytest.mark.parametrize(
        "packed",
        [
            bytes([2, 1, 0, 0]) + native(pairs(TOKEN_MEANS))[4:],
            native(pairs(TOKEN_MEANS))[:12] + struct.pack("<ihhii", 8, 9, 0, 1, 8) + bytes(20),
            xdr(pairs(TOKEN_MEANS))[:12] + struct.pack(">iii", 4, 0, 9) + bytes(20),
            native(pairs(TOKEN_MEANS) | {"toguid": "name"}),
            native({"toguid": 1}),
        ],
        ids=["encoding", "size", "size in xdr", "a name for a number", "little"],
    )
    def test_impossible(self, packed: bytes) -> None:
        """
        What can't be a token's content is refused.
        """
        with pytest.raises(ResumeRefused):
            decoded(token_of(packed))

    def test_version(self) -> None:
        """
        A token of a version that isn't known is refused.
        """
        with pytest.raises(ResumeRefused, match="version 2"):
            decoded("2" + TOKEN[1:])

    @given(
        position=st.integers(min_value=0, max_value=len(TOKEN) - 1), character=st.sampled_from("0123456789abcdef-g\n")
    )
    def test_damaged(self, position: int, character: str) -> None:
        """
        A token of which one character is wrong is refused, or says the same.
        """
        damaged = TOKEN[:position] + character + TOKEN[position + 1 :]
        try:
            found = decoded(damaged)
        except ResumeRefused:
            return

        assert found == TOKEN_MEANS

    @given(text=st.text())
    def test_any_text(self, text: str) -> None:
        """
        What is no token is refused.
        """
        with pytest.raises(ResumeRefused):
            decoded(text)

    @given(packed=st.binary(max_size=200))
    def test_any_content(self, packed: bytes) -> None:
        """
        What is packed right but says nothing is refused.
        """
        with pytest.raises(ResumeRefused):
            decoded(token_of(packed))

    @pytest.mark.parametrize(("size", "complaint"), [("100", "size is wrong"), ("4000000", "too large")])
    def test_bomb(self, size: str, complaint: str) -> None:
        """
        A token that would unpack to very much is refused, whether it says so or not.
        """
        compressed = zlib.compress(bytes(1 << 26))

        with pytest.raises(ResumeRefused, match=complaint):
            decoded(f"1-{fletcher4(compressed):x}-{size}-{compressed.hex()}")
