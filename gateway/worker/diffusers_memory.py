"""How full a GPU is, by the allocator's own books: to ask the driver of a GPU that hangs would hang as well."""

import torch

from gateway.core.worker_messages import Memory


def begin(device: torch.device) -> None:
    """From here on the most that is held counts anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def memory(device: torch.device) -> Memory | None:
    if device.type != "cuda":
        return None
    return Memory(
        used=torch.cuda.max_memory_allocated(device),
        reserved=torch.cuda.memory_reserved(device),
        total=torch.cuda.get_device_properties(device).total_memory,
    )
