"""Reading files of fetched repositories at a fixed commit, without a work tree."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slmroute.errors import ConfigError

__all__ = ["Repository"]


@dataclass(frozen=True, slots=True)
class Repository:
    """A git directory and the commit that is read from it.

    Attributes:
        name: ``owner/repository``.
        commit: The commit's hash.
        folder: The git directory.
    """

    name: str
    commit: str
    folder: Path

    @classmethod
    def find(cls, mirror: Path, name: str, commit: str) -> Repository | None:
        """Find a repository below a folder of clones.

        Args:
            mirror: A folder with one clone for each repository, named ``owner+repository`` (bare, with a ``.git``,
                or with a folder ``repo`` in between).
            name: ``owner/repository``.
            commit: The commit to read; it must be in the clone.

        Returns:
            The repository, or None when there is no such clone.
        """
        home = mirror / name.replace("/", "+")
        for folder in (home / "repo" / ".git", home / "repo", home / ".git", home):
            if (folder / "HEAD").is_file():
                return cls(name, commit, folder)
        return None

    def paths(self, pattern: str) -> list[str]:
        """Give the files whose path matches a regular expression, sorted."""
        listing = self._git("ls-tree", "-r", "-z", "--name-only", self.commit)
        names = listing.decode("utf-8", "replace").split("\0")
        return sorted(name for name in names if name and re.search(pattern, name))

    def contents(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Give the content of several files; those that the clone lacks (very large ones, in snapshots) are skipped."""
        wanted = "".join(f"{self.commit}:{path}\n" for path in paths if "\n" not in path)
        answer = memoryview(self._git("cat-file", "--batch", given=wanted.encode()))
        position = 0
        for path in paths:
            end = position + bytes(answer[position : position + 4096]).index(b"\n")
            head = bytes(answer[position:end]).decode()
            position = end + 1
            if not head.endswith("missing"):
                size = int(head.rsplit(" ", 1)[-1])
                yield path, bytes(answer[position : position + size])
                position += size + 1

    def _git(self, *arguments: str, given: bytes = b"") -> bytes:
        git = shutil.which("git")
        if git is None:
            raise ConfigError("Harvesting training prompts reads clones with git, which is not installed.")
        command = [git, "-C", str(self.folder), "-c", "core.quotepath=off", *arguments]
        done = subprocess.run(command, input=given, capture_output=True, check=False)  # noqa: S603 - fixed program, paths of our manifest
        if done.returncode:
            raise ConfigError(
                f"{self.name} at {self.commit[:10]}: git {arguments[0]} failed: {done.stderr.decode()[:200]}"
            )
        return done.stdout
