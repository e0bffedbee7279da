"""What the high-level SDK does with blobs on the caller's thread."""

from __future__ import annotations

import os
from typing import Any

from agentnet.blobs import Blob, BlobCalls, BlobRef, BlobStore
from agentnet.node import AgentNode


class BlobMethods:
    """Blobs, stored and read. Part of ``AgentSDK``."""

    _node: AgentNode
    _blobs: BlobCalls

    @property
    def blobs(self) -> BlobStore:
        """The same calls as those below, to be awaited: they do not hold up the event loop."""
        return self._node.blobs

    def put_blob_bytes(
        self,
        data: bytes,
        *,
        filename: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> BlobRef:
        """Stores bytes."""
        return self._blobs.put_blob_bytes(data, filename=filename, mime_type=mime_type, metadata=metadata)

    def put_blob_file(
        self,
        path: str | os.PathLike[str],
        *,
        filename: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> BlobRef:
        """Stores a file under its own name unless told otherwise."""
        return self._blobs.put_blob_file(path, filename=filename, mime_type=mime_type, metadata=metadata)

    def get_blob_bytes(self, blob: Blob) -> bytes:
        """A blob's bytes, checked against its hash."""
        return self._blobs.get_blob_bytes(blob)

    def get_blob_text(self, blob: Blob) -> str:
        """A blob of UTF-8 text."""
        return self._blobs.get_blob_text(blob)

    def head_blob(self, blob: Blob) -> BlobRef | None:
        """What the store knows of a blob; None if it has none."""
        return self._blobs.head_blob(blob)

    def delete_blob(self, blob: Blob) -> bool:
        """Removes a blob; False if there was none."""
        return self._blobs.delete_blob(blob)
