# The serving base: Python, the locked wheels and the service, without any model.
# Built without a network; the wheels come with the build context.
ARG PYTHON_BASE
FROM ${PYTHON_BASE} AS builder
COPY wheels /wheels
COPY serving.txt /serving.txt
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/python -m pip install --no-index --find-links /wheels --require-hashes \
        --no-deps --no-cache-dir --no-compile --disable-pip-version-check --quiet -r /serving.txt \
 && /opt/venv/bin/python -m pip check
COPY slim /build
COPY app /service/app
# Only what the service needs goes into the new root, and every module of it is loaded there.
RUN PYTHONPATH=/build python3 -m ml_tasks.release.slim /opt/venv /service /slim
# By this label the builder, a gigabyte, is removed once the base is there.
ARG BASE
LABEL mammography.builder-of=${BASE}

FROM scratch
COPY --from=builder /slim /
COPY --from=builder /service /
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    MAMMO_RELEASE=/release
WORKDIR /app
USER 10001:10001
EXPOSE 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "ml_tasks.serving.probe"]
CMD ["python", "-m", "ml_tasks.serving"]
