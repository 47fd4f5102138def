"""The images of the stack: what they are made of, and whether they must be made anew."""
