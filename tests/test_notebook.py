from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "MNIST.ipynb"
SECTIONS = (
    *("Hyperparameters", "Data loading", "Model definition", "Training loop"),
    *("Evaluation", "Sample predictions"),
)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: Any) -> str:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {
        "stream",
        "execute_result",
        "display_data",
    }
    streams = [output for output in outputs if output.output_type == "stream"]
    assert all(output.name == "stdout" for output in streams)
    return "".join(output.text for output in streams)


def accuracies(text: str) -> list[float]:
    return [float(figure) for figure in re.findall(r"test accuracy +([\d.]+)%", text)]


@pytest.fixture(scope="module")
def committed() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_has_the_sections(committed: Any) -> None:
    text = "\n".join(cell.source for cell in committed.cells if cell.cell_type == "markdown")
    assert tuple(re.findall(r"^## (.*)$", text, flags=re.MULTILINE))[:6] == SECTIONS


def test_its_outputs_are_those_of_a_run_from_top_to_bottom(committed: Any) -> None:
    counts = [cell.execution_count for cell in code_cells(committed)]
    assert counts == list(range(1, len(counts) + 1))
    assert min(accuracies(printed(committed))) >= 99.0
    assert len(re.findall(r"image/png", NOTEBOOK.read_text())) >= 4
    text = NOTEBOOK.read_text()
    assert str(ROOT) not in text
    assert not re.search(r"(/home/|/root/|/Users/|/tmp/|[A-Z]:\\\\)", text)


@pytest.mark.usefixtures("cache")
def test_it_runs_from_top_to_bottom() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}})
    client.execute()
    assert min(accuracies(printed(notebook))) >= 98.5
