"""The pages of a PDF as pictures, drawn by pdfium, where the extra `pdf` is installed."""

from __future__ import annotations

from threading import RLock
from typing import Any

from PIL import Image

from ..errors import PictureError

# pdfium is not thread-safe. The lock is reentrant, as the garbage collector may close a PDF
# while the same thread draws another.
PDFIUM = RLock()


def is_pdf(content: bytes) -> bool:
    """Whether a file begins as a PDF does; some have blanks or a byte order mark before it."""
    return content[:1024].lstrip(b"\xef\xbb\xbf\0\t\n\f\r ").startswith(b"%PDF-")


class Pdf:
    """An open PDF, to be closed.

    Attributes:
        pages: their number, as the file says it.
    """

    def __init__(self, content: bytes) -> None:
        """Open the bytes of a file.

        Raises:
            PictureError: it cannot be opened; the message lacks the name of the file.
        """
        try:
            import pypdfium2
        except ImportError as error:
            need = "is a PDF, which takes one more package"
            raise PictureError(f"{need}: pip install 'mnist-digit-classification[pdf]'") from error
        with PDFIUM:
            try:
                self._document: Any = pypdfium2.PdfDocument(content)
            except pypdfium2.PdfiumError as error:
                raise PictureError(_reason(content)) from error
            self.pages = len(self._document)

    def draw(self, index: int, side: int) -> Image.Image:
        """A page, counted from 0, in RGB on white; its longer side has `side` pixels.

        Raises:
            Exception: pdfium's, if the page is damaged.
        """
        with PDFIUM:
            page = self._document[index]
            try:
                # Sides are rounded up.
                bitmap = page.render(scale=(side - 0.5) / max(page.get_size()), rev_byteorder=True)
                try:
                    return Image.fromarray(bitmap.to_numpy().copy())
                finally:
                    bitmap.close()
            finally:
                page.close()

    def close(self) -> None:
        with PDFIUM:
            self._document.close()


def _reason(content: bytes) -> str:
    """What is wrong with a PDF that cannot be opened."""
    from pypdfium2 import raw

    # It is opened again: pdfium's last error may be that of another file.
    document = raw.FPDF_LoadMemDocument64(content, len(content), None)
    if document:
        raw.FPDF_CloseDocument(document)
        return "has no pages"
    if raw.FPDF_GetLastError() in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
        return "is encrypted: save it without a password"
    return "is damaged and cannot be opened"
