"""TV2TV Studio core: the model, the interleaved engine, data, training and evaluation. Never imports app."""
