"""One small adapter for each video pipeline: earlier frames and a plan line in, only the new frames out."""
