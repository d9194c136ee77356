"""What the source imports, what pyproject.toml asks for and what docs/dependencies.md explains are the same."""

from __future__ import annotations

import ast
import re
import sys
import tomllib

from tests.architecture.sources import ROOT, imports, source_files

# Where the name that is imported is not the name that is installed.
DISTRIBUTIONS = {
    "babel": "babel",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "lightning_fabric": "lightning-fabric",
    "lightning": "lightning",
}
# Imported for us by the library named first, when we use the part of it named here.
IMPORTED_BY = {
    "pydantic_core": "pydantic",
    "torch.utils.tensorboard": "tensorboard",
    "tensorboard": "tensorboard",
}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_distributions() -> dict[str, str]:
    """Return every third-party distribution that the source imports, with one place that does."""
    found: dict[str, str] = {}
    for path in source_files():
        for module, line in imports(path):
            top = module.split(".")[0]
            if top in sys.stdlib_module_names or top in {"heedful", ""}:
                continue
            name = next(
                (d for m, d in IMPORTED_BY.items() if module.startswith(m)),
                DISTRIBUTIONS.get(top, top),
            )
            found.setdefault(normalized(name), f"{path.relative_to(ROOT).as_posix()}:{line}")
    return found


def requirement_names(requirements: list[str]) -> set[str]:
    return {normalized(re.match(r"[A-Za-z0-9._-]+", r).group()) for r in requirements}  # type: ignore[union-attr]


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def explained(section: str) -> set[str]:
    """Return the names in the first column of the table under a heading of docs/dependencies.md."""
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    body = re.split(r"^## ", text, flags=re.MULTILINE)
    part = next(p for p in body if p.startswith(section))
    return {normalized(name) for name in re.findall(r"^\| `([^`]+)` \|", part, flags=re.MULTILINE)}


def extras() -> dict[str, set[str]]:
    """Return the requirements of every extra but `dev`."""
    found = project()["optional-dependencies"]
    return {name: requirement_names(each) for name, each in found.items() if name != "dev"}


def used_by_the_site() -> set[str]:
    """The distributions that docs/conf.py names: Sphinx, extensions from outside it, and the theme."""
    tree = ast.parse((ROOT / "docs" / "conf.py").read_text(encoding="utf-8"))
    values = {
        target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in {"extensions", "html_theme"}
    }
    used = {name.split(".")[0] for name in values["extensions"]} | {values["html_theme"]}
    return {normalized(name) for name in used}


def test_what_is_imported_is_asked_for_and_nothing_else_is() -> None:
    core = requirement_names(project()["dependencies"])
    optional = set().union(*(names for name, names in extras().items() if name != "docs"))
    imported = imported_distributions()
    assert {name: place for name, place in imported.items() if name not in core | optional} == {}
    assert (core | optional) - set(imported) == set()


def test_every_dependency_is_explained() -> None:
    assert explained("Core") == requirement_names(project()["dependencies"])


def test_every_extra_is_explained() -> None:
    dev = requirement_names(project()["optional-dependencies"]["dev"])
    assert explained("Development") == dev - {"heedful"}
    for name, requirements in extras().items():
        assert explained(f"Extra `{name}`") == requirements


def test_the_site_needs_what_its_extra_brings() -> None:
    assert used_by_the_site() == extras()["docs"]


def test_dev_brings_every_extra_that_the_tests_need() -> None:
    """Of the contenders of `bench` and of `gpu`, `dev` names those that the tests need by themselves."""
    extras = ",".join(sorted(set(project()["optional-dependencies"]) - {"bench", "dev", "gpu"}))
    assert f"heedful[{extras}]" in project()["optional-dependencies"]["dev"]


def test_torch_is_a_range() -> None:
    torch = next(r for r in project()["dependencies"] if r.startswith("torch"))
    assert re.fullmatch(r"torch>=[\d.]+,<[\d.]+", torch)
