"""Policies that leave the trainer: ONNX files for devices that have neither Ray nor torch."""
