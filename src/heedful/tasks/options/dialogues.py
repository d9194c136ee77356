"""Options of dialogues."""

from __future__ import annotations

from typing import Final

from heedful.tasks.options.base import TaskOption
from heedful.tasks.options.texts import ENCODING, MAX_LINE, SKIP_BAD, train_files, valid_files

DIALOGUES: Final = (
    train_files(
        "Training dialogues: .jsonl with messages or conversations, a table (.tsv, .csv, .jsonl) of prompts and "
        "replies or of turns, ParlAI's .txt, or builtin:answers. May be gzipped; repeatable."
    ),
    valid_files(
        "Validation dialogues to select the best checkpoint, in the same forms.",
        default="10% of the dialogues of --train",
    ),
    TaskOption(
        name="speaker",
        setting="data.speaker",
        metavar="NAME",
        help="Whose turns are learned, as the files name them.",
        default="the assistant's, or those of all but the first speaker",
    ),
    TaskOption(
        name="dialogue",
        setting="data.dialogue",
        metavar="NAME",
        help="Table of turns: column that identifies a dialogue.",
        default="dialogue, conversation, thread, …",
    ),
    TaskOption(
        name="by",
        setting="data.by",
        metavar="NAME",
        help="Table of turns: column of the speakers.",
        default="speaker, role, author or from",
    ),
    TaskOption(
        name="text",
        setting="data.text",
        metavar="NAME",
        help="Table of turns: column of the texts.",
        default="text, utterance, content or message",
    ),
    TaskOption(
        name="prompt",
        setting="data.prompt",
        metavar="NAME",
        help="Table of prompts and replies: column of prompts; a number, from 1, if it has no header.",
        default="prompt, question, input, …",
    ),
    TaskOption(
        name="reply",
        setting="data.reply",
        metavar="NAME",
        help="Table of prompts and replies: column of replies.",
        default="reply, response, answer, …",
    ),
    TaskOption(
        name="group",
        setting="data.group",
        metavar="NAME",
        help="Column or key of the group of a dialogue, such as its topic.",
        default="none",
    ),
    TaskOption(
        name="max_turns",
        setting="data.max_turns",
        metavar="N",
        help="Turns before a reply that are read; 0: none.",
        default="8",
        is_number=True,
    ),
    ENCODING,
    MAX_LINE,
    SKIP_BAD,
)
