"""One file in a request: as it is, or as `file` of a form."""

from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import UploadFile
from starlette.requests import Request

from chatacter.chassis.errors import InvalidInput, Unsupported

FIELD: Final = "file"
MOST_FIELDS: Final = 8
FORM: Final = "multipart/form-data"
NO_TYPE: Final = f"Send {{what}} as {FORM} with `{FIELD}`, or as it is: {{types}}."
NO_FILE: Final = f"The form needs a file named `{FIELD}`."
ONE_FILE: Final = f"The form may hold one file, `{FIELD}`, and nothing else."


@dataclass(frozen=True, slots=True)
class Upload:
    """What is sent, and the media types in which it comes as it is."""

    what: str
    types: tuple[str, ...]

    def body(self) -> dict[str, Any]:
        """Describe the forms in which it comes, for OpenAPI."""
        binary = {"type": "string", "format": "binary"}
        form = {"type": "object", "required": [FIELD], "properties": {FIELD: binary}}
        content: dict[str, Any] = {kind: {"schema": binary} for kind in self.types}
        if "application/json" in content:
            content["application/json"] = {"schema": {"type": "object"}}
        content[FORM] = {"schema": form}
        return {"requestBody": {"required": True, "content": content}}

    async def of(self, request: Request) -> bytes:
        """Return what a request carries. Raises `InvalidInput`, `Unsupported`."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in self.types:
            return await request.body()
        if kind != FORM:
            raise Unsupported(NO_TYPE.format(what=self.what, types=", ".join(self.types)), param=FIELD)
        async with request.form(max_files=1, max_fields=MOST_FIELDS) as form:
            parts = form.multi_items()
            if not any(name == FIELD and isinstance(value, UploadFile) for name, value in parts):
                raise InvalidInput(NO_FILE, param=FIELD)
            if len(parts) > 1 or not isinstance(upload := parts[0][1], UploadFile):
                raise InvalidInput(ONE_FILE, param=parts[-1][0])
            return await upload.read()
