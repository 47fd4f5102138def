"""The shape that guides show: FastAPI, the Keras model in the process, `model.predict` a request.

`python -m benchmarks.peer_services.guide PORT`. The imaging is ours, so that only the serving
differs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI, File, UploadFile

from ml_tasks.imaging.clean import preprocess
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.model.backend import keras

_UPLOAD = File()


def application(bundle: Path) -> FastAPI:
    """One route, as the guide has it."""
    model = keras.models.load_model(bundle / "model.h5", compile=False)
    spec = ImageSpec.model_validate_json((bundle / "image_spec.json").read_bytes())
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/predict")
    def predict(file: UploadFile = _UPLOAD) -> dict[str, float]:
        grey = preprocess(file.file.read(), spec)[np.newaxis, ..., np.newaxis].astype(np.float32)
        answer = model.predict(np.repeat(grey, 3, axis=3), verbose=0)
        return {"probability": float(answer[0, 0])}

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(Path(os.environ["MAMMO_RELEASE"])),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
    )
