"""The application: every endpoint, behind the guard."""

from __future__ import annotations

from collections.abc import Collection

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from heedful.serve.endpoints import Endpoints
from heedful.serve.guard import Guard
from heedful.serve.inference import Inference
from heedful.serve.libretranslate import LibreTranslate
from heedful.serve.page import static, try_page
from heedful.serve.refused import RefusedError
from heedful.serve.service import Service


def build_app(service: Service, token: str | None = None, hosts: Collection[str] = ()) -> Guard:
    """Return the ASGI application of a service, which has to be `running`.

    Args:
        service: the models.
        token: what a request has to bring; None: nothing.
        hosts: names of the server that requests may use; empty: any.
    """
    own, known, libre = Endpoints(service), Inference(service), LibreTranslate(service, token)
    post = ["POST"]
    model = "/v2/models/{name}"
    routes = [
        Route("/", try_page),
        Route("/static/{name}", static),
        Route("/health", own.health),
        Route("/ready", own.ready),
        Route("/metrics", own.metrics),
        Route("/openapi.json", own.openapi),
        Route("/models", own.models),
        Route("/predict", own.predict, methods=post),
        Route("/models/{name}/predict", own.predict, methods=post),
        Route("/languages", libre.languages),
        Route("/translate", libre.translate, methods=post),
        Route("/v2", known.server_metadata),
        Route("/v2/health/live", known.live),
        Route("/v2/health/ready", known.ready),
        Route(model, known.model_metadata),
        Route(f"{model}/versions/1", known.model_metadata),
        Route(f"{model}/ready", known.model_ready),
        Route(f"{model}/versions/1/ready", known.model_ready),
        Route(f"{model}/infer", known.infer, methods=post),
        Route(f"{model}/versions/1/infer", known.infer, methods=post),
    ]
    router = Router(routes, redirect_slashes=False, default=_nothing_here)
    return Guard(router, service.metrics, token, hosts)


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    raise RefusedError(404, "there is nothing here; /openapi.json says what there is.")
