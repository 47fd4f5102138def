"""The bridge: StatsD by UDP in, GET /metrics out, and the free space of the shared volume."""

from __future__ import annotations

import math
import shutil
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from ml_tasks.statsd.line import LineRefused, parse
from ml_tasks.statsd.series import Series

_LARGEST_PACKET = 65535


class Bridge:
    """Reads StatsD packets into series; what cannot be read is counted, never an end."""

    def __init__(self, series: Series, disks: Sequence[Path] = ()) -> None:
        self.series, self.registry = series, CollectorRegistry()
        self.registry.register(series)
        self._read = Counter("statsd_lines", "StatsD lines taken in", registry=self.registry)
        self._refused = Counter(
            "statsd_lines_refused", "StatsD lines left out", ["reason"], registry=self.registry
        )
        for reason in ("unreadable", "not_added"):
            self._refused.labels(reason)
        self._watch(disks)

    def take(self, packet: bytes) -> None:
        """Adds every line of one packet."""
        for line in packet.decode("utf-8", "replace").splitlines():
            if not line.strip():
                continue
            try:
                added = self.series.add(parse(line.strip()))
            except LineRefused:
                self._refused.labels("unreadable").inc()
                continue
            if added:
                self._read.inc()
            else:
                self._refused.labels("not_added").inc()

    def listen(self, source: socket.socket) -> None:
        """Takes packets until the socket is closed."""
        while True:
            try:
                self.take(source.recv(_LARGEST_PACKET))
            except OSError:
                return

    def answer(self, host: str, port: int) -> WSGIServer:
        """Starts to answer GET /metrics in a thread of its own."""
        server, _ = start_http_server(port, host, self.registry)
        return server

    def _watch(self, disks: Sequence[Path]) -> None:
        free = Gauge(
            "mammo_disk_free_bytes", "Free on the volume", ["path"], registry=self.registry
        )
        size = Gauge("mammo_disk_size_bytes", "The volume's size", ["path"], registry=self.registry)
        for disk in disks:
            # A volume that has gone must not take the other figures with it: it shows NaN.
            free.labels(str(disk)).set_function(partial(_free, disk))
            size.labels(str(disk)).set_function(partial(_size, disk))


def _free(disk: Path) -> float:
    try:
        return float(shutil.disk_usage(disk).free)
    except OSError:
        return math.nan


def _size(disk: Path) -> float:
    try:
        return float(shutil.disk_usage(disk).total)
    except OSError:
        return math.nan
