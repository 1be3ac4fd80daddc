"""Requests against Qdrant's OpenAPI document, where `QDRANT_OPENAPI` names it. It is theirs and no part of ours."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema_rs


class Refused(Exception):
    """A Qdrant server would answer 400."""


@dataclass
class Document:
    """The document; `judged` are the operations of which a request was held against it."""

    content: dict[str, Any]
    validators: dict[tuple[str, str], Any] = field(default_factory=dict)
    judged: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def named(cls) -> "Document | None":
        """Read the one that the environment names."""
        name = os.environ.get("QDRANT_OPENAPI")
        return cls(strict(json.loads(Path(name).read_text("utf-8")))) if name else None

    def judge(self, method: str, template: str, parameters: dict[str, str], body: Any) -> None:
        """Hold a request against the document. Raises `Refused`."""
        operation = self.content["paths"].get(template, {}).get(method.lower())
        if operation is None:
            raise Refused(f"The document knows no {method} {template}")
        unknown = parameters.keys() - {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        if unknown:
            raise Refused(f"The document knows no {unknown} of {method} {template}")
        expected = operation.get("requestBody")
        if (body is None) != (expected is None):
            raise Refused(f"{method} {template} has a body that the document has not, or has not one that it has")
        if body is not None and (error := next(self._validator(method, template).iter_errors(body), None)):
            raise Refused(f"{method} {template}: {error}")
        self.judged.add((method, template))

    def _validator(self, method: str, template: str) -> Any:
        key = (method, template)
        if key not in self.validators:
            body = self.content["paths"][template][method.lower()]["requestBody"]["content"]["application/json"]
            whole = {**body["schema"], "components": self.content["components"]}
            self.validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self.validators[key]


def strict(schema: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: what may be null says so, and an object has no other fields than those named."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items() if key not in {"nullable", "example"}}
    if isinstance(made.get("type"), str) and isinstance(made.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    if schema.get("nullable") is not True:
        return made
    return {"anyOf": [made, {"type": "null"}]} if made else {"type": "null"}
