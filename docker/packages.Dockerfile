# What a role's locks name, installed into /opt/venv: the layer below the code of an image.
# The locks and their wheels come from a server on this machine, for as long as the build takes:
# no index is asked, and neither wheels nor locks are left in a layer. `mammo images` builds it.
ARG BASE
FROM ${BASE}
ARG WHEELS
ARG LOCK
ENV PATH=/opt/venv/bin:$PATH \
    VIRTUAL_ENV=/opt/venv \
    PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
# uv takes a fraction of pip's time; it is of no use afterwards and does not stay. It unpacks into a
# cache and links from there: copies would be written twice. Headers and the tests of the largest
# packages go: 300 MB that nothing here reads.
RUN set -e; \
    export UV_CACHE_DIR=/tmp/installer/cache; \
    [ -x /opt/venv/bin/python ] || python3 -m venv --without-pip /opt/venv; \
    python3 -m venv /tmp/installer; \
    /tmp/installer/bin/python -m pip install --quiet --no-cache-dir --no-index \
        --find-links "${WHEELS}/" --require-hashes --no-deps -r "${WHEELS}/installer.txt"; \
    /tmp/installer/bin/uv pip install --python /opt/venv/bin/python --quiet \
        --no-index --find-links "${WHEELS}/" --require-hashes --no-deps \
        --link-mode hardlink -r "${WHEELS}/${LOCK}"; \
    /tmp/installer/bin/uv pip check --quiet --python /opt/venv/bin/python; \
    rm -rf /tmp/installer; \
    cd /opt/venv/lib/python3*/site-packages; \
    rm -rf tensorflow/include pyarrow/include; \
    for package in pandas scipy sklearn; do \
        find "$package" -type d -name tests -prune -exec rm -rf '{}' +; \
    done; \
    /opt/venv/bin/python -m compileall -q -j 0 . >/dev/null || true
