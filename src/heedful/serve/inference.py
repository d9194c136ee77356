"""The Open Inference Protocol, version 2, over HTTP and JSON: https://github.com/kserve/open-inference-protocol"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Final

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from heedful.errors import listed, shown
from heedful.serve.body import parse_json
from heedful.serve.guard import json_response
from heedful.serve.refused import RefusedError
from heedful.serve.served import Served
from heedful.serve.service import Service
from heedful.serve.uploads import upload_of_json
from heedful.strict_json import to_strict_json

TEXTS: Final = "BYTES"
NUMBERS: Final = frozenset(
    {"FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}
)  # fmt: skip
INPUT: Final = "input"


class Inference:
    """The endpoints below /v2."""

    def __init__(self, service: Service):
        self.service = service

    async def server_metadata(self, request: Request) -> Response:
        """Return name and version of the server."""
        return json_response(
            {"name": "heedful", "version": metadata.version("heedful"), "extensions": []}
        )

    async def live(self, request: Request) -> Response:
        """Return that the server is up."""
        return json_response({"live": True})

    async def ready(self, request: Request) -> Response:
        """Return whether all models can be asked."""
        is_ready = self.service.is_ready
        return json_response({"ready": is_ready}, 200 if is_ready else 503)

    async def model_metadata(self, request: Request) -> Response:
        """Return the tensors of a model."""
        model = self.service.find(request.path_params["name"])
        return json_response(
            {
                "name": model.name,
                "versions": ["1"],
                "platform": "heedful",
                "inputs": [{"name": INPUT, "datatype": TEXTS, "shape": [-1]}],
                "outputs": [
                    {"name": "prediction", "datatype": TEXTS, "shape": [-1]},
                    {"name": "json", "datatype": TEXTS, "shape": [-1]},
                ],
            }
        )

    async def model_ready(self, request: Request) -> Response:
        """Return whether a model can be asked."""
        model = self.service.find(request.path_params["name"])
        return json_response({"name": model.name, "ready": self.service.is_ready})

    async def infer(self, request: Request) -> Response:
        """Predict the rows of the tensor `input`; `parameters` are the options.

        BYTES hold texts, or for a model of files their content in base64. Numbers are arrays along the first axis.
        """
        model = self.service.find(request.path_params["name"])
        async with self.service.bodies.read(request) as body:
            values = parse_json(body)
            inputs = read_tensor(values, model)
            options = values.get("parameters", {})
            if not isinstance(options, dict):
                raise RefusedError(400, "parameters is no object.")
            answers = await self.service.answer(request, model, inputs, options)
        identity = values.get("id")
        reply: dict[str, Any] = {"model_name": model.name, "model_version": "1"}
        if isinstance(identity, str):
            reply["id"] = identity
        texts = [model.predictor.answer.to_text(prediction) for prediction, _ in answers]
        rows = [to_strict_json(found, ensure_ascii=False) for _, found in answers]
        reply["outputs"] = [_tensor("prediction", texts), _tensor("json", rows)]
        return json_response(reply)


def _tensor(name: str, texts: Sequence[str]) -> dict[str, Any]:
    return {"name": name, "datatype": TEXTS, "shape": [len(texts)], "data": list(texts)}


def read_tensor(values: Mapping[str, Any], model: Served) -> list[Any]:
    """Return the rows of the one input tensor.

    Raises: RefusedError for another number of tensors, an unknown type, or data of another shape than stated.
    """
    tensors = values.get("inputs")
    if not isinstance(tensors, list) or len(tensors) != 1 or not isinstance(tensors[0], dict):
        raise RefusedError(400, f"inputs is {shown(tensors, 60)}; expected a list of one tensor.")
    [tensor] = tensors
    kind, shape, data = tensor.get("datatype"), tensor.get("shape"), tensor.get("data")
    if kind != TEXTS and kind not in NUMBERS:
        choices = listed([TEXTS, *sorted(NUMBERS)])
        raise RefusedError(400, f"datatype is {shown(kind, 40)}; expected one of {choices}.")
    is_shape = isinstance(shape, list) and shape and all(type(n) is int and n >= 0 for n in shape)
    if not is_shape or not isinstance(data, list):
        raise RefusedError(400, "a tensor has a shape, a list of sizes, and data, a list.")
    if kind == TEXTS:
        return _texts(shape, data, model)
    return _numbers(shape, data)


def _texts(shape: list[int], data: list[Any], model: Served) -> list[Any]:
    if math.prod(shape) != len(data) or math.prod(shape[1:]) != 1:
        raise RefusedError(400, f"shape is {shape} for {len(data)} texts; expected [{len(data)}].")
    if model.takes_files:
        return [upload_of_json({"base64": each}) for each in data]
    return data


def _numbers(shape: list[int], data: list[Any]) -> list[Any]:
    try:
        array = np.asarray(data)
        if array.dtype.kind not in "iuf":
            raise ValueError("not numbers")
        return list(array.reshape(shape).tolist())
    except (ValueError, TypeError, OverflowError):
        raise RefusedError(400, f"the data are no numbers of the shape {shape}.") from None
