# The code, on the packages of one role: Airflow's roles and the default worker (no TensorFlow),
# or a worker of the queue gpu (BASE brings TensorFlow, for the CPU or with CUDA).
# `mammo images` builds all of them from this one file.
ARG BASE
FROM ${BASE}
# USER is what Python answers for a user that no passwd entry names: any uid of group 0 may run it.
ENV HOME=/opt/airflow USER=airflow \
    AIRFLOW_HOME=/opt/airflow \
    MAMMO_CONFIG=/mammo/config.yaml \
    GX_ANALYTICS_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true \
    TF_CPP_MIN_LOG_LEVEL=3
WORKDIR /opt/mammo
COPY app ./
# In its development form, beside the files that image builds read from the checkout.
RUN useradd --uid 50000 --gid 0 --home-dir /opt/airflow --no-create-home airflow \
 && install -d -o 50000 -g 0 -m 0775 /opt/airflow /opt/airflow/logs /opt/airflow/mlflow /mammo \
 && install -d -o 999 -g 0 -m 0755 /keys \
 && pip install --quiet --no-deps --no-build-isolation --no-index --no-cache-dir -e . \
 && python -m compileall -q -j 0 /opt/mammo
USER 50000:0
CMD ["airflow", "version"]
