"""The reader of documentation blocks finds what it should; otherwise the tests beside it would test nothing."""

from __future__ import annotations

from tests.docs.blocks import Block, blocks, heedful_commands

PAGE = """
# Title

```python
x = 1
```

Text with ``` in it.

```console
$ heedful demo --out runs/demo   # a comment
heedful is not a command here
$ cat file | .venv/bin/heedful predict runs/demo - > out.txt
```

```sh
python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/heedful demo
heedful train translate \\
    --set "model.width=64"
```
"""


def test_python_blocks_are_found_with_their_line() -> None:
    assert list(blocks(PAGE, "python")) == [Block("python", "x = 1\n", 5)]


def test_commands_are_found() -> None:
    assert list(heedful_commands(PAGE)) == [
        ["demo", "--out", "runs/demo"],
        ["predict", "runs/demo", "-"],
        ["demo"],
        ["train", "translate", "--set", "model.width=64"],
    ]
