"""The training loop of a translator: it yields events and prints nothing."""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

from heedful.data.batching import Batch, collate, token_batches
from heedful.data.files import Pairs
from heedful.errors import DataError
from heedful.tasks import run_folder
from heedful.tasks.text_pairs import IdPair, Vocabularies
from heedful.tasks.translation import TASK, Translator
from heedful.tasks.translation_config import TranslationConfig
from heedful.train.checkpoint import (
    CHECKPOINTS,
    STATE,
    Position,
    average,
    load_checkpoint,
    save_checkpoint,
)
from heedful.train.checks import check_data, check_device, check_resumable
from heedful.train.events import Event, Finished, Progress, Scores, Started, Validated
from heedful.train.loss import TranslationLoss, predicted_tokens
from heedful.train.memory import keep_freed_memory, set_threads
from heedful.train.schedule import factor
from heedful.train.validation import validate


def train_translation(
    config: TranslationConfig,
    train: Pairs,
    valid: Pairs,
    run_dir: str | Path,
    *,
    resume: bool = False,
) -> Iterator[Event]:
    """Train a translator into the folder `run_dir` and yield what happens.

    With `resume` the run in `run_dir` goes on from its last checkpoint and ends, on the same machine
    with the same number of threads, with the same weights bit for bit as if it had never stopped.

    Everything is checked before this returns; files are written from the first event on.

    Raises: RunError for a folder that is taken, or, resuming, that holds no such run; DataError
        without pairs to train on; OptionError for a device that is not there.
    """
    folder = Path(run_dir)
    check_data(train, valid)
    check_device(config.training)
    if resume:
        check_resumable(folder, config)
    else:
        run_folder.check_free(folder)
    return _Training(config, train, valid, folder).run(resume)


class _Training:
    """One training: what stays fixed, and the position that moves."""

    def __init__(self, config: TranslationConfig, train: Pairs, valid: Pairs, folder: Path):
        self.config = config
        self.options = config.training
        self.train_pairs, self.valid_pairs = train, valid
        self.folder = folder
        self.position = Position()
        self.began = time.monotonic()

    def run(self, resume: bool) -> Iterator[Event]:
        self._prepare(resume)
        yield Started(
            run=self.folder,
            parameters=sum(each.numel() for each in self.translator.model.parameters()),
            source_vocabulary=len(self.translator.vocabularies.source),
            target_vocabulary=len(self.translator.vocabularies.target),
            train_pairs=len(self.train_ids),
            left_out=len(self.train_pairs) - len(self.train_ids),
            valid_pairs=len(self.valid_pairs),
            epochs=self.options.epochs,
            steps_per_epoch=self.steps_per_epoch,
            first_step=self.position.step,
        )
        while self.position.epoch < self.options.epochs and not self._out_of_patience():
            yield from self._train_epoch()
            yield self._end_epoch()
        yield self._finish()

    def _prepare(self, resume: bool) -> None:
        options = self.options
        if options.keep_freed_memory:
            keep_freed_memory()
        set_threads(options.threads)
        logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
        self.fabric = Fabric(
            accelerator=options.accelerator, devices=options.devices, precision=options.precision
        )
        self.fabric.launch()
        torch.manual_seed(options.seed)
        if resume:
            vocabularies = Vocabularies.load(self.folder)
        else:
            vocabularies = Vocabularies.train(self.config.vocabulary, self.train_pairs)
        self.translator = Translator.untrained(self.config, vocabularies)
        self._encode()
        self.loss = TranslationLoss(self.translator.model, options.label_smoothing)
        optimizer = torch.optim.AdamW(
            self.loss.parameters(),
            lr=options.learning_rate,
            betas=options.adam_betas,
            eps=1e-9,
            weight_decay=options.weight_decay,
            fused=options.precision != "16-mixed",
        )
        self.module, self.optimizer = self.fabric.setup(self.loss, optimizer)
        if resume:
            self.position = load_checkpoint(
                self.folder / CHECKPOINTS / STATE, self.loss.model, optimizer
            )
        else:
            run_folder.create(self.folder, TASK)
            self.translator.save(self.folder)
            (self.folder / CHECKPOINTS).mkdir()
            self._save_checkpoint()
        self.began = time.monotonic() - self.position.seconds

    def _encode(self) -> None:
        vocabularies = self.translator.vocabularies
        longest = self.config.data.max_length
        self.train_ids = [
            (source, target)
            for source, target in vocabularies.pairs(self.train_pairs)
            if max(len(source), len(target)) <= longest
        ]
        if not self.train_ids:
            raise DataError(
                f"every training pair is longer than data.max_length = {longest} tokens"
            )
        self.valid_batches = self._batches(vocabularies.pairs(self.valid_pairs), epoch=0)
        self.steps_per_epoch = len(self._batch_indices(self.train_ids, epoch=0))

    def _batch_indices(self, ids: list[IdPair], epoch: int) -> list[list[int]]:
        lengths = [(len(source), len(target) - 1) for source, target in ids]
        options = self.options
        return token_batches(
            lengths, max_tokens=options.batch_tokens, seed=options.seed, epoch=epoch
        )

    def _batches(self, ids: list[IdPair], epoch: int) -> list[Batch]:
        pad = self.translator.vocabularies.target.pad_id
        return [collate([ids[i] for i in rows], pad) for rows in self._batch_indices(ids, epoch)]

    def _train_epoch(self) -> Iterator[Progress]:
        """Take the remaining steps of the epoch that is under way."""
        self.module.train()
        reported, before, loss_sum, tokens = time.monotonic(), self.position.step, 0.0, 0
        batches = self._batches(self.train_ids, self.position.epoch + 1)
        for batch in batches[self.position.batch :]:
            loss, count = self._step(batch), predicted_tokens(batch)
            loss_sum, tokens = loss_sum + loss, tokens + count
            self.position = replace(
                self.position,
                batch=self.position.batch + 1,
                step=self.position.step + 1,
                epoch_loss=self.position.epoch_loss + loss,
                epoch_tokens=self.position.epoch_tokens + count,
            )
            step, every = self.position.step, self.options.checkpoint_steps
            if every and step % every == 0:
                self._save_checkpoint()
            if step % self.options.progress_steps == 0:
                now = time.monotonic()
                seconds = now - reported
                yield self._progress(loss_sum / tokens, tokens / seconds, seconds / (step - before))
                reported, before, loss_sum, tokens = time.monotonic(), step, 0.0, 0

    def _step(self, batch: Batch) -> float:
        """Take one optimizer step and return the batch's summed loss."""
        options = self.options
        rate = options.learning_rate * factor(
            options.schedule,
            self.position.step + 1,
            warmup=options.warmup_steps,
            total=options.epochs * self.steps_per_epoch,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.module(self.fabric.to_device(batch))
        self.fabric.backward(loss / predicted_tokens(batch))
        if options.clip_norm:
            self.fabric.clip_gradients(self.module, self.optimizer, max_norm=options.clip_norm)
        self.optimizer.step()
        return float(loss.detach())

    def _progress(self, loss: float, speed: float, seconds_a_step: float) -> Progress:
        steps = self.options.epochs * self.steps_per_epoch
        return Progress(
            epoch=self.position.epoch + 1,
            step=self.position.step,
            steps=steps,
            loss=loss,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            tokens_per_second=speed,
            seconds_left=seconds_a_step * (steps - self.position.step),
        )

    def _end_epoch(self) -> Validated:
        """Validate, keep the best weights, write metrics and checkpoint."""
        scores, metric = self._validate(), self.options.metric
        old, epoch = self.position, self.position.epoch + 1
        best = old.best is None or scores.key(metric) > old.best.key(metric)
        self.position = replace(
            old,
            epoch=epoch,
            batch=0,
            epoch_loss=0.0,
            epoch_tokens=0,
            best_epoch=epoch if best else old.best_epoch,
            best=scores if best else old.best,
        )
        if best:
            self.translator.save_weights(self.folder / run_folder.WEIGHTS)
        self.translator.save_weights(self._epoch_file(epoch))
        self._epoch_file(epoch - self.options.average_epochs).unlink(missing_ok=True)
        event = Validated(
            epoch=epoch,
            step=old.step,
            train_loss=old.epoch_loss / max(1, old.epoch_tokens),
            scores=scores,
            best=best,
            seconds=time.monotonic() - self.began,
        )
        self._write_metrics({"event": "validated", **asdict(event)}, epoch - 1)
        self._save_checkpoint()
        return event

    def _finish(self) -> Finished:
        """Keep the average of the last epochs when it validates better than the best epoch."""
        last, best = self.position.epoch, self.position.best
        assert best is not None
        chosen, scores = f"epoch {self.position.best_epoch}", best
        first = max(1, last - self.options.average_epochs + 1)
        if first < last:
            averaged = average([self._epoch_file(epoch) for epoch in range(first, last + 1)])
            self.loss.model.load_state_dict(averaged)
            found = self._validate()
            if found.key(self.options.metric) > best.key(self.options.metric):
                chosen, scores = f"average of epochs {first} to {last}", found
                self.translator.save_weights(self.folder / run_folder.WEIGHTS)
        event = Finished(
            run=self.folder,
            epochs=last,
            steps=self.position.step,
            stopped_early=last < self.options.epochs,
            chosen=chosen,
            scores=scores,
            seconds=time.monotonic() - self.began,
        )
        self._write_metrics({"event": "finished", **asdict(event), "run": self.folder.name}, last)
        # the state goes first: without it nobody asks for the other files
        (self.folder / CHECKPOINTS / STATE).unlink()
        shutil.rmtree(self.folder / CHECKPOINTS)
        return event

    def _validate(self) -> Scores:
        return validate(self.translator, self.loss, self.valid_batches, self.valid_pairs)

    def _out_of_patience(self) -> bool:
        waited = self.position.epoch - self.position.best_epoch
        return 0 < self.options.patience <= waited

    def _epoch_file(self, epoch: int) -> Path:
        return self.folder / CHECKPOINTS / f"epoch-{epoch:04d}.safetensors"

    def _save_checkpoint(self) -> None:
        self.position = replace(self.position, seconds=time.monotonic() - self.began)
        path = self.folder / CHECKPOINTS / STATE
        save_checkpoint(path, self.loss.model, self.optimizer, self.position)

    def _write_metrics(self, values: dict[str, object], epochs_before: int) -> None:
        """Add a line to metrics.jsonl, after those of the epochs before: a resumed run repeats the rest."""
        path = self.folder / run_folder.METRICS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if json.loads(line).get("epoch", math.inf) <= epochs_before]
        run_folder.write_text(path, "\n".join([*kept, json.dumps(values)]) + "\n")
