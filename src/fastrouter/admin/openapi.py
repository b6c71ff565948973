"""The OpenAPI 3.1 document of the admin API, made of the structs of its requests and answers."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from fastrouter.admin.endpoint import Endpoint
from fastrouter.admin.problems import CONTENT_TYPE, Problem

_PARAMETER = re.compile(r"\{(\w+)\}")
_REFERENCES = "#/components/schemas/{name}"


def openapi_document(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """Return the document that describes `endpoints`."""
    types: list[Any] = [Problem]
    for endpoint in endpoints:
        types += [kind for kind in (endpoint.answer, endpoint.query, endpoint.body) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCES)
    # By identity: generic types and plain ones are equally good keys so.
    schema_of = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema_of, components)
    # The structs of queries are parameters, not schemas.
    for endpoint in endpoints:
        components.pop(endpoint.query.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "fastrouter admin API", "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _operation(endpoint: Endpoint, schema_of: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "x-role": endpoint.role,
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint, components)],
        "responses": {
            **_success(endpoint, schema_of),
            "default": {
                "description": "A problem (RFC 9457).",
                "content": {CONTENT_TYPE: {"schema": schema_of[id(Problem)]}},
            },
        },
    }
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[id(endpoint.body)]}},
        }
    return operation


def _success(endpoint: Endpoint, schema_of: dict[int, Any]) -> dict[str, Any]:
    if endpoint.answer is None:
        return {"204": {"description": endpoint.summary}}
    content = {endpoint.media_type: {"schema": schema_of[id(endpoint.answer)]}}
    return {str(endpoint.status): {"description": endpoint.summary, "content": content}}


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint, components: dict[str, Any]) -> list[dict[str, Any]]:
    struct = components[endpoint.query.__name__]
    parameters = []
    for name, schema in struct["properties"].items():
        about = dict(schema)
        description = about.pop("description", "")
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in struct.get("required", ()),
                "description": description,
                "schema": about,
            }
        )
    return parameters


def _operation_id(endpoint: Endpoint) -> str:
    words = re.findall(r"\w+", endpoint.path.removeprefix("/v1/"))
    return "_".join([endpoint.method.lower(), *words])
