"""The bundle: one zip (stored) of ``manifest.json`` and the model file as it was pushed.

Readers take nothing on trust: every size is bounded before it is allocated, only the two files
may be there, and the model must hash to what the manifest says, packed and unpacked.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_client.bundle.errors import (
    BundleDamagedError,
    BundleError,
    BundleHashError,
    BundleMembersError,
    BundleTooLargeError,
)
from edge_client.bundle.manifest import MAX_MODEL_BYTES, MODEL_FILES, Manifest, ModelFile
from edge_client.bundle.parse import MAX_MANIFEST_BYTES, parse_manifest
from edge_client.files import check_size, read_input, write_whole

MANIFEST_FILE = "manifest.json"
MAX_BUNDLE_BYTES = MAX_MANIFEST_BYTES + MAX_MODEL_BYTES + 2**20

# What zipfile and what lies below it raise on bytes that only look like a zip.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Bundle:
    """A bundle that passed every check."""

    manifest: Manifest
    model: bytes  # the TFLite model, unpacked


def read_bundle(source: Path | str | bytes, name: str | None = None) -> Bundle:
    """Reads and checks a bundle.

    Args:
        source: a path, or the bytes of the file.
        name: what error messages call it; the path when left out.

    Raises:
        BundleError: one of its subclasses, with one line that says what and why.
    """
    name = name or ("bundle" if isinstance(source, bytes) else str(source))
    if isinstance(source, bytes):
        data = source
    else:
        data = read_input(Path(source), MAX_BUNDLE_BYTES, name, BundleDamagedError)
    check_size(len(data), MAX_BUNDLE_BYTES, name, BundleTooLargeError)
    if not data.startswith(b"PK\x03\x04"):
        raise BundleDamagedError(f"{name}: not a bundle")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_members(members, len(data), name)
            manifest = parse_manifest(_member(archive, members[0], name), name)
            if members[1].filename != manifest.model.file:
                raise BundleMembersError(
                    f"{name}: {members[1].filename[:60]!r} in it where its manifest names "
                    f"{manifest.model.file!r}"
                )
            packed = _member(archive, members[1], name)
    except BundleError:
        raise
    except _ZIP_ERRORS as error:
        raise BundleDamagedError(
            f"{name}: truncated or damaged ({str(error)[:80]}); fetch it again"
        ) from None
    return Bundle(manifest, unpack_model(packed, manifest.model, name))


def write_bundle(path: Path | str, manifest: Manifest, model_bytes: bytes) -> None:
    """Writes a bundle: whole or not at all, and the same bytes for the same content.

    Args:
        path: the file to make or replace.
        manifest: whose ``model`` describes ``model_bytes``; see :func:`pack_model`.
        model_bytes: the model file as it is pushed, which is packed when the manifest says so.

    Raises:
        BundleError: no reader would take the result.
        OSError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    path = Path(path)
    write_whole(path, bundle_bytes(manifest, model_bytes, path.name))


def bundle_bytes(manifest: Manifest, model_bytes: bytes, name: str) -> bytes:
    """The bytes of a bundle, after a reader has taken them; raises :class:`BundleError`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for file, content in (
            (MANIFEST_FILE, manifest.serialise()),
            (manifest.model.file, model_bytes),
        ):
            member = zipfile.ZipInfo(file)  # of 1980: no time stamp makes two runs differ
            member.create_system = 3
            member.external_attr = 0o100644 << 16
            archive.writestr(member, content)
    data = buffer.getvalue()
    read_bundle(data, name)
    return data


def pack_model(model: bytes, compression: Literal["none", "zlib"]) -> tuple[ModelFile, bytes]:
    """A TFLite model as it goes into a bundle: its entry in the manifest, and the file's bytes."""
    packed = zlib.compress(model, 9) if compression == "zlib" else model
    entry = ModelFile(
        file=MODEL_FILES[compression],
        compression=compression,
        bytes=len(packed),
        sha256=hashlib.sha256(packed).hexdigest(),
        raw_bytes=len(model),
        raw_sha256=hashlib.sha256(model).hexdigest(),
    )
    return entry, packed


def unpack_model(packed: bytes, entry: ModelFile, name: str) -> bytes:
    """The TFLite model out of the file of a bundle.

    Raises:
        BundleHashError: packed or unpacked, it is not what ``entry`` describes.
        BundleTooLargeError: it unpacks to more than ``entry`` says.
        BundleDamagedError: it does not unpack.
    """
    if len(packed) != entry.bytes or hashlib.sha256(packed).hexdigest() != entry.sha256:
        raise BundleHashError(f"{name}: {entry.file} is not the file its manifest describes")
    model = packed
    if entry.compression == "zlib":
        unpacking = zlib.decompressobj()
        try:
            model = unpacking.decompress(packed, entry.raw_bytes + 1)
        except zlib.error as error:
            raise BundleDamagedError(f"{name}: {entry.file} does not unpack ({error})") from None
        if len(model) > entry.raw_bytes:
            raise BundleTooLargeError(
                f"{name}: {entry.file} unpacks to more than the {entry.raw_bytes} bytes its "
                "manifest says"
            )
        if not unpacking.eof or unpacking.unused_data:
            raise BundleDamagedError(f"{name}: {entry.file} is not one whole zlib stream")
    if len(model) != entry.raw_bytes or hashlib.sha256(model).hexdigest() != entry.raw_sha256:
        raise BundleHashError(f"{name}: the unpacked model is not the one its manifest describes")
    return model


def _check_members(members: list[zipfile.ZipInfo], size: int, name: str) -> None:
    """Two stored files, and not a byte beside them."""
    names = [member.filename for member in members]
    if len(names) != 2 or names[0] != MANIFEST_FILE or names[1] not in MODEL_FILES.values():
        listed = ", ".join(repr(n[:60]) for n in names[:5])
        raise BundleMembersError(
            f"{name}: holds {listed or 'nothing'}; {MANIFEST_FILE!r} and one model are wanted"
        )
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise BundleMembersError(f"{name}: {member.filename} is compressed or encrypted")
        limit = MAX_MANIFEST_BYTES if member.filename == MANIFEST_FILE else MAX_MODEL_BYTES
        if member.file_size > limit:
            raise BundleTooLargeError(
                f"{name}: {member.filename} has {member.file_size} bytes; {limit} are allowed"
            )
    headers = 22 + sum(30 + 46 + 2 * len(n) for n in names)  # APPNOTE.TXT 4.3.7, 4.3.12, 4.3.16
    if size != headers + sum(member.file_size for member in members):
        raise BundleMembersError(f"{name}: more in it than its two files; push the model again")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    with archive.open(member) as file:
        data = file.read(member.file_size + 1)
    if len(data) != member.file_size:
        raise BundleDamagedError(f"{name}: {member.filename} is cut short; fetch it again")
    return data
