"""The ONNX package: export, parity, variants, sessions, timing."""
