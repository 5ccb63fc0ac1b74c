"""Starter weights as package data: `starter/*.onnx`, trained by us on CC0 material."""
