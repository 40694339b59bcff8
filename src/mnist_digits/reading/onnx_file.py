"""ONNX files of this package: with a checksum, and with what they say of themselves."""

from __future__ import annotations

import hashlib
import os

# Otherwise ONNX Runtime sends telemetry, and keeps an identifier in the home. It reads this while
# it is imported, here alone. Set whatever it was before: nothing leaves the computer.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime  # noqa: TID251

# Older versions for Windows have another telemetry, which does not read the variable.
onnxruntime.disable_telemetry_events()

# How its checksum begins in a model file, in the words of protobuf: an entry of the metadata of
# this name, with a value of 64 characters.
CHECKSUM = b"\n\x06sha256\x12\x40"


def open_model(
    model: bytes, format: str, threads: int | None
) -> tuple[onnxruntime.InferenceSession, dict[str, str]]:
    """An ONNX file of this package, ready to run, and what it says of itself.

    Raises:
        ValueError: it is damaged, or is of another kind.
    """
    # First of all: the runtime sees no file that has been damaged.
    if with_checksum(model) != model:
        raise ValueError("it is damaged: its checksum is not that of its content")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or 0
    # Waiting threads would otherwise keep a core busy between two pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    values = session.get_modelmeta().custom_metadata_map
    if values.get("format") != format:
        raise ValueError("it does not say that it is a model of mnist-digits")
    return session, values


def with_checksum(model: bytes) -> bytes:
    """A model file with its checksum: SHA-256 of the file as it is with zeros in its place.

    Against damage, not against malice: whoever changes a model can seal it anew.

    Raises:
        ValueError: it has no place for a checksum.
    """
    before, key, rest = model.rpartition(CHECKSUM)
    if not key:
        raise ValueError("it has no checksum, so it is no model of mnist-digits")
    blank = b"".join([before, key, b"0" * 64, rest[64:]])
    return b"".join([before, key, hashlib.sha256(blank).hexdigest().encode(), rest[64:]])
