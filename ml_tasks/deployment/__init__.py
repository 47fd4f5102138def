"""The stack of docker-compose.yaml on this machine: made, started, kept, moved."""
