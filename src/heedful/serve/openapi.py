"""The description of the interface as OpenAPI 3.1: https://spec.openapis.org/oas/v3.1.0"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from heedful.serve.options import options_of
from heedful.serve.served import Served

_ERRORS = {
    "400": "An input or an option that cannot be used; the message says which and why.",
    "401": "The token is missing or wrong.",
    "413": "Too many bytes or inputs.",
    "429": "Too much is waiting; Retry-After says when to try again.",
    "503": "No answer in time.",
}


def describe(models: Mapping[str, Served]) -> dict[str, Any]:
    """Return the description, with a path for each model."""
    paths = {f"/models/{name}/predict": {"post": _predict(model)} for name, model in models.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Heedful", "version": metadata.version("heedful")},
        "paths": {
            **paths,
            "/models": {"get": _get("The models, their inputs and options.")},
            "/translate": {"post": _translate()},
            "/languages": {"get": _get("LibreTranslate: the languages of the translators.")},
            "/v2/models/{name}/infer": {"post": _infer()},
            "/health": {"get": _get("Whether the process answers.")},
            "/ready": {"get": _get("Whether the models can be asked.")},
            "/metrics": {"get": _get("Metrics in Prometheus' format.", "text/plain")},
        },
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "properties": {"error": {"type": "string"}},
                    "required": ["error"],
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _predict(model: Served) -> dict[str, Any]:
    options = {
        name: {"type": each.kind, "description": each.description}
        for name, each in options_of(model.task).items()
    }
    content = {
        "application/json": {
            "schema": _object(
                {"inputs": {"type": "array", "items": _input(model)}, **options}, ["inputs"]
            )
        }
    }
    if model.takes_files:
        file = {"type": "array", "items": {"type": "string", "format": "binary"}}
        content["multipart/form-data"] = {"schema": _object({"file": file, **options}, ["file"])}
    prediction = {
        "model": {"type": "string"},
        "task": {"type": "string"},
        "predictions": {"type": "array", "items": {"type": "object"}},
    }
    return {
        "summary": f"Predict with {model.name} (task {model.task.name})",
        "requestBody": {"required": True, "content": content},
        "responses": _responses(_object(prediction, list(prediction))),
    }


def _input(model: Served) -> dict[str, Any]:
    """Return the schema of one input."""
    if not model.takes_files:
        return {"description": model.task.reader.input_hint}
    file = _object({"base64": {"type": "string"}, "name": {"type": "string"}}, ["base64"])
    return {"description": "A file, or its content as numbers.", "anyOf": [file, {"type": "array"}]}


def _translate() -> dict[str, Any]:
    text = {"type": "string"}
    texts = {"oneOf": [text, {"type": "array", "items": text}]}
    fields = {
        "q": texts, "source": text, "target": text, "format": {"const": "text"},
        "alternatives": {"type": "integer"}, "api_key": text,
    }  # fmt: skip
    schema = _object(fields, ["q", "source", "target"])
    return {
        "summary": "LibreTranslate: translate texts",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": _responses(_object({"translatedText": texts}, ["translatedText"])),
    }


def _infer() -> dict[str, Any]:
    tensor = {"type": "array", "items": {"type": "object"}}
    schema = _object({"inputs": tensor, "parameters": {"type": "object"}}, ["inputs"])
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "summary": "Open Inference Protocol, version 2",
        "parameters": [name],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": _responses(_object({"outputs": tensor}, ["outputs"])),
    }


def _object(properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": required}


def _responses(schema: Mapping[str, Any]) -> dict[str, Any]:
    good = {"description": "The answer", "content": {"application/json": {"schema": schema}}}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    bad = {status: {"description": text, "content": error} for status, text in _ERRORS.items()}
    return {"200": good, **bad}


def _get(summary: str, kind: str = "application/json") -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": {"description": "The answer", "content": {kind: {}}}},
    }
