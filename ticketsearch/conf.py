"""The yamls: where they are and which choices there are. Imports no torch and no Hydra."""

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from ticketsearch.errors import UsageError, closest

NAME = r"[a-z][a-z0-9_]*"
"""What a choice may be called; folders of runs are named by it."""


@cache
def conf_dir() -> Path:
    """The package's folder of yamls: inside the package in a wheel, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here / "conf", here.parent / "conf") if (folder / "config.yaml").is_file())


@dataclass(frozen=True)
class Conf:
    """What can be chosen: the package's yamls, and those of a folder of the user's own (`--config-dir`).

    Attributes:
        folder: the user's; it holds groups like the package's (`pruner/mine.yaml`) and adds choices, replaces none.
    """

    folder: Path | None = None

    @classmethod
    def beside(cls, folder: str | Path | None, command: str = "run") -> "Conf":
        """The package's yamls and those of a folder; None: the package's alone.

        Raises:
            UsageError: there is no such folder, it holds no group, or a choice that the package has already.
        """
        if folder is None:
            return cls()
        conf, example = cls(Path(folder).resolve()), f"ticketsearch {command} --config-dir FOLDER"
        if not conf.folder or not conf.folder.is_dir():
            raise UsageError(f"no folder {folder}", "it holds yamls of your own, such as pruner/mine.yaml", example)
        if (conf.folder / "config.yaml").exists():
            right = "what changes several settings at once is a preset: experiment/NAME.yaml"
            raise UsageError(f"{folder}/config.yaml would not be read", right, example)
        theirs = sorted(path for path in conf.folder.glob("*/*.yaml"))
        if not theirs:
            raise UsageError(f"no yamls in {folder}", "they lie in folders of their groups: pruner/mine.yaml", example)
        for path in theirs:
            _check(path)
        return conf

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """Where yamls are looked for."""
        return (conf_dir(), *([self.folder] if self.folder else []))

    def listed(self) -> "Conf":
        """The same as it is now, its folders listed once: for many runs, during which no yaml comes or goes."""
        return _Listed(self.folder)

    @property
    def groups(self) -> list[str]:
        """The groups that something can be chosen in."""
        return sorted(path.name for path in conf_dir().iterdir() if path.is_dir())

    def has(self, group: str, name: str) -> bool:
        """Whether a name can be chosen in a group."""
        return any((folder / group / f"{name}.yaml").is_file() for folder in self.folders)

    def choices(self, group: str) -> list[str]:
        """The names that can be chosen in a group."""
        return sorted(path.stem for folder in self.folders for path in (folder / group).glob("*.yaml"))

    def file(self, group: str, name: str) -> Path:
        """The yaml of a choice that is there."""
        return next(path for folder in self.folders if (path := folder / group / f"{name}.yaml").is_file())

    def load(self, group: str, name: str) -> dict[str, Any]:
        """The yaml of a choice as a dictionary.

        Raises:
            UsageError: it is no yaml.
        """
        return deepcopy(self._read(group, name))

    def target(self, group: str, name: str) -> str | None:
        """The class that a choice names; None: there is no such choice, or it names none."""
        return self._read(group, name).get("_target_") if self.has(group, name) else None

    def _read(self, group: str, name: str) -> dict[str, Any]:
        path = self.file(group, name)
        about = path.stat()
        return _content(path, about.st_mtime_ns, about.st_size)

    def families(self) -> list[str]:
        """Every metric family: the yamls of `metrics` that define the key of their own name."""
        return [name for name in self.choices("metrics") if _defines(self.file("metrics", name), name)]

    def head(self, group: str, name: str) -> "Head":
        """What the first lines of a yaml say of it."""
        return Head.of(self.file(group, name))


class _Listed(Conf):
    """Remembers what there is to choose."""

    @cached_property
    def groups(self) -> list[str]:
        return super().groups

    @cached_property
    def _known(self) -> dict[str, list[str]]:
        return {}

    def choices(self, group: str) -> list[str]:
        if group not in self._known:
            self._known[group] = super().choices(group)
        return list(self._known[group])

    @cached_property
    def _families(self) -> list[str]:
        return super().families()

    def families(self) -> list[str]:
        return self._families


OWN = Conf()
"""The package's yamls alone."""


@lru_cache(maxsize=1024)  # hundreds of runs of a sweep ask for the same few
def _content(path: Path, changed: int, size: int) -> dict[str, Any]:
    """A yaml as a dictionary; one that has changed since is read again."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return dict(OmegaConf.to_container(OmegaConf.load(path)))  # type: ignore[arg-type]
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise unreadable(path, error) from error


@dataclass(frozen=True)
class Head:
    """The comments that a yaml begins with: the command that uses it, and a sentence with its reference.

    Attributes:
        command: e.g. `ticketsearch run pruner=lth`.
        summary: what it is, one sentence.
        reference: what stands in the last parentheses of the sentence: a paper, or ''.
        facts: what further lines say as `key: value`, such as a model's number of parameters.
    """

    command: str
    summary: str
    reference: str
    facts: dict[str, str]

    @classmethod
    def of(cls, path: Path) -> "Head":
        """Read the head of a file; what is not there is ''."""
        lines = [line.removeprefix("#").strip() for line in _comments(path)]
        commands = [n for n, line in enumerate(lines) if line.startswith("ticketsearch ")]
        command, summary, *more = [*lines[commands[0] :], ""] if commands else ["", *lines, ""]
        reference = re.search(r"\(([^()]*\b(?:1[89]|2[01])\d\d\b[^()]*)\)\W*$", summary)
        facts = dict(line.split(": ", 1) for line in more if ": " in line)
        return cls(command, summary, reference[1] if reference else "", facts)


def unreadable(path: Path | str, error: Exception) -> UsageError:
    """The error for a file that is no yaml."""
    mark = getattr(error, "problem_mark", None)
    where = f"{path}, line {mark.line + 1}" if mark else str(path)
    reason = getattr(error, "problem", None) or str(error).splitlines()[0]
    return UsageError(f"{where} cannot be read as yaml", str(reason), "")


def _comments(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return
        if not line.startswith("# @package"):
            yield line


def _defines(path: Path, key: str) -> bool:
    """Whether a yaml has this key at its top level; it is read when it is used."""
    return re.search(rf"^{key}:", path.read_text(encoding="utf-8"), re.M) is not None


def _check(path: Path) -> None:
    """Refuse a yaml of the user's that could not be chosen, or that would stand for another."""
    group, name = path.parent.name, path.stem
    try:
        path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    if group not in OWN.groups:
        raise closest(group, OWN.groups, f"{path} is in no group")
    if not re.fullmatch(NAME, name):
        raise UsageError(f"{path} cannot be chosen", "a name is made of small letters, digits and _", "")
    if name in OWN.choices(group):
        raise UsageError(f"{path} has the name of a {group} that exists", "give yours another name", "")
