"""From a trained classifier to a folder that answers: transformers' own form, ONNX, or ONNX with 8-bit weights."""
