"""Forms with files, as OpenAI's clients send them, read within limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported

M = TypeVar("M", bound=BaseModel)

FORM: Final = "multipart/form-data"
MOST_FIELDS: Final = 32
MOST_FIELD_BYTES: Final = 64 * 1024

NO_FORM: Final = f"Send {FORM}, with the sound as a file in `{{field}}`."
NO_FILE: Final = "{field}: send it as a file, with its bytes."
MANY_FILES: Final = "{field}: at most {most}."
NOT_A_FILE: Final = "{field}: it is no file here; send text."
LARGE_FILE: Final = "{field}: at most {most} MiB."
TWICE: Final = "{field}: send it once."


@dataclass(frozen=True, slots=True)
class FileField:
    """The one field of a form that holds files: its name, how many there may be, and the most bytes of each."""

    name: str
    most: int
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Form:
    """What a form held. A field may stand in it several times; `name[]` is `name`."""

    fields: Mapping[str, Sequence[str]]
    files: Sequence[bytes]

    def read_as(self, model: type[M], lists: frozenset[str] = frozenset()) -> M:
        """Return the fields as a contract's shape; those in `lists` are lists. Raises `InvalidInput`."""
        for name, values in self.fields.items():
            if len(values) > 1 and name not in lists:
                raise InvalidInput(TWICE.format(field=name), param=name)
        given = {name: values if name in lists else values[0] for name, values in self.fields.items()}
        return checked(model, given)


def checked(model: type[M], given: Any) -> M:
    """Validate by a contract's shape. Raises `InvalidInput`: the first mistake, and never the input."""
    try:
        return model.model_validate_json(given) if isinstance(given, bytes) else model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise InvalidInput(f"{where}: {first['msg']}", param=where) from error


def is_form(request: Request) -> bool:
    """Whether a request carries a form with files."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def form_of(request: Request, file: FileField) -> Form:
    """Read a form. Raises `Unsupported` for another body, `InvalidInput`, `TooLarge`."""
    if not is_form(request):
        raise Unsupported(NO_FORM.format(field=file.name), param=file.name)
    fields: dict[str, list[str]] = {}
    files: list[bytes] = []
    async with request.form(max_files=file.most + 1, max_fields=MOST_FIELDS, max_part_size=MOST_FIELD_BYTES) as form:
        for name, value in form.multi_items():
            plain = name.removesuffix("[]")
            if isinstance(value, UploadFile):
                if plain != file.name:
                    raise InvalidInput(NOT_A_FILE.format(field=plain), param=plain)
                files.append(await bytes_of(value, file))
            elif plain == file.name:
                raise InvalidInput(NO_FILE.format(field=plain), param=plain)
            else:
                fields.setdefault(plain, []).append(value)
    if len(files) > file.most:
        raise InvalidInput(MANY_FILES.format(field=file.name, most=file.most), param=file.name)
    return Form(fields, files)


async def bytes_of(upload: UploadFile, file: FileField) -> bytes:
    """Return an upload's bytes. Raises `TooLarge`, `InvalidInput` for an empty one."""
    if (upload.size or 0) > file.most_bytes:
        raise TooLarge(LARGE_FILE.format(field=file.name, most=file.most_bytes // (1024 * 1024)), param=file.name)
    content = await upload.read()
    if not content:
        raise InvalidInput(NO_FILE.format(field=file.name), param=file.name)
    return content
