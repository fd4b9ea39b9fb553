"""Files from elsewhere: downloaded once, kept in a folder, and compared with what first came."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

VARIABLE = "XAI_DATA_HOME"
TIMEOUT = 60.0
"""Seconds without a byte after which a download is given up."""


def folder_of(data_home: str | os.PathLike[str] | None) -> Path:
    """The folder of downloaded files: as given, as XAI_DATA_HOME says, or the platform's cache."""
    named = data_home if data_home is not None else os.environ.get(VARIABLE)
    try:
        return Path(named).expanduser() if named else _platform_cache() / "xai"
    except RuntimeError as error:
        error.add_note(_ELSEWHERE)
        raise


def _platform_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def read_url(url: str) -> bytes:
    """What lies at an address; an answer cut short is an error."""
    with urlopen(url, timeout=TIMEOUT) as response:
        content: bytes = response.read()
    return content


def obtain(
    sources: Mapping[str, str],
    *,
    data_home: str | os.PathLike[str] | None,
    redownload: bool,
    download: Callable[[str], bytes] = read_url,
) -> list[Path]:
    """Paths of files that are downloaded where the cache lacks them.

    A file's SHA-256 is written beside it (``name.sha256``, as sha256sum does) when it is first
    seen, and what is read or downloaded later must have the same. Files appear under their names
    only when they are complete.

    Parameters
    ----------
    sources : {file name: where to get it}
    data_home : folder
        None: what the environment variable XAI_DATA_HOME names, else ``xai`` in the platform's
        cache folder.
    redownload : bool
        Fetch anew what is there.
    download : address -> content

    Raises
    ------
    ConnectionError
        A file could not be downloaded; the message says which file to put where.
    ValueError
        A file is not the one that was first seen.
    """
    folder = folder_of(data_home)
    for file, url in sources.items():
        if (folder / file).exists() and not redownload:
            _compare((folder / file).read_bytes(), folder / file, _CHANGED)
            continue
        try:
            content = download(url)
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()  # it is an open answer, too
            raise ConnectionError(_by_hand(sources, folder, file, error)) from error
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _compare(content, folder / file, _OTHER)
            _write(content, folder / file)
        except OSError as error:  # it may be nobody's, or for reading only
            error.add_note(_ELSEWHERE)
            raise
    return [folder / file for file in sources]


_ELSEWHERE = f"Another folder is named by data_home=, or by the environment variable {VARIABLE}."
_CHANGED = (
    "was changed or damaged since. Fetch it again with redownload=True; if the change is meant, "
    "delete RECORD"
)
_OTHER = (
    "is what its source gives now: it has changed there. Nothing was replaced; to take the new "
    "file, delete RECORD and call again with redownload=True"
)


def _compare(content: bytes, path: Path, otherwise: str) -> None:
    """Hold a file's digest against the recorded one; record it where it is the first."""
    record = path.with_name(path.name + ".sha256")
    digest = hashlib.sha256(content).hexdigest()
    if not record.exists():
        if os.access(path.parent, os.W_OK):  # a folder that somebody shares may be for reading only
            _write(f"{digest}  {path.name}\n".encode(), record)
        return
    known = (record.read_text(errors="replace").split() or ["nothing"])[0]
    if digest != known:
        raise ValueError(
            f"{path.name} with SHA-256 {digest}, not {known} as when it was first seen, "
            f"{otherwise.replace('RECORD', str(record))}"
        )


def _write(content: bytes, path: Path) -> None:
    """Write a whole file or none: other processes never see a part of it."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # tempfile's only its owner reads
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _by_hand(sources: Mapping[str, str], folder: Path, file: str, error: Exception) -> str:
    """What to do without a network."""
    missing = [name for name in sources if not (folder / name).exists()]
    steps = "".join(f"\n  {sources[name]}  as  {folder / name}" for name in missing or [file])
    return (
        f"could not download {file}: {error}. Where there is no network, save by hand"
        f"{steps}\nand call again: what is there is not downloaded. {_ELSEWHERE}"
    )
