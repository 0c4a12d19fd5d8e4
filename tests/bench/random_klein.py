"""FLUX.2 Klein 4B as it is built, with random weights: as slow as the real one, since time follows from shapes alone."""

from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from tiny_klein import assembled, tokenizer
from transformers import Qwen3Config, Qwen3ForCausalLM

#: 3,876 M, 4,023 M and, by its defaults, 84 M parameters: 16 GB in 16 bits.
_TRANSFORMER: dict[str, Any] = {
    "patch_size": 1,
    "in_channels": 128,
    "num_layers": 5,
    "num_single_layers": 20,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 7680,
    "timestep_guidance_channels": 256,
    "mlp_ratio": 3.0,
    "axes_dims_rope": (32, 32, 32, 32),
    "rope_theta": 2000,
    "guidance_embeds": False,
}
_TEXT_ENCODER: dict[str, Any] = {
    "vocab_size": 151_936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40_960,
    "tie_word_embeddings": True,
}


def build(device: str) -> Any:
    """In 16 bits on the device itself: nothing of it passes through the host's memory."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            parts = (
                Flux2Transformer2DModel(**_TRANSFORMER),
                AutoencoderKLFlux2(),
                Qwen3ForCausalLM(Qwen3Config(**_TEXT_ENCODER)),
            )
    finally:
        torch.set_default_dtype(before)
    with torch.no_grad():
        for part in parts:
            _fill(part.eval().requires_grad_(False))
    transformer, vae, text_encoder = parts
    return assembled(transformer, vae, text_encoder, tokenizer())


def _fill(module: torch.nn.Module) -> None:
    """Not with one value: a GPU is some per cent faster on numbers that are all the same."""
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(0.0, 0.02)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
