"""A FLUX.2 Klein of 640 kB with random weights, built without a network: saved and loaded as the real one, nonsense to look at.

Its text encoder has 28 layers, one more than the pipeline reads, and its VAE four levels, so that sizes are multiples of 16.
"""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline, Flux2Transformer2DModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

_WIDTH = 16
_SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
#: Qwen3's ChatML, reduced to what the pipeline sends.
_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{% endif %}"
)
_CORPUS = [
    "a photo of a red cat on a blue sofa",
    "a dog is dancing in the rain at night, watercolour",
    "an oil painting of a mountain lake at sunrise",
    "user assistant system picture drawing sketch portrait landscape city street",
] * 4


def save(folder: Path) -> None:
    """The same files each time."""
    build().save_pretrained(folder)


def build() -> Any:
    words = tokenizer()
    return assembled(_transformer(), _vae(), _text_encoder(words), words)


def assembled(transformer: Any, vae: Any, text_encoder: Any, words: Any) -> Any:
    """A pipeline of these, with the scheduler of the real one."""
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0,
            use_dynamic_shifting=True,
            base_shift=0.5,
            max_shift=1.15,
            base_image_seq_len=256,
            max_image_seq_len=4096,
            time_shift_type="exponential",
        ),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=words,
        transformer=transformer,
        is_distilled=True,
    )


def tokenizer() -> Any:
    """Byte-level BPE trained in memory: any text has tokens."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=_SPECIALS,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    trained.train_from_iterator(_CORPUS, trainer)
    return Qwen2TokenizerFast(
        tokenizer_object=trained,
        vocab=trained.get_vocab(),
        merges=[tuple(pair) for pair in json.loads(trained.to_str())["model"]["merges"]],
        unk_token=None,
        bos_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        chat_template=_TEMPLATE,
        model_max_length=1024,
        padding_side="right",
    )


def _text_encoder(words: Any) -> Any:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(words),
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        num_hidden_layers=28,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=words.pad_token_id,
        eos_token_id=words.eos_token_id,
        bos_token_id=None,
    )
    return Qwen3ForCausalLM(config).eval()


def _transformer() -> Any:
    torch.manual_seed(0)
    return Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * _WIDTH,
        timestep_guidance_channels=32,
        mlp_ratio=3.0,
        axes_dims_rope=(4, 4, 4, 4),
        rope_theta=2000,
        guidance_embeds=False,
    ).eval()


def _vae() -> Any:
    torch.manual_seed(0)
    return AutoencoderKLFlux2(
        sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
    ).eval()
