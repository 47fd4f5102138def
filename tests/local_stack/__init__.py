"""Tests of the local stack: real processes, real ports, a real registry."""
