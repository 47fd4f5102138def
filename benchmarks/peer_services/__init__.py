"""The services that ours is measured against, each a program of its own."""
