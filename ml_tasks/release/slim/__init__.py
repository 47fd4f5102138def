"""From a full Debian root with its packages to the root of the serving base: what is needed."""
