"""Blobs: bytes too large for a message, stored elsewhere and referred to by a small payload (PROTOCOL.md section 5.5)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentnet._completion import completion
from agentnet._native import Blobs, Node
from agentnet._coerce import as_mapping, as_object
from agentnet.errors import BlobError

BLOB_REF_TYPE = "blob_ref"


@dataclass(slots=True)
class BlobRef:
    """A reference to a blob."""

    blob_id: str
    storage: str = "local_fs"
    filename: str | None = None
    mime_type: str = "application/octet-stream"
    size_bytes: int = 0
    sha256: str | None = None
    created_at: str | None = None
    metadata: dict[str, Any] | None = None
    text: str | None = None

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> BlobRef:
        """Reads a reference from the payload of a message. Raises ``ValueError`` for another payload."""
        return cls.from_dict(payload)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BlobRef:
        """Reads a reference from the payload of a message. Raises ``ValueError`` for another payload."""
        blob_id = str(data.get("blob_id") or "").strip()
        if str(data.get("type") or "").strip().lower() != BLOB_REF_TYPE or not blob_id:
            raise ValueError("the payload is no blob reference")
        size: Any = data.get("size_bytes", data.get("size"))
        metadata = as_object(data.get("metadata"))

        def text(name: str) -> str | None:
            return str(data.get(name) or "").strip() or None

        return cls(
            blob_id=blob_id,
            storage=text("storage") or "local_fs",
            filename=text("filename") or text("name"),
            mime_type=text("mime_type") or "application/octet-stream",
            size_bytes=int(size or 0),
            sha256=text("sha256"),
            created_at=text("created_at"),
            metadata=metadata or None,
            text=text("text"),
        )

    def to_payload(self) -> dict[str, Any]:
        """The payload that refers to the blob, absent members left out."""
        payload: dict[str, Any] = {
            "type": BLOB_REF_TYPE,
            "blob_id": self.blob_id,
            "storage": self.storage,
            "mime_type": self.mime_type,
            "size_bytes": self.size_bytes,
        }
        for name in ("filename", "sha256", "created_at", "metadata", "text"):
            value = getattr(self, name)
            if value:
                payload[name] = value
        return payload

    to_dict = to_payload


Blob = BlobRef | Mapping[str, Any] | str
"""A blob by its reference, by the payload that refers to it, or by its id."""


Progress = Callable[[int, int | None], object]
"""A function of the bytes that are done and the total."""


def _key(blob: Blob) -> str | dict[str, Any]:
    if isinstance(blob, BlobRef):
        return blob.to_payload()
    return blob if isinstance(blob, str) else dict(blob)


def blob_payload(blob: BlobRef | Mapping[str, Any]) -> dict[str, Any]:
    """The payload that refers to a blob, from the reference or from such a payload."""
    return blob.to_payload() if isinstance(blob, BlobRef) else dict(blob)


class BlobStore:
    """A node's blobs. Every call is awaited and does not block the event loop.

    Raises ``BlobError``, for a missing blob ``BlobNotFoundError``. ``progress`` is called on the event loop before the first
    piece and after each piece, with the bytes that are done and the total (None if it is unknown).
    """

    def __init__(self, node: Node) -> None:
        self._native = Blobs.of(node)

    async def put_bytes(
        self,
        data: bytes,
        *,
        filename: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> BlobRef:
        """Stores bytes."""
        stored = self._native.put(False, data, None, filename, mime_type, metadata, progress)
        payload = await completion(stored)
        return BlobRef.from_dict(payload)

    async def put_file(
        self,
        path: str | os.PathLike[str],
        *,
        filename: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> BlobRef:
        """Stores a file of any size, by default under its own name."""
        stored = self._native.put(False, None, os.fspath(path), filename, mime_type, metadata, progress)
        payload = await completion(stored)
        return BlobRef.from_dict(payload)

    async def get_bytes(self, blob: Blob, *, progress: Progress | None = None) -> bytes:
        """A blob's bytes, checked against its hash."""
        return await completion(self._native.get_bytes(False, _key(blob), progress))

    async def get_text(self, blob: Blob, encoding: str = "utf-8") -> str:
        """A blob's text."""
        return decoded(await self.get_bytes(blob), encoding)

    async def get_to_file(
        self, blob: Blob, path: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> BlobRef:
        """Writes a blob to a file, which appears when the blob is complete and checked."""
        payload = await completion(self._native.get_to_file(False, _key(blob), os.fspath(path), progress))
        return BlobRef.from_dict(payload)

    async def head(self, blob: Blob) -> BlobRef | None:
        """The reference of a blob; None if the store does not have the blob."""
        found = await completion(self._native.head(False, _key(blob)))
        return None if found is None else BlobRef.from_dict(found)

    async def delete(self, blob: Blob) -> bool:
        """Deletes a blob; False if the store did not have it."""
        return await completion(self._native.delete(False, _key(blob)))


def decoded(data: bytes, encoding: str) -> str:
    """A blob's text."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise BlobError(f"the blob is no text in {encoding}: {error}") from error


class LocalBlobStore:
    """Blobs in a directory. Its calls are not awaited: they block the event loop."""

    def __init__(self, base_dir: str | os.PathLike[str] | None = None) -> None:
        """``base_dir``: by default ``AGENTNET_BLOB_DIR``, else ``.agentnet_blobs``."""
        directory = os.environ.get("AGENTNET_BLOB_DIR", "").strip() or ".agentnet_blobs" if base_dir is None else base_dir
        self.base_dir = Path(directory)
        self._native = Blobs.local(os.fspath(directory))

    @classmethod
    def _of(cls, node: Node) -> LocalBlobStore:
        store = cls.__new__(cls)
        store._native = Blobs.of(node)
        return store

    def put_bytes(
        self,
        data: bytes,
        *,
        filename: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> BlobRef:
        """Stores bytes."""
        return BlobRef.from_dict(self._native.put(True, bytes(data), None, filename, mime_type, metadata))

    def put_file(
        self,
        path: str | os.PathLike[str],
        *,
        filename: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> BlobRef:
        """Stores a file, by default under its own name."""
        return BlobRef.from_dict(self._native.put(True, None, os.fspath(path), filename, mime_type, metadata))

    def get_bytes(self, blob: Blob) -> bytes:
        """A blob's bytes, checked against its hash. Raises ``BlobNotFoundError``, a ``FileNotFoundError``."""
        return self._native.get_bytes(True, _key(blob))

    def get_text(self, blob: Blob, encoding: str = "utf-8") -> str:
        """A blob's text."""
        return decoded(self.get_bytes(blob), encoding)

    def head(self, blob: Blob) -> BlobRef | None:
        """The reference of a blob; None if the store does not have the blob."""
        found = self._native.head(True, _key(blob))
        return None if found is None else BlobRef.from_dict(found)

    def delete(self, blob: Blob) -> bool:
        """Deletes a blob; False if the store did not have it."""
        return self._native.delete(True, _key(blob))


class BlobMethods:
    """Blob calls that are not awaited: they block the event loop until the blob is stored or read. Part of ``AgentSDK``
    and ``AgentWrapper``."""

    _blobs: LocalBlobStore

    def _keep_blobs(self, node: Node) -> None:
        self._blobs = LocalBlobStore._of(node)  # pyright: ignore[reportPrivateUsage]

    def put_blob_bytes(
        self,
        data: bytes,
        *,
        filename: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> BlobRef:
        """Stores bytes."""
        return self._blobs.put_bytes(data, filename=filename, mime_type=mime_type, metadata=metadata)

    def put_blob_file(
        self,
        path: str | os.PathLike[str],
        *,
        filename: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> BlobRef:
        """Stores a file, by default under its own name."""
        return self._blobs.put_file(path, filename=filename, mime_type=mime_type, metadata=metadata)

    def get_blob_bytes(self, blob: Blob) -> bytes:
        """A blob's bytes, checked against its hash."""
        return self._blobs.get_bytes(blob)

    def get_blob_text(self, blob: Blob, encoding: str = "utf-8") -> str:
        """A blob's text."""
        return self._blobs.get_text(blob, encoding)

    def head_blob(self, blob: Blob) -> BlobRef | None:
        """The reference of a blob; None if the store does not have the blob."""
        return self._blobs.head(blob)

    def delete_blob(self, blob: Blob) -> bool:
        """Deletes a blob; False if the store did not have it."""
        return self._blobs.delete(blob)


def is_blob_ref(payload: Any) -> bool:
    """Whether a payload refers to a blob."""
    return parse_blob_ref(payload) is not None


def parse_blob_ref(payload: Any) -> BlobRef | None:
    """The reference in a payload; None for another payload."""
    if isinstance(payload, BlobRef):
        return payload
    given = as_mapping(payload)
    if given is None:
        return None
    try:
        return BlobRef.from_dict(given)
    except (TypeError, ValueError, OverflowError):
        return None
