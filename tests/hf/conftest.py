from __future__ import annotations

import pytest

from heedful.hf import register

pytest.importorskip("transformers", reason="the extra hf is not installed")
register()
