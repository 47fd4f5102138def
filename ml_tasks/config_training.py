"""The section `training` of config.yaml: how the network learns, and on what."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from ml_tasks.config_section import Section

Block = Literal["conv2", "conv3", "conv4", "conv5"]


class UnfreezingStep(Section):
    """Which dense blocks learn, for which share of the epochs, how fast."""

    blocks: tuple[Block, ...] = ()
    share: float = Field(gt=0, le=1)
    learning_rate: float = Field(gt=0, le=1)


class AugmentationConfig(Section):
    """Random changes of the training images; 0 and false switch each of them off."""

    rotation_degrees: float = Field(15, ge=0, le=180)
    horizontal_flip: bool = True
    vertical_flip: bool = True
    shift: float = Field(0.05, ge=0, le=0.5)  # of the side
    zoom: float = Field(0.1, ge=0, le=0.5)
    contrast: float = Field(0.1, ge=0, lt=1)


class TrainingConfig(Section):
    """How the network learns."""

    batch_size: int = Field(32, ge=2, le=4096)
    epochs: int = Field(30, ge=1, le=1000)
    seed: int = Field(1, ge=0)
    deterministic: Literal["auto"] | bool = "auto"
    precision: Literal["auto", "float32", "mixed"] = "auto"
    xla: Literal["auto", "on", "off"] = "auto"
    histograms: bool = False
    early_stopping_patience: int = Field(6, ge=1)
    reduce_lr_patience: int = Field(3, ge=1)
    reduce_lr_factor: float = Field(0.3, gt=0, lt=1)
    from_scratch_learning_rate: float = Field(1e-3, gt=0, le=1)
    unfreezing: tuple[UnfreezingStep, ...] = Field(
        (
            UnfreezingStep(blocks=(), share=0.4, learning_rate=1e-3),
            UnfreezingStep(blocks=("conv5",), share=0.3, learning_rate=1e-4),
            UnfreezingStep(blocks=("conv4", "conv5"), share=0.3, learning_rate=1e-5),
        ),
        min_length=1,
    )
    augmentation: AugmentationConfig = AugmentationConfig()

    @field_validator("xla", mode="before")
    @classmethod
    def _switch_as_word(cls, xla: Any) -> Any:
        """YAML reads a bare `on` and `off` as true and false."""
        return {True: "on", False: "off"}.get(xla, xla) if isinstance(xla, bool) else xla
