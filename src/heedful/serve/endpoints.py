"""The server's own interface: predictions as JSON, what the models are, and how the server does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from heedful.serve.body import MULTIPART, content_type, read_values
from heedful.serve.guard import json_response
from heedful.serve.metrics import CONTENT_TYPE
from heedful.serve.openapi import describe
from heedful.serve.options import OPTIONS, options_of
from heedful.serve.refused import RefusedError
from heedful.serve.served import Served
from heedful.serve.service import Service
from heedful.serve.uploads import Upload, upload_of_json


class Endpoints:
    """The endpoints outside of the two known interfaces."""

    def __init__(self, service: Service):
        self.service = service

    async def health(self, request: Request) -> Response:
        """Return that the process answers."""
        return json_response({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Return whether the models can be asked."""
        is_ready = self.service.is_ready
        return json_response({"ready": is_ready}, 200 if is_ready else 503)

    async def metrics(self, request: Request) -> Response:
        """Return the metrics."""
        return Response(self.service.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def openapi(self, request: Request) -> Response:
        """Return the description of this interface."""
        return json_response(describe(self.service.models))

    async def models(self, request: Request) -> Response:
        """Return all models."""
        return json_response({"models": list(map(_description, self.service.models.values()))})

    async def predict(self, request: Request) -> Response:
        """Predict the inputs of a request."""
        model = self.service.find(request.path_params.get("name"))
        async with self.service.bodies.read(request) as body:
            values = await read_values(request, body, self.service.limits.inputs)
            if content_type(request) == MULTIPART:
                values = _of_form(values)
            options = {name: value for name, value in values.items() if name != "inputs"}
            inputs = values.get("inputs")
            if isinstance(inputs, list):
                inputs = [
                    each if isinstance(each, Upload) else upload_of_json(each) for each in inputs
                ]
            answers = await self.service.answer(request, model, inputs, options)
        return json_response(
            {
                "model": model.name,
                "task": model.task.name,
                "predictions": [found for _, found in answers],
            }
        )


def _of_form(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the files of a form as inputs, and its other fields as the options that they are in JSON."""
    values: dict[str, Any] = {"inputs": []}
    for name, value in fields.items():
        if isinstance(value, list):
            values["inputs"] += value
        elif name in OPTIONS:
            values[name] = _option(name, value)
        else:
            raise RefusedError(400, f"the field {name!r:.40} is neither a file nor an option.")
    return values


def _option(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RefusedError(
            400, f"{name} is {text!r:.40}; expected a {OPTIONS[name].kind} as in JSON."
        ) from None


def _description(model: Served) -> dict[str, Any]:
    options = options_of(model.task)
    return {
        "name": model.name,
        "task": model.task.name,
        "takes": "files" if model.takes_files else "texts",
        "input": model.task.reader.input_hint,
        "labels": list(model.predictor.labels),
        "options": {
            name: {"type": o.kind, "description": o.description} for name, o in options.items()
        },
    }
