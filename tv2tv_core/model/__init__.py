"""The TV2TV model: towers, shared attention, rectified flow, codec, motion, checkpoints."""
