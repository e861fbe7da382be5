"""The ONNX exporter that every supported torch has: the one that traces, TorchScript's."""

import inspect
from typing import Any

import torch

# From 2.5 on torch.onnx.export chooses between two exporters, from 2.9 on by default the other one, which needs
# onnxscript. torch 2.4 knows the tracing one alone.
BY_TRACING: dict[str, Any] = {'dynamo': False} if 'dynamo' in inspect.signature(torch.onnx.export).parameters else {}
