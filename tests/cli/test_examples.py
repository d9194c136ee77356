"""Every example that a --help prints is run, on tiny data, in the order of a person's work."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import shlex
import shutil
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from heedful.cli.main import app
from heedful.run_folder import read_task
from heedful.tasks.table import ENTRIES, TASKS
from heedful.training.events import Validated
from heedful.training.loop import train_model
from tests.cli.conftest import Ran, run_command
from tests.cli.test_compare import FILE as COMPARED
from tests.docs.test_commands import all_commands

COMMANDS = [tuple(path.split()) for path, _ in all_commands(get_command(app), "")]
TRANSLATION = (
    ("demo",), ("train", "translate"), ("evaluate",), ("predict",), ("explain",), ("score",), ("align",),
    ("config", "translate"), ("bench",), ("probe",), ("chat",),
)  # fmt: skip
"""Run in one folder, in this order."""
ELSEWHERE = {
    ("warmup",): "tests/bench/test_warmup.py, on fewer kernels: it compiles them all",
    ("view",): "tests/explore/test_view.py: it answers until it is interrupted",
    ("serve",): "tests/serve/test_process.py: it answers until it is stopped",
    ("export",): "tests/export: each format needs a run of its own",
}
OTHERS = [each for each in COMMANDS if each not in TRANSLATION and each not in ELSEWHERE]


def table(separator: str, rows: list[list[str]]) -> str:
    return "".join(separator.join(row) + "\n" for row in rows)


def rows(head: str, *bodies: str) -> list[list[str]]:
    return [head.split(), *([each.split() for each in bodies] * 10)]


def png(bright: int, number: int) -> bytes:
    """Return a picture of 40 × 40 pixels, whose right half or left half is bright."""
    pixels = np.full((40, 40), number, np.uint8)
    pixels[:, 20 * bright : 20 * bright + 20] += 200
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


CONLLU = (
    "1\tdogs\t_\tNOUN\t_\tNumber=Plur\t0\troot\t_\t_\n2\tbark\t_\tVERB\t_\t_\t0\troot\t_\t_\n\n"
    "1\tdog\t_\tNOUN\t_\tNumber=Sing\t0\troot\t_\t_\n\n"
) * 5
TREES = ("1\tdogs\t_\tNOUN\t_\t_\t2\tnsubj\t_\t_\n2\tbark\t_\tVERB\t_\t_\t0\troot\t_\t_\n\n") * 120
CONLL = "John B-PER\nSmith I-PER\nleft O\n\n" * 5
TEXTS = table("\t", rows("text sentence label", "good good yes", "bad bad no"))
NUMBERS = table(",", rows("text review target stars", "good good 5 5", "bad bad 1 1"))
LONG = "id,t,value,kind\n" + "".join(
    f"{n},{t},{t * n},{('odd', 'even')[n % 2]}\n" for n in range(12) for t in (1, 2)
)
PICTURES = {
    f"animals/{kind}/{number}.png": png(bright, number)
    for bright, kind in enumerate(("cat", "dog"))
    for number in range(10)
}
PICTURE_TABLE = "path,kind,width,map\n" + "".join(
    f"{name},{name.split('/')[1]},{number},{name}\n" for number, name in enumerate(PICTURES)
)
STREET = {
    "categories": [{"id": 3, "name": "car"}],
    "images": [{"id": n, "file_name": f"{n}.png", "height": 40, "width": 40} for n in range(20)],
    "annotations": [
        {"id": n, "image_id": n, "category_id": 3, "bbox": [20 * (n % 2), 0, 20, 40]}
        for n in range(20)
    ],
}
CHATS = [
    [(("user", "assistant")[n % 2], f"turn {n} of {talk}") for n in range(48)] for talk in range(20)
]
FILES: dict[str, str | bytes] = {
    "chats.jsonl": "".join(
        json.dumps({"messages": [{"role": role, "content": text} for role, text in talk]}) + "\n"
        for talk in CHATS
    ),
    "turns.tsv": "dialogue\tservice\tspeaker\ttext\n"
    + "".join(
        f"{talk}\t{talk % 2}\t{role}\t{text}\n"
        for talk, turns in enumerate(CHATS)
        for role, text in turns
    ),
    "faq.csv": "question,answer\n" + "".join(f"who is {n},it is {n}\n" for n in range(20)),
    "street/instances.json": json.dumps(STREET),
    **{f"street/{n}.png": png(n % 2, n) for n in range(20)},
    "train.conllu": CONLLU,
    "dev.conllu": CONLLU,
    "trees.conllu": TREES,
    "train.conll": CONLL,
    "dev.conll": CONLL,
    "train.tsv": TEXTS,
    "dev.tsv": TEXTS,
    "questions.csv": table(",", rows("text topic", "who person", "where place")),
    "toxic.csv": "".join(
        [
            "smiles,toxic,NR-AR,SR-p53\n",
            *(
                f"{'C' * n}C1{'C' * k}C1,{n % 2},{k % 2},{n % 2}\n"
                for n in (1, 2, 3, 4)
                for k in range(1, 16)
            ),
        ]
    ),
    "measured.csv": table(
        ",", rows("smiles logS", *(f"{'C' * n}O {n / 3:.2f}" for n in range(1, 25)))
    ),
    "tagged.jsonl": '{"text": "good film", "tags": ["good", "film"]}\n{"text": "bad", "tags": "bad"}\n'
    * 10,
    "train.csv": NUMBERS,
    "dev.csv": NUMBERS,
    "new.csv": table(",", rows("smiles logS", "CCO 0.1", "CCCC -2")),
    "long.csv": LONG,
    "people.csv": "id,likes,team,age\n"
    + "".join(
        f"p{n},{('chess' if n % 2 else 'tennis')},{('red', 'blue')[n % 2]},{20 + n}\n"
        for n in range(30)
    ),
    "friends.csv": "source,target\n" + "".join(f"p{n},p{(n + 2) % 30}\n" for n in range(30)),
    "groups.csv": "graph,kind,size\n"
    + "".join(f"g{n},{('ring', 'path')[n % 2]},{3 + n % 4}\n" for n in range(20)),
    "members.csv": "graph,id,age\n"
    + "".join(f"g{n},p{i},{20 + i}\n" for n in range(20) for i in range(3 + n % 4)),
    "ties.csv": "graph,source,target\n"
    + "".join(
        f"g{n},p{i},p{(i + 1) % (3 + n % 4)}\n" for n in range(20) for i in range(3 + n % 4 - n % 2)
    ),
    "encoders.toml": COMPARED,
    "rare.csv": table(",", rows("text label", *["good no"] * 4, "bad yes")),
    **PICTURES,
    "pictures.csv": PICTURE_TABLE,
}


def examples(command: tuple[str, ...]) -> list[str]:
    """Return the lines under `Example:` in a command's help."""
    shown = run_command(*command, "--help").stdout
    block = re.search(r"^  Example:\n((?:      .*\n)+)", shown, re.MULTILINE)
    return [line.strip() for line in block[1].splitlines()] if block else []


def run_line(line: str) -> Ran:
    """Run `[echo TEXT |] heedful ... [> FILE]` as a shell would."""
    text = None
    first, pipe, rest = line.partition(" | ")
    if pipe:
        echo, *words = shlex.split(first)
        assert echo == "echo"
        text, line = " ".join(words) + "\n", rest
    line, _, file = line.partition(" > ")
    name, *args = shlex.split(line)
    assert name == "heedful"
    ran = run_command(*args, input=text)
    if file:
        Path(file).write_text(ran.stdout, encoding="utf-8")
    return ran


@pytest.mark.parametrize("command", TRANSLATION, ids=" ".join)
@pytest.mark.usefixtures("tiny_defaults")
def test_examples_of_the_help_run(place: Path, command: tuple[str, ...]) -> None:
    if command == ("train", "translate"):
        shutil.rmtree("runs")
    if command == ("predict",):
        runs_of_other_tasks()
    if command == ("chat",):
        line = "heedful train reply --train builtin:answers --model gru --out runs/answers"
        ran = run_line(line)
        assert ran.status == 0, failure(line, ran.stderr)
    run_examples(command)


@pytest.mark.parametrize("command", OTHERS, ids=" ".join)
@pytest.mark.usefixtures("tiny_defaults", "tiny_comparisons")
def test_examples_of_other_tasks_run(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        write_file(name)
    run_examples(command)


def write_file(name: str) -> None:
    """Write one of `FILES` into the current folder."""
    path, content = Path(name), FILES[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def runs_of_other_tasks() -> None:
    """Train the classifier, the regressor and the tagger that the examples of predict use."""
    for name in ("train.tsv", "train.conll"):
        write_file(name)
    Path("new.csv").write_text("text\ngood\n", encoding="utf-8")
    for name, shift in (("stars.csv", 0), ("other.csv", 1)):
        body = [f"good {n},{n + shift}" for n in range(24)]
        Path(name).write_text("\n".join(["text,target", *body, ""]), encoding="utf-8")
    write_tone(Path("talk.wav"))
    for line in (
        "heedful train classify --train train.tsv --out runs/topics",
        "heedful train regress --train stars.csv --valid other.csv --out runs/stars",
        "heedful train tag --train train.conll --valid train.conll --out runs/entities",
        "heedful train transcribe --train builtin:tones --decoder none --out runs/speech",
    ):
        ran = run_line(line)
        assert ran.status == 0, failure(line, ran.stderr)


def write_tone(path: Path) -> None:
    """Write a second of a tone as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(
            b"".join(struct.pack("<h", round(9000 * math.sin(0.2 * n))) for n in range(16_000))
        )


def run_examples(command: tuple[str, ...]) -> None:
    """Run the examples of one command in the current folder."""
    lines = examples(command)
    assert lines
    for line in lines:
        if "--resume" in line:
            stop_after_an_epoch(Path(line.split()[-1]))
        for old in (*Path().glob("looked-at.*"), *Path().glob("new.align")):
            old.unlink()
        ran = run_line(line)
        assert ran.status == 0, failure(line, ran.stderr)


def failure(line: str, stderr: str) -> str:
    """Return why an example failed, and what a new task has to add."""
    hint = (
        "; add the file to FILES in tests/cli/test_examples.py" if "no such file" in stderr else ""
    )
    return f"{line}{hint}\n{stderr}"


def stop_after_an_epoch(folder: Path) -> None:
    """Make of a finished run what an interrupted training leaves."""
    task = TASKS[read_task(folder)]
    config = task.load_config(folder)
    data = task.reader.read_training(config.data)
    shutil.rmtree(folder)
    events = train_model(task, config, *data, folder)
    with contextlib.closing(events):  # type: ignore[type-var]
        for event in events:
            if isinstance(event, Validated):
                return


def test_every_task_is_among_the_commands() -> None:
    assert {*TRANSLATION, *ELSEWHERE} <= {*COMMANDS}
    for task in ENTRIES:
        assert ("train", task) in COMMANDS
        assert ("config", task) in COMMANDS


def test_an_example_whose_file_is_missing_says_where_files_are_added() -> None:
    ran = run_line("heedful train classify --train no-such-file.tsv --out run")
    assert "add the file to FILES in tests/cli/test_examples.py" in failure("line", ran.stderr)
    assert failure("line", "error: other") == "line\nerror: other"


def test_every_option_is_described() -> None:
    for command in COMMANDS:
        shown = run_command(*command, "--help").stdout.partition("\nOptions:\n")[2]
        assert shown
        assert re.findall(r"^  (--?\S+)(?: \S+)*$", shown, re.MULTILINE) == []
