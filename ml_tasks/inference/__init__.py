"""A release and bytes in, a result out: the one predictor, in evaluation and in the service."""

import os

# ONNX Runtime's wheels report their use to their maker unless this stands before the first import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
