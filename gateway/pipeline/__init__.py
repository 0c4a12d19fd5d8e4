"""The path of one request, step by step, over the ports alone."""
