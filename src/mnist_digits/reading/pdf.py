"""The pages of a PDF as pictures, drawn by pdfium, where the extra `pdf` is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any

from PIL import Image

from ..errors import PictureError

# pdfium is not thread-safe.
PDFIUM = Lock()


def is_pdf(content: bytes) -> bool:
    """Whether a file begins as a PDF does; some have blanks or a byte order mark before it."""
    return content[:1024].lstrip(b"\xef\xbb\xbf\0\t\n\f\r ").startswith(b"%PDF-")


def count_pages(content: bytes) -> int:
    """How many pages there are, as the file says it; PictureError if it cannot be opened."""
    with _opened(content) as document:
        return len(document)


def draw_page(content: bytes, index: int, side: int) -> Image.Image:
    """A page, counted from 0, on white, `side` pixels long; pdfium's error if it is damaged."""
    with _opened(content) as document:
        page = document[index]
        scale = (side - 0.5) / max(page.get_size())  # sides are rounded up
        with closing(page.render(scale=scale, rev_byteorder=True)) as bitmap:
            return Image.fromarray(bitmap.to_numpy().copy())


@contextmanager
def _opened(content: bytes) -> Iterator[Any]:
    """A PDF that no other thread has meanwhile; its pages are closed with it."""
    try:
        from pypdfium2 import PdfDocument, raw
    except ImportError as error:
        need = "is a PDF, which takes one more package"
        raise PictureError(f"{need}: pip install 'mnist-digit-classification[pdf]'") from error
    with PDFIUM:
        handle = raw.FPDF_LoadMemDocument64(content, len(content), None)
        if not handle:
            locked = raw.FPDF_GetLastError() in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY)
            encrypted = "is encrypted: save it without a password"
            raise PictureError(encrypted if locked else "is damaged and cannot be opened")
        with closing(PdfDocument(handle)) as document:
            if not len(document):
                raise PictureError("has no pages")
            yield document
