"""ONNX files of this package: with a checksum, and with what they say of themselves."""

from __future__ import annotations

import hashlib
import os

# Otherwise ONNX Runtime sends telemetry, and keeps an identifier in the home folder. It reads the
# variable when it is imported, which happens only here. Another value is replaced: nothing must
# leave the computer.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime  # noqa: TID251

# Older versions for Windows have another telemetry, which does not read the variable.
onnxruntime.disable_telemetry_events()

# What stands before the checksum in a model file: in protobuf, the beginning of an entry of the
# metadata called sha256, whose value has 64 characters.
CHECKSUM = b"\n\x06sha256\x12\x40"


def open_model(
    model: bytes, format: str, threads: int | None
) -> tuple[onnxruntime.InferenceSession, dict[str, str]]:
    """An ONNX file of this package, ready to run, and what it says of itself.

    Raises:
        ValueError: it is damaged, or is of another kind.
    """
    # This comes first, so that the runtime never sees a damaged file.
    if with_checksum(model) != model:
        raise ValueError("it is damaged: its checksum is not that of its content")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or 0
    # Otherwise waiting threads would keep a core busy between two pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    values = session.get_modelmeta().custom_metadata_map
    if values.get("format") != format:
        raise ValueError("it does not say that it is a model of mnist-digits")
    return session, values


def with_checksum(model: bytes) -> bytes:
    """A model file with its checksum: SHA-256 of the file with zeros in place of the checksum.

    It is against damage, not against malice: whoever changes a model can compute it anew.

    Raises:
        ValueError: it has no place for a checksum.
    """
    before, key, rest = model.rpartition(CHECKSUM)
    if not key:
        raise ValueError("it has no checksum, so it is no model of mnist-digits")
    blank = b"".join([before, key, b"0" * 64, rest[64:]])
    return b"".join([before, key, hashlib.sha256(blank).hexdigest().encode(), rest[64:]])
