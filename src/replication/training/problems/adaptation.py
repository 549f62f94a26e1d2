"""Fine-tuning of Stable Diffusion on training images and the prompts of their classes."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from replication.cells import Score
from replication.data.images.domains import DomainDataset
from replication.settings.generators import StableDiffusion
from replication.training.diagnostics import Diagnostics
from replication.training.problems.denoising import Noised
from replication.upstream.diffusion import pipelines


class Adaptation:
    """The noise in latents at times drawn evenly, by mean squared error (Rombach et al. 2022).

    Prompts and images are encoded in each step; autoencoder and text encoder stay as they are, and
    of the UNet low-rank layers in the attention are trained (Hu et al. 2022), or all of it. A share
    of the prompts is left empty, so that the model can be guided.
    """

    def __init__(self, settings: StableDiffusion, dataset: DomainDataset, device: torch.device):
        self.settings, self.dataset, self.device = settings, dataset, device
        training = settings.training
        torch.manual_seed(training.seed)
        self.pipeline, _ = pipelines.load(settings, "text2img", torch.device("cpu"))
        self.pipeline.to(device)
        self.model = pipelines.adapted(self.pipeline.unet, training)
        self.prompts = [training.template.replace("{}", name) for name in dataset.class_names]
        self.scheduler = pipelines.noising(self.pipeline)
        self.count = math.ceil(len(dataset.train) / training.batch_size)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, training.learning_rate, weight_decay=0.01)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, self.count * training.epochs
        )
        self.streams = {"drawn": torch.Generator().manual_seed(training.seed)}
        self.diagnostics = Diagnostics()

    @property
    def learnt(self) -> pipelines.Learnt:
        """What is kept of it: the parameters that are trained."""
        return pipelines.Learnt(self.model)

    def batches(self, epoch: int) -> Iterator[Noised]:
        drawn, last = self.streams["drawn"], self.scheduler.config.num_train_timesteps
        inputs, labels = self.dataset.train.inputs, self.dataset.train.labels
        order = torch.randperm(len(labels), generator=drawn)
        for i in order.tensor_split(self.count):
            images = torch.as_tensor(inputs[i if not hasattr(inputs, "dtype") else i.numpy()])
            latents = self._latents(images)
            out = torch.rand(len(i), generator=drawn) < self.settings.training.dropped
            prompts = ["" if o else self.prompts[k] for o, k in zip(out, labels[i], strict=True)]
            noise = torch.randn(latents.shape, generator=drawn)
            times = torch.randint(last, (len(i),), generator=drawn)
            yield Noised(
                latents, noise.to(self.device), times.to(self.device), self._texts(prompts)
            )

    def loss(self, batch: Noised) -> Tensor:
        noised = self.scheduler.add_noise(batch.images, batch.noise, batch.times)
        found = self.model(noised, batch.times, batch.conditions).sample
        return F.mse_loss(found, batch.noise)

    def validation_score(self) -> float:
        raise NotImplementedError  # the last epoch is taken

    def scores(self) -> list[Score]:
        return []

    @torch.no_grad()
    def _latents(self, images: Tensor) -> Tensor:
        """(b, C, H, W) uint8 -> the autoencoder's means, scaled."""
        side, vae = self.settings.side, self.pipeline.vae
        x = images.to(self.device).float().expand(-1, 3, -1, -1)
        x = F.interpolate(x, (side, side), mode="bicubic", antialias=True).clamp(0, 255)
        return vae.encode(x / 127.5 - 1).latent_dist.mean * vae.config.scaling_factor

    @torch.no_grad()
    def _texts(self, prompts: list[str]) -> Tensor:
        """Embeddings (b, tokens, d)."""
        tokenizer = self.pipeline.tokenizer
        tokens = tokenizer(
            prompts,
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return self.pipeline.text_encoder(tokens.input_ids.to(self.device))[0]
