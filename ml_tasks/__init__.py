"""The work of the mammography pipeline: one module per stage, on rooms free of Airflow."""

import os

# ONNX Runtime sends usage data to its maker unless told not to before it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
