"""LitServe: `python -m benchmarks.peer_services.litserve_service PORT`, with its fast queue."""

# No postponed annotations here: LitServe looks at that of decode_request.
import os
import sys

import litserve
from fastapi import Request

from benchmarks.peer_services.answering import Runtime


class Mammography(litserve.LitAPI):  # type: ignore[misc]
    """The answer to one uploaded file."""

    def setup(self, device: str) -> None:
        """Loads the release in each worker."""
        self.runtime = Runtime.from_environment()

    def decode_request(self, request: Request) -> bytes:
        """The bytes of the form's field `file`; LitServe hands on the form of a request."""
        return bytes(request["file"].file.read())

    def predict(self, data: bytes) -> dict[str, float]:
        """Imaging and model."""
        return self.runtime(data)

    def encode_response(self, output: dict[str, float]) -> dict[str, float]:
        """JSON as it is."""
        return output


def main() -> None:
    """Serves until it is ended."""
    server = litserve.LitServer(
        Mammography(api_path="/predict"),
        accelerator="cpu",
        workers_per_device=int(os.environ["PEER_WORKERS"]),
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )


if __name__ == "__main__":
    main()
