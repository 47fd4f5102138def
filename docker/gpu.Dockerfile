# The worker that trains and evaluates, and TensorBoard. The default lock brings NVIDIA's CUDA
# libraries; LOCK=cpu gives the same worker for a machine without a GPU.
#   docker build -f docker/gpu.Dockerfile -t mammography-gpu .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
ARG LOCK=gpu

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH \
    MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true \
    AIRFLOW_HOME=/opt/airflow MAMMO_CONFIG=/opt/mammo/config.yaml TF_CPP_MIN_LOG_LEVEL=3 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN python3 -m venv /opt/venv \
 && useradd --uid 50000 --gid 0 --create-home airflow \
 && install -d -o airflow -g 0 /opt/airflow /opt/mammo /opt/mammo/runs /opt/mammo/releases /opt/mammo/data
COPY requirements/bootstrap.txt requirements/${LOCK}.txt /tmp/locks/
RUN pip install --require-hashes -r /tmp/locks/bootstrap.txt \
 && pip install --require-hashes -r /tmp/locks/${LOCK}.txt
WORKDIR /opt/mammo
COPY pyproject.toml README.md ./
COPY ml_tasks ml_tasks
RUN pip install --no-deps --no-build-isolation --no-index -e . && python -m compileall -q ml_tasks
USER 50000:0
CMD ["airflow", "version"]
