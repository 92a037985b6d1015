"""Samples that share every UNet call, whatever their prompts, seeds, steps, samplers and timesteps are.

What differs between samples is data in the rows of tensors; a row's place in its own table of coefficients
is a cursor on the device, so that a step is the same few kernels for any mixture and never waits for the
host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from engine.worker.samplers import SamplerTable

UNet = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""From latents (rows, 4, h, w), timesteps (rows,), embeddings (rows, tokens, hidden) and a mask of the tokens
that count (rows, tokens), or None if all do, to the predicted noise, float32 and of the latents' shape."""


@dataclass(eq=False, kw_only=True)
class DiffusionSample:
    """One picture in the making: picture `index` of its job.

    `prompt` and `negative_prompt` are embeddings of shape (tokens, hidden); without a negative one there is
    no guidance, and the sample takes one row of a UNet call instead of two. `state` has the shape
    (table.state, 4, h, w) and is float32; its first row is the latent.
    """

    job_id: str
    index: int
    table: SamplerTable
    prompt: torch.Tensor
    negative_prompt: torch.Tensor | None
    guidance_scale: float
    generator: torch.Generator
    state: torch.Tensor
    is_exact: bool = False
    call: int = 0
    _noise: torch.Tensor | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width of the latent: what samples of one call have in common.

        In exact mode also the number of tokens: a mask over some of them rounds differently from none.
        """
        size = self.state.shape[-2], self.state.shape[-1]
        return (*size, len(self.prompt)) if self.is_exact else size

    @property
    def done(self) -> float:
        """The share of its model calls that are behind it."""
        return self.call / self.table.calls

    @property
    def latent(self) -> torch.Tensor:
        """Shape (4, h, w)."""
        return self.state[0]

    @property
    def scaled_latent(self) -> torch.Tensor:
        """The latent as the UNet is shown it, shape (4, h, w): some samplers keep it many times as large."""
        scales = self.table.input_scale
        return self.latent * float(scales[self.call]) if self.call < len(scales) else self.latent

    def noise(self) -> torch.Tensor:
        """The noise of the call that comes next, shape (4, h, w), the same when asked for again."""
        if self._noise is None:
            self._noise = torch.randn(self.state.shape[1:], generator=self.generator)
        return self._noise

    def advance(self, state: torch.Tensor) -> None:
        """A call was made."""
        self.state = state
        self.call += 1
        self._noise = None


class RunningBatch:
    """The tensors of a set of samples; a new set is a new batch.

    `_state`, shape (samples, state, 4, h, w), has all samples' own states, filled up with zeros to the
    longest. `_updates` (calls, state, state + 2), `_input_scales` and `_timesteps` (calls,) are the rest of
    all samples' tables, one after another, and `_cursor` (samples,) is each one's next row there. A UNet
    call has a row with the prompt of each sample, and then one with the negative prompt of each that has
    one: `_sample_of` (rows,) says whose a row is, and `_negative_row` (samples,) where the negative one is.

    With `is_exact` no sample's update is rounded differently for who else is there; the UNet has to see to
    the same for its own rows.
    """

    def __init__(self, samples: Sequence[DiffusionSample], unet: UNet, *, is_exact: bool = False) -> None:
        self.samples = list(samples)
        self._unet = unet
        self._is_exact = is_exact
        self._device = samples[0].state.device
        self._size = max(sample.table.state for sample in samples)
        self._state = torch.stack([self._padded(sample.state) for sample in samples])
        self._stack_tables()
        self._stack_rows()

    def step(self) -> None:
        """One UNet call and one update of all samples. If it raises, no sample has changed."""
        update = self._updates[self._cursor]
        latents = self._state[:, 0] * self._input_scales[self._cursor, None, None, None]
        timesteps = self._timesteps[self._cursor]
        output = self._unet(
            latents[self._sample_of], timesteps[self._sample_of], self._embeddings, self._mask
        )
        negative = output[self._negative_row]
        # Without guidance the row is its own negative, and this leaves it as it is.
        output = negative + self._guidance * (output[: len(self.samples)] - negative)
        basis = torch.cat([self._state, output[:, None], self._noise()[:, None]], dim=1)
        multiply = self._multiply_one_by_one if self._is_exact else torch.bmm
        state = multiply(update, basis.flatten(2)).view_as(self._state)
        self._state = state
        self._cursor += 1
        for row, sample in zip(state.unbind(), self.samples, strict=True):
            sample.advance(row[: sample.table.state])

    def _multiply_one_by_one(self, update: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
        """As `torch.bmm`, but each sample's product is rounded as if it were alone."""
        products: list[torch.Tensor] = []
        for index, sample in enumerate(self.samples):
            own = [*range(sample.table.state), -2, -1]
            product = update[index, : sample.table.state, own] @ basis[index, own]
            products.append(self._padded(product))
        return torch.stack(products)

    def _noise(self) -> torch.Tensor:
        drawn = [sample.noise() for sample in self.samples if sample.table.draws_noise]
        if drawn:
            self._noise_buffer.index_copy_(0, self._noisy_rows, self._to_device(torch.stack(drawn)))
        return self._noise_buffer

    def _stack_tables(self) -> None:
        """The rest of all samples' tables end to end, and a cursor to each one's next row."""
        rest = [(sample.table, sample.call) for sample in self.samples]
        self._updates = self._to_device(torch.cat([self._padded_update(table, call) for table, call in rest]))
        self._input_scales = self._to_device(torch.cat([table.input_scale[call:] for table, call in rest]))
        self._timesteps = self._to_device(torch.cat([table.timesteps[call:] for table, call in rest]))
        lengths = torch.tensor([0] + [table.calls - call for table, call in rest[:-1]])
        self._cursor = self._to_device(lengths.cumsum(0))

    def _stack_rows(self) -> None:
        """First a row with each sample's prompt, then one with the negative prompt of those that have one."""
        guided = [index for index, sample in enumerate(self.samples) if sample.negative_prompt is not None]
        count = len(self.samples)
        negative_row = list(range(count))
        for row, index in enumerate(guided, start=count):
            negative_row[index] = row
        self._sample_of = self._to_device(torch.tensor([*range(count), *guided]))
        self._negative_row = self._to_device(torch.tensor(negative_row))
        guidance = torch.tensor([sample.guidance_scale for sample in self.samples])
        self._guidance = self._to_device(guidance)[:, None, None, None]
        embeddings = [sample.prompt for sample in self.samples]
        embeddings += [each for sample in self.samples if (each := sample.negative_prompt) is not None]
        self._embeddings = torch.nn.utils.rnn.pad_sequence(embeddings, batch_first=True)
        self._mask = self._mask_of([len(each) for each in embeddings])
        noisy = [index for index, sample in enumerate(self.samples) if sample.table.draws_noise]
        self._noisy_rows = self._to_device(torch.tensor(noisy))
        self._noise_buffer = torch.zeros_like(self._state[:, 0])

    def _mask_of(self, lengths: list[int]) -> torch.Tensor | None:
        if min(lengths) == max(lengths):
            return None
        return self._to_device(torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None])

    def _padded(self, state: torch.Tensor) -> torch.Tensor:
        missing = self._size - len(state)
        return torch.cat([state, state.new_zeros(missing, *state.shape[1:])]) if missing else state

    def _padded_update(self, table: SamplerTable, call: int) -> torch.Tensor:
        rest = table.update[call:]
        if table.state == self._size:
            return rest
        update = rest.new_zeros(len(rest), self._size, self._size + 2)
        update[:, : table.state, : table.state] = rest[:, :, :-2]
        update[:, : table.state, -2:] = rest[:, :, -2:]
        return update

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._device.type != "cuda":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)
