"""Tiny pipelines of diffusers with random weights, saved as real ones are, and the backends that load them."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visualizr.backend import Picture
from visualizr.backends.diffusion.soundless import mend_torchaudio

os.environ.setdefault("HF_HUB_OFFLINE", "1")
mend_torchaudio()

WIDTHS = (32, 64)


def photo(width: int = 96, height: int = 80, seed: int = 0) -> Picture:
    """A picture with soft patches of colour."""
    small = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    return Picture("image/png", bytes(cv2.imencode(".png", cv2.resize(small, (width, height)))[1]))


def karras() -> Any:
    """SVD's scheduler, as published."""
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(
        timestep_spacing="leading",
        steps_offset=1,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        interpolation_type="linear",
        timestep_type="continuous",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
    )


def eye() -> Any:
    """The network that looks at the image for SVD."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    seen = CLIPVisionConfig(
        hidden_size=32,
        projection_dim=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=224,
        intermediate_size=37,
        patch_size=32,
    )
    return CLIPVisionModelWithProjection(seen)


def tiny_svd(folder: Path, widths: tuple[int, ...] = WIDTHS, layers: int = 1) -> Path:
    """Stable Video Diffusion, 8 MB; 4 frames by itself."""
    import torch
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )
    from transformers import CLIPImageProcessor

    torch.manual_seed(0)
    deeper = len(widths) - 1
    unet = UNetSpatioTemporalConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=4,
        num_frames=4,
        block_out_channels=widths,
        down_block_types=("CrossAttnDownBlockSpatioTemporal",) * deeper + ("DownBlockSpatioTemporal",),
        up_block_types=("UpBlockSpatioTemporal",) + ("CrossAttnUpBlockSpatioTemporal",) * deeper,
        cross_attention_dim=32,
        num_attention_heads=8,
        projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32,
        layers_per_block=layers,
    )
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        layers_per_block=1,
    )
    pipeline = StableVideoDiffusionPipeline(
        vae=vae,
        image_encoder=eye(),
        unet=unet,
        scheduler=karras(),
        feature_extractor=CLIPImageProcessor(size=224, crop_size=224),
    )
    pipeline.save_pretrained(folder)
    return folder


def tokenizer() -> Any:
    """CLIP's tokenizer with bytes for words, so that nothing is fetched."""
    from transformers import CLIPTokenizer

    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [value for value in range(256) if value not in plain]
    letters = [chr(value) for value in plain] + [chr(256 + number) for number in range(len(others))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77)


def stable_diffusion_parts(widths: tuple[int, ...] = WIDTHS, layers: int = 1) -> dict[str, Any]:
    """What Stable Diffusion 1.5 consists of."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    deeper = len(widths) - 1
    reader = CLIPTextConfig(
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        vocab_size=514,
    )
    return {
        "vae": AutoencoderKL(
            block_out_channels=(32, 32, 32, 64),
            in_channels=3,
            out_channels=3,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=2,
        ),
        "text_encoder": CLIPTextModel(reader),
        "tokenizer": tokenizer(),
        "unet": UNet2DConditionModel(
            block_out_channels=widths,
            layers_per_block=layers,
            sample_size=8,
            in_channels=4,
            out_channels=4,
            down_block_types=("CrossAttnDownBlock2D",) * deeper + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * deeper,
            cross_attention_dim=32,
            norm_num_groups=2,
        ),
        "scheduler": DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False, steps_offset=1
        ),
    }


def tiny_text_to_image(folder: Path) -> Path:
    """Stable Diffusion 1.5, the base that AnimateDiff moves and that draws for SVD."""
    from diffusers import StableDiffusionPipeline

    StableDiffusionPipeline(
        **stable_diffusion_parts(), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    ).save_pretrained(folder)
    return folder


def tiny_motion_adapter(folder: Path, widths: tuple[int, ...] = WIDTHS, layers: int = 1) -> Path:
    """A motion adapter that fits it."""
    import torch
    from diffusers import MotionAdapter

    torch.manual_seed(1)
    MotionAdapter(
        block_out_channels=widths,
        motion_layers_per_block=layers,
        motion_norm_num_groups=2,
        motion_num_attention_heads=4,
    ).save_pretrained(folder)
    return folder


def tiny_animatediff(folder: Path, widths: tuple[int, ...] = WIDTHS, layers: int = 1) -> Path:
    """AnimateDiff in one folder, its motion adapter inside."""
    from diffusers import AnimateDiffPipeline, MotionAdapter

    adapter = MotionAdapter.from_pretrained(tiny_motion_adapter(folder / "adapter", widths, layers))
    AnimateDiffPipeline(**stable_diffusion_parts(widths, layers), motion_adapter=adapter).save_pretrained(folder)
    return folder


def tiny_sparse_control(folder: Path) -> Path:
    """A SparseCtrl model that fits the tiny AnimateDiff."""
    import torch
    from diffusers import SparseControlNetModel

    torch.manual_seed(2)
    model = SparseControlNetModel(
        block_out_channels=WIDTHS,
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        layers_per_block=1,
        norm_num_groups=2,
        cross_attention_dim=32,
        attention_head_dim=8,
        motion_num_attention_heads=4,
        temporal_transformer_layers_per_block=1,
        use_simplified_condition_embedding=True,
        conditioning_channels=4,
    )
    # As initialised it adds nothing at all.
    for block in [*model.controlnet_down_blocks, model.controlnet_mid_block]:
        torch.nn.init.normal_(block.weight, std=0.3)
    model.save_pretrained(folder)
    return folder


def tiny_few_steps(folder: Path) -> Path:
    """A UNet for few steps that fits the tiny SVD: as a folder, and as one file beside its configuration."""
    import torch
    from diffusers import UNetSpatioTemporalConditionModel

    unet = UNetSpatioTemporalConditionModel.from_pretrained(folder.parent / "svd", subfolder="unet")
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in unet.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    unet.save_pretrained(folder)
    return folder


def tiny_ip_adapter(folder: Path) -> Path:
    """An IP-Adapter that fits the tiny Stable Diffusion, as published: one file, its image encoder beside it."""
    import torch
    from diffusers import UNet2DConditionModel
    from safetensors.torch import save_file

    torch.manual_seed(4)
    unet: UNet2DConditionModel = stable_diffusion_parts()["unet"]
    written, number, width = {}, 1, 32
    for name in unet.attn_processors:
        if ".attn2." not in name:
            continue
        attention = unet.get_submodule(name.removesuffix(".processor"))
        for part in ("to_k_ip", "to_v_ip"):
            written[f"ip_adapter.{number}.{part}.weight"] = torch.randn(attention.inner_dim, width) * 0.5
        number += 2
    written["image_proj.proj.weight"] = torch.randn(4 * width, width) * 0.5
    written["image_proj.proj.bias"] = torch.zeros(4 * width)
    written["image_proj.norm.weight"] = torch.ones(width)
    written["image_proj.norm.bias"] = torch.zeros(width)
    folder.mkdir()
    save_file(written, folder / "ip-adapter.safetensors")
    eye().save_pretrained(folder / "image_encoder")
    return folder / "ip-adapter.safetensors"


def tiny_lora(folder: Path) -> Path:
    """A LoRA that fits the tiny Stable Diffusion's UNet."""
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    unet: UNet2DConditionModel = stable_diffusion_parts()["unet"]
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v"]))
    torch.manual_seed(5)
    for name, weight in unet.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.5)
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))
    return folder
