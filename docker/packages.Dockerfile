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
# uv installs in a tenth of pip's time; it is of no use afterwards and does not stay.
RUN set -e; \
    [ -x /opt/venv/bin/python ] || python3 -m venv --without-pip /opt/venv; \
    python3 -m venv /tmp/installer; \
    /tmp/installer/bin/python -m pip install --quiet --no-cache-dir --no-index \
        --find-links "${WHEELS}/" --require-hashes --no-deps -r "${WHEELS}/installer.txt"; \
    /tmp/installer/bin/uv pip install --python /opt/venv/bin/python --no-cache --quiet \
        --no-index --find-links "${WHEELS}/" --require-hashes --no-deps --link-mode copy \
        -r "${WHEELS}/${LOCK}"; \
    /tmp/installer/bin/uv pip check --quiet --python /opt/venv/bin/python; \
    python3 -m compileall -q -j 0 /opt/venv/lib || true; \
    rm -rf /tmp/installer
