"""`heedful chat`: talk with a trained model."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from heedful.cli.options import Json, Quiet, Run
from heedful.cli.output import Output, write_json
from heedful.cli.output_files import check_writable
from heedful.errors import HeedfulError, OptionError, unknown_choice

if TYPE_CHECKING:
    from heedful.explore import AttentionRecord
    from heedful.tasks.conversation import Conversation

PROMPT: Final = "you> "
SPEAKER_TOKENS: Final = ("user:", "assistant:", "system:")
LABEL_COLUMNS: Final = 22
"""Columns of a heat map that the labels of its rows may take."""


def chat(
    run: Run,
    top_p: Annotated[
        float,
        typer.Option(
            metavar="P",
            help="Draw among the likeliest words that together have this probability.",
        ),
    ] = 0.9,
    top_k: Annotated[
        int, typer.Option(metavar="K", help="Draw among the K likeliest words; 0: all.")
    ] = 0,
    temperature: Annotated[
        float,
        typer.Option(
            metavar="T", help="Below 1 the likely words become likelier; 0: always the likeliest."
        ),
    ] = 1.0,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Seed of what is drawn at random.")
    ] = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Talk with a run of reply or rank-replies.

    Everything said so far is the history that the model reads, up to the limits of its training. /explain draws which
    of its words the last reply looked at, /reset forgets it, /help lists the commands.

    If standard input is no terminal, each line is answered with one line, and only replies go to standard output; an
    empty line is answered with an empty line. With --json each reply is an object.

    Example:
        heedful chat runs/answers
        echo "are you free tomorrow" | heedful chat runs/answers --temperature 0
    """
    from heedful import api
    from heedful.tasks.conversation import Conversation, Drawing

    drawing = Drawing(temperature, top_k, top_p)
    talk = Conversation(api.load(run).predictor, drawing, seed)
    is_typed = sys.stdin.isatty()
    output = Output(json=json, quiet=quiet, data=not is_typed)
    session = Session(talk, output, json=json, is_typed=is_typed)
    if is_typed:
        output.say("Say something, or /help; end with Ctrl-D.")
    for line in _typed() if is_typed else _piped(talk):
        if session.answer(line):
            break


class Command(NamedTuple):
    """What can be typed instead of something to say."""

    help: str
    run: Callable[[Session, str], bool]
    """Returns whether the conversation ends."""
    argument: str = ""


class Session:
    """Answers lines, of which those that start with / are commands."""

    def __init__(self, talk: Conversation, output: Output, *, json: bool, is_typed: bool):
        self.talk, self.output, self.json, self.is_typed = talk, output, json, is_typed

    def answer(self, line: str) -> bool:
        """Answer a line; return whether the conversation ends. What is wrong with a line is said, and it goes on."""
        try:
            if line.startswith("/"):
                name, _, argument = line[1:].strip().partition(" ")
                if name not in COMMANDS:
                    raise unknown_choice("command", f"/{name}", [f"/{each}" for each in COMMANDS])
                return COMMANDS[name].run(self, argument.strip())
            self.reply(line)
        except HeedfulError as error:
            self.output.say(f"error: {error}")
            if not line.startswith("/") and not self.is_typed:
                self.write("")
        return False

    def reply(self, line: str) -> None:
        """Say a line and write the reply."""
        if not line.strip():
            if not self.is_typed:
                self.write("")
            return
        self.write(self.talk.say(line))

    def write(self, reply: str) -> None:
        """Write a reply on one line."""
        if self.json:
            write_json({"reply": reply})
        elif self.is_typed:
            self.output.console.print(reply or "(nothing)")
        else:
            sys.stdout.buffer.write(" ".join(reply.split("\n")).encode() + b"\n")
            sys.stdout.buffer.flush()

    def reset(self, argument: str) -> bool:
        """Forget the history."""
        self.talk.reset()
        self.output.say("The history is empty.")
        return False

    def seed(self, argument: str) -> bool:
        """Start the random numbers anew."""
        if not argument.isdecimal() or len(argument) > 18:
            raise OptionError(f"/seed takes a whole number, as in /seed 7; got {argument!r:.40}")
        self.talk.seed(int(argument))
        self.output.say(f"The seed is {int(argument)}.")
        return False

    def show_history(self, argument: str) -> bool:
        """Show what was said, and how much of it the model reads."""
        inputs: Any = self.talk.predictor.input
        history = self.talk.history
        unread = len(history) - min(len(history), inputs.max_turns)
        for number, turn in enumerate(history):
            mark = "  (too long ago to be read)" if number < unread else ""
            self.output.say(f"{turn.speaker}: {turn.text}{mark}")
        if not history:
            self.output.say("Nothing was said yet.")
        return False

    def explain(self, argument: str) -> bool:
        """Draw what the last reply looked at, to the terminal or a file."""
        from heedful.explore import heat_map
        from heedful.explore.explain import explain
        from heedful.explore.renderers import renderer_for
        from heedful.explore.shaded import shaded_text
        from heedful.explore.terminal import style_for

        if self.talk.last is None:
            raise OptionError("there is no reply to explain yet")
        exchange, reply = self.talk.last
        path = Path(argument) if argument else None
        if path is not None:
            renderer_for(path)
            check_writable(path, overwrite=True)
        found = explain(self.talk.predictor, exchange, target=reply)
        if path is not None:
            found.save(path, found.records)
            self.output.say(f"written: {path}")
            return False
        console = self.output.console
        for record in found.main:
            style = style_for(console)
            console.print(shaded_text(record, style=style, breaks=SPEAKER_TOKENS))
            if len(record.query_tokens) > 1:
                newest = _newest(record, console.width)
                console.print(heat_map(newest, width=console.width, style=style))
        return False

    def show_help(self, argument: str) -> bool:
        """List the commands."""
        for name, command in COMMANDS.items():
            self.output.say(f"/{name} {command.argument}".ljust(22) + command.help)
        return False

    def end(self, argument: str) -> bool:
        """End the conversation."""
        return True


COMMANDS: Final[dict[str, Command]] = {
    "reset": Command("forget what was said", Session.reset),
    "history": Command("show what was said", Session.show_history),
    "explain": Command("draw what the last reply looked at", Session.explain, "[FILE.html]"),
    "seed": Command("start what is drawn at random anew", Session.seed, "N"),
    "help": Command("list the commands", Session.show_help),
    "quit": Command("end", Session.end),
}
"""Name after the slash -> command."""


def _newest(record: AttentionRecord, width: int) -> AttentionRecord:
    """Return the record of the last key tokens, as many as fit into a heat map of so many columns.

    The older ones are in the text above it.
    """
    count = max(1, (width - LABEL_COLUMNS) // 2)
    return replace(
        record,
        key_tokens=record.key_tokens[-count:],
        weights=record.weights[..., -count:],
        mask=None if record.mask is None else record.mask[..., -count:],
    )


def _typed() -> Iterator[str]:
    """Yield the lines that a person types, with the editing keys of the terminal."""
    with contextlib.suppress(ImportError):  # not on every system
        import readline  # noqa: F401 - gives input() its editing keys
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            return


def _piped(talk: Conversation) -> Iterator[str]:
    from heedful.cli.input_lines import standard_input

    return standard_input(talk.predictor.config.data)
