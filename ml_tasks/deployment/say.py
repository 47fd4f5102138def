"""How the commands of the stack tell people what they do."""

from collections.abc import Callable

Say = Callable[[str], None]  # takes one line
