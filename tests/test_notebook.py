"""The notebook: what is committed is a whole, full run, and it runs again from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from wanted import wanted

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "MNIST.ipynb"
SECTIONS = [
    *("Hyperparameters", "A look at the data", "A baseline without a network", "Data loading"),
    *("Model definition", "Training loop", "Evaluation", "Sample predictions"),
    *("What it gets wrong, and what the labels get wrong", "A look inside", "Augmentation"),
    *("Experiments", "Your own handwriting", "A table", "Teach it your handwriting"),
    "Where to go next",
]


@pytest.fixture(scope="module")
def committed() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook: Any) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def printed(notebook: Any) -> str:
    """What the cells printed; fails where there is an error or anything on stderr."""
    kinds = {output.output_type for output in outputs(notebook)}
    assert kinds <= {"stream", "execute_result", "display_data"}
    streams = [output for output in outputs(notebook) if output.output_type == "stream"]
    assert all(output.name == "stdout" for output in streams)
    return "".join(output.text for output in streams)


def percentage(pattern: str, text: str) -> float:
    found = re.search(pattern + r"\s+([\d.]+)%", text)
    assert found, pattern
    return float(found[1])


def check_story(notebook: Any, way: str, least_accuracy: float) -> str:
    """The results are there, and say what the prose beside them says; returns what was printed."""
    text = printed(notebook)
    assert way in text
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) >= 17
    accuracy = percentage("test accuracy", text)
    assert accuracy >= least_accuracy
    assert percentage("nearest mean image:", text) < 85
    assert percentage("labels right:", text) > accuracy
    assert percentage("changed", text) < accuracy
    off, on = (percentage(f"augmentation {switch}:", text) for switch in ("off", "on"))
    assert off < on
    assert "72104/14959  (" in text
    return text


def test_its_sections_links_and_loop(committed: Any) -> None:
    assert re.findall(r"^## (.*)$", prose(committed), flags=re.MULTILINE) == SECTIONS
    links = re.findall(r"\]\(([^)#:]+)\)", prose(committed))
    assert "src/mnist_digits/classifier/loop.py" in links
    for target in links:
        assert (ROOT / target).exists(), target
    (loop,) = [cell.source for cell in code_cells(committed) if "def train(" in cell.source]
    assert len(loop.splitlines()) < 25


def test_its_outputs_are_those_of_a_full_run_from_top_to_bottom(committed: Any) -> None:
    counts = [cell.execution_count for cell in code_cells(committed)]
    assert counts == list(range(1, len(counts) + 1))
    text = check_story(committed, "full run", least_accuracy=99.0)
    assert percentage("training accuracy", text) > percentage("test accuracy", text)
    assert "read by your network: 7 2 1 0 4 1 4 9 5 9" in text
    wanted("72104/14959  (sure" in text)


def test_it_names_no_place_on_somebodys_machine(committed: Any) -> None:
    text = NOTEBOOK.read_text()
    assert str(ROOT) not in text
    assert f"/{ROOT.parts[1]}/" not in text
    assert not re.search(r"(/home/|/root/|/Users/|/tmp/|[A-Z]:\\\\)", text)
    sources = "\n".join(cell.source for cell in committed.cells)
    # A slash that nothing stands before, and a folder: any path from the root.
    assert not re.search(r"(?<![\w.:/<)\]])/\w+/", sources + printed(committed))
    assert set(committed.metadata) == {"kernelspec", "language_info"}
    assert len(text) < 2_000_000


def test_the_time_that_is_promised_is_that_of_the_committed_run(committed: Any) -> None:
    found = re.search(r"all cells together took (\d+) s", printed(committed))
    assert found
    for text in (prose(committed), (ROOT / "README.md").read_text()):
        promised = re.search(r"(\d+) to (\d+) minutes on two (?:processor )?cores", text)
        assert promised
        assert int(promised[1]) <= round(int(found[1]) / 60) <= int(promised[2])


def test_it_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_DIGITS_FAST_RUN", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(ROOT)}})
    client.execute()
    text = check_story(notebook, "fast run", least_accuracy=96.0)
    wanted("72104/14959  (sure" in text)
