"""`mammo doctor`: looks at this machine and says what must be mended before a run, and how."""
