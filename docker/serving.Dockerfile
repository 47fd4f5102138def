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
RUN PYTHONPATH=/build python3 -m ml_tasks.release.slim /opt/venv /slim
COPY app /app
# Compiled now, since nothing can be written when it runs; hashes, since copying changes times.
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app
# In the new root, where only what was taken along is there, every module must load.
RUN cp -a /app /slim/app \
 && chroot --userspec=10001:10001 /slim /usr/bin/env PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 \
        /opt/venv/bin/python -W ignore -c "import pkgutil, importlib, ml_tasks; \
[importlib.import_module(m.name) for m in pkgutil.walk_packages(ml_tasks.__path__, 'ml_tasks.') \
if not m.name.endswith('__main__')]" \
 && rm -r /slim/app

FROM scratch
COPY --from=builder /slim /
COPY --from=builder /app /app
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
