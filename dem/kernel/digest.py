"""The digest of the native kernel's sources. It needs the standard library alone: the build uses it, too."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "source"
SUFFIXES = {".cpp", ".h", ".toml"}
"""Other files, such as those of editors, do not count."""


def source_digest(folder: Path = SOURCE) -> str:
    """Return 16 hex digits of the SHA-256 of the sources in a folder: their names and their bytes.

    Parameters
    ----------
    folder : Path
        The sources of the native kernel. The flags of the compiler are one of its files.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def sealed(content: bytes) -> bytes:
    """Return a library's content with its own SHA-256 at the end, so that a damaged file is found before it is loaded.

    Loading a truncated library would end the process. On macOS the system checks signatures, and nothing may follow.
    """
    return content if sys.platform == "darwin" else content + hashlib.sha256(content).hexdigest().encode()


def is_whole(content: bytes) -> bool:
    """Whether the content of a library is what `sealed` returned."""
    return sys.platform == "darwin" or hashlib.sha256(content[:-64]).hexdigest().encode() == content[-64:]
