"""Reading, on ONNX Runtime, without torch: pictures, the finder, framing, the reader."""
