"""A run kept on shared storage: what Ray Train and Tune accept as `storage_path` (a mounted folder, s3://, gs://).

The run folder on this machine stays the working copy: figures, demonstrations and TensorBoard write into it all the
time. After each checkpoint what is new in it is copied, and last of all `checkpoints/latest.json`, in which a reader
finds the newest complete checkpoint. Storage of objects knows no renaming of folders, so it is this order that makes a
checkpoint there complete or invisible.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pyarrow import ArrowException, fs

from rllib_releds.experiments.records import RunError, RunFolder, new_folder

POINTER = "checkpoints/latest.json"


class RunStorage:
    """The place of one run on shared storage.

    Args:
        uri: such as s3://bucket/runs/first, or the path of a folder. Options of the server go behind a question mark,
            as pyarrow takes them; keys come from the environment.

    Raises:
        RunError: if pyarrow knows no such storage, or the URI holds a key, which would end up in the run folder.
    """

    def __init__(self, uri: str) -> None:
        if "@" in urlsplit(uri).netloc:
            raise RunError("the storage's URI holds a key; leave it out, and give it in the environment")
        self.uri = uri
        try:
            self._files, root = fs.FileSystem.from_uri(uri if "://" in uri else str(Path(uri).absolute()))
        except (ArrowException, ValueError, OSError) as error:
            reason = str(error).replace(uri, _without_options(uri))
            raise RunError(f"cannot use {_without_options(uri)} as storage ({reason})") from error
        self._root = root.rstrip("/")

    def push(self, run: RunFolder) -> None:
        """Make the storage equal to the run folder; files that are there already are not sent again.

        Raises:
            RunError: if it cannot be written; what was there before stays usable.
        """
        try:
            there = self._listed()
            files = sorted(path for path in run.path.rglob("*") if path.is_file() and not _is_of_the_moment(path))
            pointer = run.path / POINTER
            for file in (file for file in files if file != pointer):
                name = file.relative_to(run.path).as_posix()
                if not _is_sent(file, there.get(name)):
                    self._send(file, name)
            self._send(pointer, POINTER)
            for name in there:
                is_checkpoint = name.startswith("checkpoints/epoch_") and name.count("/") == 1
                if is_checkpoint and not (run.path / name).exists():
                    self._files.delete_dir(f"{self._root}/{name}")
        except (ArrowException, OSError) as error:
            raise RunError(
                f"cannot write {_without_options(self.uri)} ({error}). {run.path} holds everything; mend that, then "
                f"`reled resume {run.path}`."
            ) from error

    def pull(self, path: Path) -> RunFolder:
        """A run folder from the storage.

        Raises:
            RunError: if the folder is not new, or there is no run on the storage.
        """
        with new_folder(path.absolute()) as folder:
            try:
                if self._files.get_file_info(f"{self._root}/{POINTER}").type != fs.FileType.File:
                    raise RunError(f"{_without_options(self.uri)} holds no run with a finished checkpoint")
                fs.copy_files(self._root, str(folder), self._files, fs.LocalFileSystem())
            except (ArrowException, OSError) as error:
                raise RunError(f"cannot read {_without_options(self.uri)} ({error})") from error
        return RunFolder.open(path)

    def _listed(self) -> dict[str, fs.FileInfo]:
        """All files and folders of the run on the storage, by their path in the run folder."""
        found = self._files.get_file_info(fs.FileSelector(self._root, allow_not_found=True, recursive=True))
        return {info.path.removeprefix(self._root).lstrip("/"): info for info in found}

    def _send(self, file: Path, name: str) -> None:
        target = f"{self._root}/{name}"
        # Storage of objects needs no folders; others do.
        self._files.create_dir(target.rpartition("/")[0], recursive=True)
        fs.copy_files(str(file), target, fs.LocalFileSystem(), self._files)


def _is_sent(file: Path, there: fs.FileInfo | None) -> bool:
    """Whether what is there has the file's size and is not older than it."""
    if there is None or there.type != fs.FileType.File:
        return False
    status = file.stat()
    return there.size == status.st_size and (there.mtime_ns or 0) >= status.st_mtime_ns


def _is_of_the_moment(path: Path) -> bool:
    """Half-written, or this process's lock."""
    return path.name == ".lock" or ".writing" in path.name or any(part.startswith(".writing_") for part in path.parts)


def _without_options(uri: str) -> str:
    """For messages: options may hold keys."""
    return uri.partition("?")[0]
