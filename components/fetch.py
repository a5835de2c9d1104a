"""Public data sets by name, fetched once; or a path of one's own, taken as it is.

A broken download goes on where it stopped.  Where no checksum is known beforehand, that of the
first download is kept beside the file and every later use is checked against it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pooch
from filelock import FileLock, Timeout

from components.errors import InputError
from components.fingerprint import sha256_of
from components.progress import progress


@dataclass(frozen=True)
class Remote:
    """A file on the internet; ``sha256`` is None where nobody has published one."""

    url: str
    file: str
    sha256: str | None = None


CATALOGUE: Mapping[str, Remote] = {
    "mini_speech_commands": Remote(
        "http://storage.googleapis.com/download.tensorflow.org/data/mini_speech_commands.zip",
        "mini_speech_commands.zip",
    ),
    "jena_climate_2009_2016": Remote(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/jena_climate_2009_2016.csv.zip",
        "jena_climate_2009_2016.csv.zip",
    ),
}

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)  # seconds, of each read and not of the whole
_ATTEMPTS = 5  # in a row that bring nothing
_LARGEST = 8 << 30  # bytes
_MEGABYTE = 1_000_000
_LOCK_SECONDS = 3600


def fetch(
    source: str,
    folder: Path | None = None,
    catalogue: Mapping[str, Remote] = CATALOGUE,
) -> Path:
    """The path of a data set.

    Args:
        source: a name in the catalogue, or a path, which is returned as it is.
        folder: where fetched files are kept; the user's cache when left out.
        catalogue: what can be fetched by name.

    Raises:
        InputError: neither a name nor a path; no connection; or not the file it was.
    """
    if source not in catalogue:
        path = Path(source)
        if not path.exists():
            names = ", ".join(catalogue)
            raise InputError(f"{source}: no such file or folder, nor a name to fetch ({names})")
        return path
    remote = catalogue[source]
    folder = folder or Path(pooch.os_cache("ml4iot"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{remote.file}.lock", timeout=_LOCK_SECONDS):
            return _fetch(remote, folder)
    except Timeout:
        raise InputError(f"{folder / remote.file}: another process is fetching it") from None
    except OSError as error:
        raise InputError(
            f"{folder / remote.file}: cannot be written ({error.strerror}); name another folder"
        ) from None


def _fetch(remote: Remote, folder: Path) -> Path:
    record = folder / f"{remote.file}.sha256"
    expected = remote.sha256 or (record.read_text().split()[0] if record.exists() else None)
    # pooch tells the whole world about a checksum it was not given; we keep it instead.
    pooch.get_logger().setLevel("ERROR")
    try:
        path = Path(
            pooch.retrieve(
                remote.url,
                known_hash=expected and f"sha256:{expected}",
                fname=remote.file,
                path=folder,
                downloader=_Resuming(folder / f"{remote.file}.part"),
            )
        )
    except httpx.HTTPError as error:
        raise InputError(
            f"{remote.url}: cannot be fetched ({error or type(error).__name__}); repeat, what came "
            "so far is kept, or name a local path"
        ) from None
    except InputError:
        raise
    except ValueError:
        pinned = "the pinned checksum" if remote.sha256 else f"the checksum kept in {record}"
        raise InputError(
            f"{remote.url}: what came does not have {pinned}; fetch it again, or if the new file "
            "is right, remove the checksum"
        ) from None
    if expected is None:
        aside = record.with_suffix(".part")
        aside.write_text(f"{sha256_of(path)}  {remote.file}\n")
        os.replace(aside, record)
    return path


class _Resuming:
    """A downloader for pooch that continues what an earlier one left in ``part``."""

    def __init__(self, part: Path) -> None:
        self._part = part
        # The server's name for the version of the file the part belongs to.
        self._validator = part.with_name(part.name + ".version")

    def __call__(self, url: str, output_file: str, _pooch: object, **_: object) -> None:
        fruitless = 0
        with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
            while True:
                before = self._size()
                try:
                    self._continue(client, url)
                    break
                except (httpx.TransportError, httpx.HTTPStatusError) as error:
                    if (
                        isinstance(error, httpx.HTTPStatusError)
                        and not error.response.is_server_error
                    ):
                        raise
                    fruitless = 0 if self._size() > before else fruitless + 1
                    if fruitless == _ATTEMPTS:
                        raise
                    time.sleep(0.5 * fruitless)
        os.replace(self._part, output_file)
        self._validator.unlink(missing_ok=True)

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _continue(self, client: httpx.Client, url: str) -> None:
        done = self._size() if self._validator.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if done:
            headers |= {"Range": f"bytes={done}-", "If-Range": self._validator.read_text()}
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                # The part is as long as the file or longer: only a fresh start can tell.
                self._part.unlink()
                raise httpx.RemoteProtocolError("the kept part is too long")
            response.raise_for_status()
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                done = 0
            length = int(response.headers.get("Content-Length", 0))
            if done + length > _LARGEST:
                raise InputError(f"{url}: larger than {_LARGEST >> 30} GiB; name a local path")
            self._note_version(response)
            self._receive(response, done, done + length)

    def _note_version(self, response: httpx.Response) -> None:
        tag = response.headers.get("ETag", "")
        # A weak tag ("W/…") names no exact bytes, so If-Range may not use it (RFC 9110, 13.1.5).
        version = response.headers.get("Last-Modified") if tag.startswith("W/") or not tag else tag
        if version:
            self._validator.write_text(version)
        else:
            self._validator.unlink(missing_ok=True)

    def _receive(self, response: httpx.Response, done: int, total: int) -> None:
        title = f"fetching {self._part.stem} (MB)"
        with (
            open(self._part, "r+b" if done else "wb") as file,
            progress(title, max(1, total // _MEGABYTE), done // _MEGABYTE) as bar,
        ):
            file.seek(done)
            for block in response.iter_raw():  # as it comes: what was held back would be lost
                file.write(block)
                shown = done // _MEGABYTE
                done += len(block)
                if done > _LARGEST:
                    raise InputError(f"{response.url}: larger than {_LARGEST >> 30} GiB")
                if done // _MEGABYTE > shown:
                    bar.advance(by=done // _MEGABYTE - shown)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def main(arguments: list[str] | None = None) -> int:
    """``python -m components.fetch NAME``; exit status 0, or 2 with one line that says why."""
    parser = argparse.ArgumentParser(
        prog="python -m components.fetch", description="Fetches a public data set."
    )
    parser.add_argument("name", choices=sorted(CATALOGUE))
    parser.add_argument("--folder", type=Path, help="where to keep it; default: the user's cache")
    chosen = parser.parse_args(arguments)
    try:
        print(fetch(chosen.name, chosen.folder))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
