"""A run kept on shared storage: what Ray Train and Tune accept as `storage_path` (a mounted folder, s3://, gs://).

The run folder on this machine stays the working copy: figures, demonstrations and TensorBoard write into it all the
time. After each checkpoint what is new in it is copied, and last of all `checkpoints/latest.json`, in which a reader
finds the newest complete checkpoint. Storage of objects knows no renaming of folders, so it is this order that makes a
checkpoint there complete or invisible.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pyarrow import ArrowException, fs

from rllib_releds.errors import RunError, going_on
from rllib_releds.experiments import checkpoints
from rllib_releds.experiments.records import RunFolder, new_folder
from rllib_releds.files import is_of_the_moment

POINTER = f"checkpoints/{checkpoints.POINTER}"
PRUNED = re.compile(r"checkpoints/epoch_\d+|episodes/(agent|expert)_\d[^/]*")
"""What a run removes from its folder in time."""

_OPTIONS = frozenset(
    {"region", "scheme", "endpoint_override", "allow_bucket_creation", "allow_bucket_deletion", "project_id"}
    | {"retry_limit_seconds", "force_virtual_addressing", "user", "replication", "buffer_size", "default_block_size"}
    | {"blob_storage_authority", "dfs_storage_authority", "enable_tls"}
)
"""What pyarrow takes behind a question mark and is no key."""


class RunStorage:
    """The place of one run on shared storage.

    Args:
        uri: such as s3://bucket/runs/first, or the path of a folder. Options of the server go behind a question mark,
            as pyarrow takes them; keys come from the environment.

    Raises:
        RunError: if pyarrow knows no such storage, or the URI holds a key, which would end up in the run folder.
    """

    def __init__(self, uri: str) -> None:
        _refuse_keys(uri)
        # For messages: options may hold keys.
        self._shown = uri.partition("?")[0]
        # What follows may name the server.
        self._fetch = f"reled fetch {shlex.quote(uri)}"
        try:
            self._files, root = fs.FileSystem.from_uri(uri if "://" in uri else str(Path(uri).absolute()))
        except (ArrowException, ValueError, OSError) as error:
            reason = str(error).replace(uri, self._shown)
            raise RunError(f"cannot use {self._shown} as storage ({reason})") from error
        self._root = root.rstrip("/")

    def refuse_another_run(self) -> None:
        """For a run that is about to begin.

        Raises:
            RunError: if a run or anything else lies there, which pushes would overwrite, or if it cannot be read.
        """
        try:
            is_taken = self._has_run()
            anything = self._files.get_file_info(fs.FileSelector(self._root, allow_not_found=True))
        except (ArrowException, OSError) as error:
            raise RunError(f"cannot read {self._shown} ({error})") from error
        if is_taken:
            raise RunError(
                f"{self._shown} holds a run already: get it back with `{self._fetch} --out FOLDER` and go "
                "on with `reled resume FOLDER`, or give this run another --storage"
            )
        if anything:
            raise RunError(f"{self._shown} is not empty and holds no run; give this run another --storage")

    def refuse_within(self, folder: Path) -> None:
        """Raises RunError if this is the run's folder, or a place inside or around it: the run would be in itself."""
        if not isinstance(self._files, fs.LocalFileSystem):
            return
        place, run = Path(self._root).resolve(), folder.resolve()
        if run in (place, *place.parents) or place in run.parents:
            raise RunError(f"--storage {place} is the run folder {folder}, inside it or around it; give another place")

    def refuse_newer(self, run: RunFolder) -> None:
        """For a run that goes on.

        Raises:
            RunError: if the run on the storage has got farther, as by a resumed copy on another machine, or if it
                cannot be read, or is the run folder or inside it.
        """
        self.refuse_within(run.path)
        try:
            if not self._has_run():
                return
            with self._files.open_input_stream(f"{self._root}/{POINTER}") as file:
                there = json.loads(file.readall())["finished_epochs"]
        except (ArrowException, OSError, ValueError, LookupError) as error:
            raise RunError(f"cannot read {self._shown}/{POINTER} ({error})") from error
        if there > run.finished_epochs():
            raise RunError(
                f"{self._shown} has {there} finished epochs, and {run.path} has {run.finished_epochs()}: get the newer "
                f"run by `{self._fetch} --out FOLDER`, and go on with that; to go on with this one, remove "
                f"{self._shown}/{POINTER}"
            )

    def push(self, run: RunFolder) -> None:
        """Make the storage equal to the run folder; files that are there already are not sent again.

        Raises:
            RunError: if it cannot be written, or has got farther; what was there before stays usable.
        """
        self.refuse_newer(run)
        try:
            there = self._listed()
            files = sorted(path for path in run.path.rglob("*") if path.is_file() and not is_of_the_moment(path))
            pointer = run.path / POINTER
            for file in (file for file in files if file != pointer):
                name = file.relative_to(run.path).as_posix()
                try:
                    if not _is_sent(file, there.get(name)):
                        self._send(file, name)
                except FileNotFoundError:
                    # A cycle of demonstrations, asked for beside training, clears its folder when it begins.
                    if file.exists():
                        raise
            self._send(pointer, POINTER)
            for name, info in there.items():
                if not (run.path / name).exists() and PRUNED.fullmatch(name):
                    delete = self._files.delete_file if info.type == fs.FileType.File else self._files.delete_dir
                    delete(f"{self._root}/{name}")
        except (ArrowException, OSError) as error:
            raise RunError(
                f"cannot write {self._shown} ({error}). {run.path} holds everything; mend that, then "
                f"`{going_on(run.path)}`."
            ) from error

    def pull(self, path: Path) -> RunFolder:
        """A run folder from the storage.

        Raises:
            RunError: if the folder is not new, or there is no run on the storage.
        """
        with new_folder(path.absolute()) as folder:
            try:
                if not self._has_run():
                    raise RunError(f"{self._shown} holds no run with a finished checkpoint")
                fs.copy_files(self._root, str(folder), self._files, fs.LocalFileSystem())
                # Storage has none that are empty.
                RunFolder(folder).make_folders()
            except (ArrowException, OSError) as error:
                raise RunError(f"cannot read {self._shown} ({error})") from error
        return RunFolder.open(path)

    def _has_run(self) -> bool:
        return self._files.get_file_info(f"{self._root}/{POINTER}").type == fs.FileType.File

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


def _refuse_keys(uri: str) -> None:
    """Raises RunError if the URI holds what may be a key: it is stored with the run. What is wrong is not shown."""
    parts = urlsplit(uri)
    # Azure's addresses are container@account.
    holds_key = parts.password is not None if parts.scheme in ("abfs", "abfss") else "@" in parts.netloc
    if "://" in uri and (holds_key or not parse_qs(parts.query, keep_blank_values=True).keys() <= _OPTIONS):
        raise RunError(
            "the storage's URI holds a key, or an option that may be one; keys come from the environment, and behind "
            f"the question mark only {', '.join(sorted(_OPTIONS))}"
        )
