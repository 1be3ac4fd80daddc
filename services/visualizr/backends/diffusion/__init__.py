"""Films by diffusion: Stable Video Diffusion (`svd`) and AnimateDiff (`animatediff`), on PyTorch and diffusers.

A film is made in three stages: conditioning, denoising step by step, and decoding the latents frame by frame. `take`
runs them in a thread so that progress can be told and the work be stopped between two steps; `plan` decides how they
are made fast and what is tried when memory is short; `caching` leaves deep blocks of the UNet out of most steps.
Nothing here imports PyTorch before `load()`.
"""
