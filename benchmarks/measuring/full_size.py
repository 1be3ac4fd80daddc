"""SVD-XT and AnimateDiff in the sizes of their published weights, with weights of random numbers, for a GPU.

Sizes are those of the `config.json` files of stabilityai/stable-video-diffusion-img2vid-xt, of Stable Diffusion 1.5 and
of guoyww/animatediff-motion-adapter-v1-5-3. They say nothing of how a film looks, and all of how long it takes.
"""

from pathlib import Path
from typing import Any

from tests import diffusion_material as tiny


def vae(kind: Any, **more: Any) -> Any:
    """The autoencoder that both have, with a decoder of its own kind each."""
    return kind(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=2,
        **more,
    )


def svd_xt(folder: Path) -> Path:
    """Write SVD-XT: 25 frames of 1024 x 576. About 9 GB."""
    import diffusers  # noqa: PLC0415 - after the torchaudio mend of the tests' material
    import transformers  # noqa: PLC0415

    seen = transformers.CLIPVisionConfig(
        hidden_size=1280,
        intermediate_size=5120,
        num_hidden_layers=32,
        num_attention_heads=16,
        patch_size=14,
        image_size=224,
        projection_dim=1024,
        hidden_act="gelu",
    )
    unet = diffusers.UNetSpatioTemporalConditionModel(
        sample_size=96,
        num_frames=25,
        block_out_channels=(320, 640, 1280, 1280),
        num_attention_heads=(5, 10, 20, 20),
        cross_attention_dim=1024,
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=768,
        layers_per_block=2,
    )
    diffusers.StableVideoDiffusionPipeline(
        vae=vae(diffusers.AutoencoderKLTemporalDecoder),
        image_encoder=transformers.CLIPVisionModelWithProjection(seen),
        unet=unet,
        scheduler=tiny.karras(),
        feature_extractor=transformers.CLIPImageProcessor(size=224, crop_size=224),
    ).save_pretrained(folder)
    return folder


def animatediff(folder: Path) -> Path:
    """Write Stable Diffusion 1.5 with a motion adapter of version 1.5-3: 16 frames of 512 x 512. About 6 GB."""
    import diffusers  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    parts = tiny.stable_diffusion_parts()
    small: Any = parts["text_encoder"].config
    reader = transformers.CLIPTextConfig(
        bos_token_id=small.bos_token_id,
        eos_token_id=small.eos_token_id,
        pad_token_id=small.pad_token_id,
        vocab_size=small.vocab_size,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
    )
    parts |= {
        "text_encoder": transformers.CLIPTextModel(reader),
        "vae": vae(diffusers.AutoencoderKL, up_block_types=("UpDecoderBlock2D",) * 4, sample_size=512),
        "unet": diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
    }
    diffusers.AnimateDiffPipeline(**parts, motion_adapter=diffusers.MotionAdapter()).save_pretrained(folder)
    return folder
