# The serving base: Python, the locked wheels and the service, without any model.
# Built without a network; the wheels come with the build context.
ARG PYTHON_BASE
FROM ${PYTHON_BASE} AS builder
COPY wheels /wheels
COPY serving.txt /serving.txt
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/python -m pip install --no-index --find-links /wheels --require-hashes \
        --no-deps --no-cache-dir --disable-pip-version-check --quiet -r /serving.txt \
 && /opt/venv/bin/python -m pip check \
 && /opt/venv/bin/python -m pip uninstall --yes --quiet setuptools pip \
 && find /opt/venv -type d -name tests -prune -exec rm -rf {} +
COPY app /app
# Compiled now, since nothing can be written when it runs; hashes, since copying changes times.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${PYTHON_BASE}
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
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
