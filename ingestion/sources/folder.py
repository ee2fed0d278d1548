"""A folder of Markdown, MDX, HTML, text, PDF and Word files."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from ingestion.sources.base import NO_META, Fetched, NotRead, meta_bytes
from twofold.errors import InvalidInput, TooLarge, UpstreamError

MEDIA_TYPES = {
    "md": "text/markdown",
    "markdown": "text/markdown",
    "mdx": "text/mdx",
    "html": "text/html",
    "htm": "text/html",
    "txt": "text/plain",
    "text": "text/plain",
    "rst": "text/x-rst",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
_DOCUMENTS = frozenset(
    re.findall(
        r"\S+",
        """adoc asciidoc asc csv doc docm dot dotx epub eml ipynb key mediawiki mht mhtml msg
        numbers odp ods odt org pages pod ppt pptx ps rdoc rtf tex texinfo textile tsv wiki wpd
        xhtml xls xlsm xlsx xps""",
    )
)
"""Files that may hold text for readers and are not read: named, never left out silently."""
_SMALL = 65_536
"""Bytes; a larger file is read by `fetch` even where it is unchanged."""
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class _Told(NamedTuple):
    """What holds for every file of a folder, by its config."""

    max_bytes: int
    meta: Mapping[str, Any]
    meta_bytes: bytes


class File(NamedTuple):
    """A file below the folder. `external_id` is its POSIX path relative to the folder."""

    external_id: str
    path: str
    media_type: str
    told: _Told

    def same(self, digest: str) -> bool:
        """Returns whether `Fetched.digest` would be this one. False also where only `fetch` can
        say."""
        # Bare descriptors, no status: a sync that changes nothing is made of this call.
        try:
            descriptor = os.open(self.path, _READ)
        except OSError:
            return False
        try:
            raw = os.read(descriptor, _SMALL)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        if len(raw) >= _SMALL:
            return False
        found = sha256(raw)
        found.update(self.told.meta_bytes)
        return found.hexdigest() == digest

    def fetch(self) -> Fetched:
        """Reads it whole. Raises TooLarge over the cap, InvalidInput on a name of unknown
        coding."""
        if not self.external_id.isascii():
            _check_name(self.external_id)
        max_bytes = self.told.max_bytes
        descriptor = os.open(self.path, _READ)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidInput(f"{self.external_id} is not a regular file. Remove it.")
            if status.st_size > max_bytes:
                raise self._too_large(status.st_size)
            raw = os.read(descriptor, status.st_size + 1)
            while len(raw) < status.st_size and (more := os.read(descriptor, max_bytes)):
                raw += more
        finally:
            os.close(descriptor)
        if len(raw) > max_bytes:
            raise self._too_large(len(raw))
        return Fetched(raw, self.media_type, status.st_mtime, self.told.meta)

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(
            f"{self.external_id} is {size / 1e6:.1f} MB, over the limit of"
            f" {self.told.max_bytes / 1e6:g} MB. Split the file, or raise TWOFOLD_MAX_FILE_MB."
        )


class Unread(NamedTuple):
    """A document of a kind that is not read."""

    external_id: str

    def fetch(self) -> Fetched:
        """Raises NotRead saying so."""
        raise NotRead(not_read(self.external_id))


def not_read(name: str) -> str:
    """Returns why a file of this name is left out."""
    kind = name.rpartition(".")[2].lower() if "." in name else name
    return (
        f"Files of kind .{kind} are not read. Save it as one of:"
        f" {', '.join(f'.{each}' for each in MEDIA_TYPES)}."
    )


class Folder:
    """Files of known kinds below `path`, sorted.

    Hidden files and folders are left out, and so are symbolic links to folders and to anything
    outside `path`. `meta` is front matter of all files whose own does not say otherwise. Raises
    InvalidInput where `path` is not a folder that can be read.
    """

    kind = "folder"

    def __init__(
        self, name: str, path: Path, *, max_file_mb: float = 10, meta: Mapping[str, Any] = NO_META
    ) -> None:
        if not path.exists():
            raise InvalidInput(f"There is no folder at {path}. Check the path.")
        if not path.is_dir():
            raise InvalidInput(f"{path} is not a folder. Name the folder that holds the files.")
        self.name = name
        self.root = path.resolve()
        self._told = _Told(int(max_file_mb * 1e6), meta, meta_bytes(meta))

    @property
    def config(self) -> Mapping[str, Any]:
        return {**self._told.meta, "path": str(self.root)}

    def discover(self) -> Iterator[File | Unread]:
        """Raises UpstreamError naming a folder below that cannot be listed."""
        return iter(self._files(str(self.root), ""))

    def _files(self, folder: str, prefix: str) -> list[File | Unread]:
        found: list[File | Unread] = []
        for entry in _listing(folder):
            name = entry.name
            if name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                found += self._files(entry.path, f"{prefix}{name}/")
            elif media_type := MEDIA_TYPES.get(name.rpartition(".")[2].lower()):
                path = self._target(entry) if entry.is_symlink() else entry.path
                if path is not None:
                    found.append(File(prefix + name, path, media_type, self._told))
            elif name.rpartition(".")[2].lower() in _DOCUMENTS and entry.is_file():
                found.append(Unread(prefix + name))
        return found

    def _target(self, link: os.DirEntry[str]) -> str | None:
        target = Path(os.path.realpath(link.path))
        inside = target.is_relative_to(self.root) and target.is_file()
        return str(target) if inside else None


def _listing(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        # Without an error its documents would look deleted.
        raise UpstreamError(
            f"{folder} cannot be listed ({error.strerror}). Nothing was changed; make it readable"
            " and sync again."
        ) from error


def _check_name(external_id: str) -> None:
    try:
        external_id.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"The file name {external_id!r} is not valid UTF-8. Rename the file."
        ) from error
