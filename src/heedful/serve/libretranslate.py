"""LibreTranslate's interface, which editors, subtitle tools and chat servers speak: https://docs.libretranslate.com"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from heedful.answers.text import GeneratedText
from heedful.errors import listed, shown
from heedful.serve.body import read_values
from heedful.serve.guard import bearer, has_token, json_response, wrong_token
from heedful.serve.languages import LanguagePair, language_name, language_pair
from heedful.serve.refused import RefusedError
from heedful.serve.served import Served
from heedful.serve.service import Service, texts_of

AUTO = "auto"


class LibreTranslate:
    """Translators by their languages.

    Args:
        service: the models; those that translate are found.
        token: what a request has to bring, as api_key or in its header.
    """

    def __init__(self, service: Service, token: str | None):
        self.service, self.token = service, token
        self.translators: dict[LanguagePair, Served] = {}
        for name, model in service.models.items():
            # Replies are generated text, too, and no translation.
            if type(model.predictor.answer) is GeneratedText:
                pair = language_pair(model.predictor.config.data, name)
                self.translators.setdefault(pair, model)

    async def languages(self, request: Request) -> Response:
        """Return each source language with its targets."""
        sources = dict.fromkeys(pair.source for pair in self.translators)
        return json_response(
            [
                {
                    "code": source,
                    "name": language_name(source) or source,
                    "targets": [pair.target for pair in self.translators if pair.source == source],
                }
                for source in sources
            ]
        )

    async def translate(self, request: Request) -> Response:
        """Translate a text, or a list of them; each line is translated by itself."""
        async with self.service.bodies.read(request) as body:
            values = await read_values(request, body, files=0)
            if self.token is not None and not self._may(request, values):
                return wrong_token()
            model = self._translator(values)
            is_list = isinstance(values.get("q"), list)
            given = values.get("q") if is_list else [values.get("q")]
            lines = [text.split("\n") for text in texts_of(given or [], "q")]
            count = _alternatives(values)
            options = {"nbest": count + 1, "beam": max(count + 1, 4)} if count else {}
            flat = [line for text in lines for line in text]
            answers = iter(await self.service.answer(request, model, flat, options))
        found = [[next(answers)[0] for _ in text] for text in lines]
        return json_response(_reply(found, count, is_list, values))

    def _may(self, request: Request, values: Mapping[str, Any]) -> bool:
        assert self.token is not None
        return has_token(bearer(request.headers), self.token) or has_token(
            str(values.get("api_key", "")), self.token
        )

    def _translator(self, values: Mapping[str, Any]) -> Served:
        """Return the model of the languages asked for.

        Raises: RefusedError if there is none.
        """
        if values.get("format", "text") != "text":
            raise RefusedError(
                400, f"format is {shown(values['format'], 40)}; only 'text' is translated."
            )
        source, target = values.get("source", AUTO), values.get("target")
        for pair, model in self.translators.items():
            if target == pair.target and source in (AUTO, pair.source):
                return model
        if not self.translators:
            raise RefusedError(404, "this server has no translator; /models lists what it has.")
        pairs = listed(f"{pair.source} to {pair.target}" for pair in self.translators)
        got = "is missing" if target is None else f"is {shown(target, 40)}"
        raise RefusedError(
            400,
            f"source is {shown(source, 40)} and target {got}; this server translates {pairs}.",
        )


def _alternatives(values: Mapping[str, Any]) -> int:
    given = values.get("alternatives", 0)
    try:
        count = int(given)
    except (TypeError, ValueError, OverflowError):
        count = -1
    if isinstance(given, bool | float) or not 0 <= count <= 10:
        raise RefusedError(
            400, f"alternatives is {shown(given, 40)}; expected a number from 0 to 10."
        )
    return count


def _reply(
    found: list[list[Any]], count: int, is_list: bool, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the answer for texts whose lines were translated; an alternative takes the same place of each line."""

    def joined(text: list[Any], place: int) -> str:
        return "\n".join(line[min(place, len(line) - 1)].text for line in text)

    texts = [joined(text, 0) for text in found]
    reply: dict[str, Any] = {"translatedText": texts if is_list else texts[0]}
    if count:
        others = [
            list(dict.fromkeys(joined(text, place) for place in range(1, count + 1)))
            for text in found
        ]
        reply["alternatives"] = others if is_list else others[0]
    if values.get("source", AUTO) == AUTO:
        detected = {"confidence": 0, "language": AUTO}
        reply["detectedLanguage"] = [detected] * len(texts) if is_list else detected
    return reply
