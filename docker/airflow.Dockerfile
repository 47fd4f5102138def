# Airflow's own roles, the default worker and the builder: no TensorFlow, no training code's needs.
#   docker build -f docker/airflow.Dockerfile -t mammography-airflow .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH \
    MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true \
    AIRFLOW_HOME=/opt/airflow MAMMO_CONFIG=/opt/mammo/config.yaml GX_ANALYTICS_ENABLED=false
RUN python3 -m venv /opt/venv \
 && useradd --uid 50000 --gid 0 --create-home airflow \
 && install -d -o airflow -g 0 /opt/airflow /opt/mammo /opt/mammo/runs /opt/mammo/releases /opt/mammo/data \
        /opt/mammo/mlflow
COPY requirements/bootstrap.txt requirements/airflow.txt /tmp/locks/
RUN pip install --require-hashes -r /tmp/locks/bootstrap.txt \
 && pip install --require-hashes -r /tmp/locks/airflow.txt
# In its development form, beside the files that image builds read from the checkout.
WORKDIR /opt/mammo
COPY pyproject.toml README.md ./
COPY ml_tasks ml_tasks
COPY docker docker
COPY requirements/serving.txt requirements/
RUN pip install --no-deps --no-build-isolation --no-index -e . && python -m compileall -q ml_tasks
USER 50000:0
CMD ["airflow", "version"]
