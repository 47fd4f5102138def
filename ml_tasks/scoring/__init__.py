"""A folder of images, scored by one release: listed, scored in chunks, put together in tables."""
