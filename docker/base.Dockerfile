# Upstream's image of a service, ready to run as user 999 of group 999 on a read-only root.
# Copied whole into a new image: what upstream declares as a volume could not be given to another
# user, and its entrypoint would first be root. `mammo base_images` builds it.
ARG BASE
FROM ${BASE} AS upstream
FROM scratch
COPY --from=upstream / /
COPY registry.yml /etc/docker/registry/config.yml
ARG SEARCH
ARG FOLDER
USER 0
ENV PATH=${SEARCH}
RUN set -e; \
    grep -q '^[^:]*:[^:]*:999:' /etc/passwd || echo 'service:x:999:999::/tmp:/bin/sh' >> /etc/passwd; \
    grep -q '^[^:]*:[^:]*:999:' /etc/group || echo 'service:x:999:' >> /etc/group; \
    mkdir -p "${FOLDER}"; chown -R 999:999 "${FOLDER}"; chmod 0700 "${FOLDER}"
USER 999:999
