"""Small pictures on one thread: a second one costs more here than it brings."""

import torch

torch.set_num_threads(1)
