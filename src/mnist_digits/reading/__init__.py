"""Reading, on ONNX Runtime, without torch: pictures, detection, reading order, the reader."""


def percentage(confidence: float) -> str:
    """Rounded down to a tenth of a per cent: nothing is 100% sure."""
    return f"{min(int(1000 * confidence), 999) / 10}%"
