"""How a lack of memory is told from other errors, and what is left of it given back."""

import gc

import torch

_SAID = ("out of memory", "DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")
"""What allocators say that have no class of their own for it: the CPU's, MPS, cuBLAS."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory, on a GPU or for the CPU.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes"))
    True
    >>> is_out_of_memory(RuntimeError("shapes do not match"))
    False
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)


def give_memory_back() -> None:
    """Frees what nothing refers to any more. Called outside of `except`: the error's frames hold the tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
