"""What an expert would write: the baseline without its well-known waste.

Actors are reused, images are decoded once and shared through Ray's object store,
crops and flips are taken from tensors in batches, the frozen part runs without
gradients in eval mode, memory is channels_last, and only the best state is kept.

    python benchmarks/careful.py --images DIR --weights FILE --trials LIST.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import baseline
import work


def decoded(options: dict[str, Any], part: str) -> tuple[Any, Any]:
    """All images of a part as uint8 [N, 3, side, side], and their labels."""
    import numpy as np
    import torch
    from torchvision import datasets, transforms

    side = round(1.25 * options["image_size"])
    steps = transforms.Compose(
        [transforms.Resize(side), transforms.CenterCrop(side), transforms.PILToTensor()]
    )
    images = datasets.ImageFolder(Path(options["images"]) / part, steps)
    pairs = [images[number] for number in range(len(images))]
    pixels = torch.stack([image for image, _ in pairs]).numpy()
    return pixels, np.array([label for _, label in pairs])


def batch(pixels: Any, size: int, *, augment: bool) -> Any:
    import torch

    images = torch.from_numpy(pixels)
    count, side = len(images), images.shape[-1]
    if augment:
        at = torch.randint(0, side - size + 1, (count, 2))
        flips = torch.rand(count) < 0.5
        crops = [
            image[:, y : y + size, x : x + size].flip(2)
            if flip
            else image[:, y : y + size, x : x + size]
            for image, (y, x), flip in zip(images, at.tolist(), flips.tolist(), strict=True)
        ]
        images = torch.stack(crops)
    else:
        edge = (side - size) // 2
        images = images[:, :, edge : edge + size, edge : edge + size]
    images = images.float().div_(255).sub_(0.5).div_(0.5)
    return images.contiguous(memory_format=torch.channels_last)


def split(model: Any, depth: int) -> tuple[Any, Any]:
    """The frozen front and the trained rest of timm's lite0, as functions."""
    stages = list(model.blocks)
    stem = [model.conv_stem, model.bn1]
    tail = [model.conv_head, model.bn2]
    fronts = [
        [*stem, *stages, *tail, model.global_pool],
        [*stem, *stages[:5]],
        [*stem, *stages[:3]],
        [*stem, *stages[:2]],
        [*stem, *stages[:1]],
        [],
    ]
    everything = [*stem, *stages, *tail, model.global_pool]
    front = fronts[depth]
    return front, everything[len(front) :]


def epochs(options: dict[str, Any], trial: work.Trial, data: dict[str, Any]) -> Any:
    import torch
    from sklearn.metrics import balanced_accuracy_score
    from torch.nn import functional

    torch.set_num_threads(1)
    size, batch_size = options["image_size"], options["batch_size"]
    pixels, labels = data["train"]
    model = baseline.model_of(options, trial, int(labels.max()) + 1)
    model = model.to(memory_format=torch.channels_last)
    front, rest = split(model, trial.depth)

    def features(images: Any) -> Any:
        with torch.no_grad():
            for module in front:
                images = module(images)
        return images

    def logits(x: Any) -> Any:
        for module in rest:
            x = module(x)
        return model.classifier(functional.dropout(x, trial.dropout, model.training))

    heads = list(model.classifier.parameters())
    known = {id(p) for p in heads}
    body = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    groups = [{"params": heads, "lr": trial.lr}]
    if body:
        groups.append({"params": body, "lr": trial.lr * trial.scale})
    optimiser = torch.optim.AdamW(groups, weight_decay=trial.weight_decay)
    per_epoch = math.ceil(len(labels) / batch_size)
    steps = options["epochs"] * per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    for _ in range(options["epochs"]):
        model.train()
        for module in front:
            module.eval()
        order = torch.randperm(len(labels)).numpy()
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            found = logits(features(batch(pixels[rows], size, augment=True)))
            loss = functional.cross_entropy(found, torch.from_numpy(labels[rows]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        model.eval()
        seen = []
        val, truth = data["val"]
        with torch.no_grad():
            for start in range(0, len(truth), batch_size):
                images = batch(val[start : start + batch_size], size, augment=False)
                seen += logits(features(images)).argmax(1).tolist()
        yield float(balanced_accuracy_score(truth, seen)), model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--trials", type=Path, required=True)
    arguments = parser.parse_args()
    began = time.perf_counter()
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # loopback only
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    import ray
    from ray import tune

    options = {
        "images": arguments.images,
        "weights": arguments.weights,
        "image_size": arguments.image_size,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
    }

    class Careful(tune.Trainable):
        def setup(self, config: dict[str, Any], data: Any = None) -> None:
            self._data = data
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._best = -1.0
            self._epochs = epochs(options, work.Trial(**new_config["trial"]), self._data)
            self._done = 0
            return True

        def step(self) -> dict[str, Any]:
            value, model = next(self._epochs)
            self._done += 1
            if value > self._best:
                self._best = value
                self._state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            return {"balanced_accuracy": value, "done": self._done == options["epochs"]}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            import torch

            torch.save(self._state, Path(checkpoint_dir) / "best.pth")

        def load_checkpoint(self, checkpoint: Any) -> None:
            raise NotImplementedError("trials of a benchmark are not interrupted")

    class Times(tune.Callback):
        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any
        ) -> None:
            value = result["balanced_accuracy"]
            print(f"REPORT {time.perf_counter() - began:.2f} {value:.4f}", flush=True)

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
    )
    data = {part: decoded(options, part) for part in ("train", "val")}
    rows = json.loads(arguments.trials.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(Careful, data=data), {"cpu": 1}),
            param_space={"trial": tune.grid_search(rows)},
            tune_config=tune.TuneConfig(
                metric="balanced_accuracy",
                mode="max",
                reuse_actors=True,
                max_concurrent_trials=2,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[Times()]),
        ).fit()
    ray.shutdown()


if __name__ == "__main__":
    main()
